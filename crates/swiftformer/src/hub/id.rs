//! Names that come from users and servers, checked before they become a path or a URL.

use std::fmt;
use std::str::FromStr;

use super::HubError;

/// A model repository at a revision, written `org/name` or `org/name@revision`.
///
/// ```
/// use swiftformer::hub::ModelId;
/// let id: ModelId = "MBZUAI/swiftformer-xs@refs/pr/1".parse()?;
/// assert_eq!((id.repo.as_str(), id.revision.as_str()), ("MBZUAI/swiftformer-xs", "refs/pr/1"));
/// assert_eq!("timm/swiftformer_xs.dist_in1k".parse::<ModelId>()?.revision, "main");
/// # Ok::<(), swiftformer::hub::HubError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelId {
    /// Repository, `org/name` (or `name` alone, which a few old repositories have).
    pub repo: String,
    /// Branch, tag or commit hash; `main` unless told.
    pub revision: String,
}

/// The revision meant when none is written.
const DEFAULT_REVISION: &str = "main";

impl FromStr for ModelId {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let id = Self { repo: repo.to_owned(), revision: revision.to_owned() };
        id.check()?;
        Ok(id)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repo)?;
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

impl ModelId {
    /// Checks both parts: the fields are public, so an id need not come from parsing.
    pub(super) fn check(&self) -> Result<(), HubError> {
        let invalid = |reason| HubError::InvalidId { id: format!("{}@{}", self.repo, self.revision), reason };
        let mut parts = 0;
        for part in self.repo.split('/') {
            parts += 1;
            check_repo_part(part).map_err(invalid)?;
        }
        if parts > 2 {
            return Err(invalid("more than one `/` in the repository"));
        }
        check_relative_path(&self.revision).map_err(invalid)
    }

    /// The same repository at `revision`.
    pub(super) fn at(&self, revision: &str) -> Self {
        Self { repo: self.repo.clone(), revision: revision.to_owned() }
    }
}

/// The Hub's own rule for user and repository names.
fn check_repo_part(part: &str) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("expected `org/name`, one part is empty");
    }
    if part.len() > 96 {
        return Err("a part is longer than 96 characters");
    }
    if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err("a repository has letters, digits, `-`, `_` and `.` only");
    }
    // `--` separates the parts in the cache folder's name.
    if part.contains("--") || part.contains("..") || part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
        return Err("a part may not hold `--` or `..`, nor start or end with `-` or `.`");
    }
    Ok(())
}

/// Whether `path` is safe below a folder on every system: `/` between plain names, nothing that climbs or is absolute.
pub(super) fn check_relative_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("empty name");
    }
    if path.len() > 1024 {
        return Err("longer than 1024 bytes");
    }
    for part in path.split('/') {
        if part.is_empty() {
            return Err("starts with `/`, ends with `/` or has an empty part");
        }
        if part == "." || part == ".." {
            return Err("`.` and `..` are not allowed");
        }
        if part.len() > 255 {
            return Err("a part is longer than 255 bytes");
        }
        if part.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')) {
            return Err("holds a character that is not allowed in a file name");
        }
        // Windows drops them, so two names would meet.
        if part.ends_with(['.', ' ']) {
            return Err("a part ends with `.` or a space");
        }
    }
    Ok(())
}

/// Whether `text` is a full git commit hash, the only name a snapshot folder may have.
pub(super) fn is_commit_hash(text: &str) -> bool {
    text.len() == 40 && is_lower_hex(text)
}

/// Whether `text` is a sha256, as the etags of LFS files are.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Takes quotes and the weak mark off an etag; `None` when the rest may not name a blob.
pub(super) fn normalize_etag(etag: &str) -> Option<&str> {
    let etag = etag.trim().trim_start_matches("W/").trim_matches('"');
    let plain = etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (plain && (1..=128).contains(&etag.len())).then_some(etag)
}

/// Percent-encodes everything but unreserved characters and those in `keep`.
pub(super) fn percent_encode(text: &str, keep: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
