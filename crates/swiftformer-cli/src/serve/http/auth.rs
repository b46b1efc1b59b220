//! Keys of those who may ask.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::error::ApiError;
use crate::serve::server::Shared;

/// What is answered without a key: whether the server lives, and the page, which asks its reader for one.
const OPEN: [&str; 8] =
    ["/", "/docs", "/healthz", "/readyz", "/openapi.json", "/v2/health/live", "/v2/health/ready", "/favicon.ico"];
/// The longest file of keys that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Keys, as their hashes: comparing those tells nothing of a key's length.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Reads keys, one a line; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read the keys in {}", path.display());
        if fs::metadata(path).with_context(cannot)?.len() > MAX_FILE {
            bail!("{} is too long for a file of keys", path.display());
        }
        let text = fs::read_to_string(path).with_context(cannot)?;
        let keys = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<[u8; 32]> = keys.map(|key| Sha256::digest(key.as_bytes()).into()).collect();
        if keys.is_empty() {
            bail!("{} holds no key; write one a line", path.display());
        }
        Ok(Self(keys))
    }

    /// Whether `key` is one of them, compared with all of them in a time that does not depend on where they differ.
    fn hold(&self, key: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(key).into();
        self.0.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&hash)).into()
    }
}

/// Lets requests with a key pass, and those that need none.
pub async fn check(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let Some(keys) = &server.keys else { return next.run(request).await };
    let path = request.uri().path();
    if OPEN.contains(&path) || path.starts_with("/assets/") {
        return next.run(request).await;
    }
    match key(request.headers()) {
        Some(key) if keys.hold(key) => next.run(request).await,
        given => {
            let message = match given {
                Some(_) => "this key is not known here",
                None => "a key is needed: `Authorization: Bearer KEY` or `X-Api-Key: KEY`",
            };
            ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
        }
    }
}

/// The key that a request carries.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii());
    }
    headers.get("x-api-key").map(|value| value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn keys_are_lines_and_are_compared_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# of the team\n\nfirst key\r\n second\n").unwrap();
        let keys = Keys::read(file.path()).unwrap();
        assert!(keys.hold(b"first key") && keys.hold(b"second"));
        for wrong in [&b""[..], b"first", b"first key ", b"# of the team", b"SECOND"] {
            assert!(!keys.hold(wrong), "{wrong:?}");
        }
        std::fs::write(file.path(), "# nothing\n").unwrap();
        assert!(Keys::read(file.path()).is_err());
    }
}
