//! What a model argument means: a keyword, a path, or a hub id.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::config::Variant;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The model embedded in the library.
    Demo,
    /// Fresh weights for a published variant.
    RandomVariant(Variant),
    /// Fresh weights for a `config.json`.
    RandomConfig(PathBuf),
    /// A folder or file.
    Path(PathBuf),
    /// A model of the Hugging Face Hub, `org/name` or `org/name@revision`.
    Hub(String),
}

/// A model argument that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a model: expected demo, xs, s, l1, l3, random:VARIANT, random:config.json, an existing folder or \
     file, or a hub id such as timm/swiftformer_xs.dist_in1k"
)]
pub struct ParseSourceError(pub String);

impl FromStr for ModelSource {
    type Err = ParseSourceError;

    /// `demo`; `xs`, `s`, `l1`, `l3` (short for `MBZUAI/swiftformer-…`); `random:xs`, `random:PATH/config.json`; a path that
    /// exists; else a hub id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "demo" {
            return Ok(Self::Demo);
        }
        if let Some(what) = text.strip_prefix("random:") {
            return match what.parse() {
                Ok(variant) => Ok(Self::RandomVariant(variant)),
                Err(_) if Path::new(what).exists() => Ok(Self::RandomConfig(what.into())),
                Err(_) => Err(ParseSourceError(text.to_owned())),
            };
        }
        let (id, revision) = text.split_once('@').map_or((text, None), |(id, revision)| (id, Some(revision)));
        if let Ok(variant) = id.parse::<Variant>() {
            let revision = revision.map_or_else(String::new, |revision| format!("@{revision}"));
            return Ok(Self::Hub(format!("MBZUAI/swiftformer-{variant}{revision}")));
        }
        let path = Path::new(text);
        if path.exists() || path.is_absolute() || text.starts_with("./") || text.starts_with("../") {
            return Ok(Self::Path(path.to_owned()));
        }
        let is_name = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed)
        };
        match id.split_once('/') {
            Some((organisation, name)) if is_name(organisation) && is_name(name) => Ok(Self::Hub(text.to_owned())),
            // A path with several parts or an extension is more likely a file that is not there.
            _ if text.contains(['/', '\\', '.']) => Ok(Self::Path(path.to_owned())),
            _ => Err(ParseSourceError(text.to_owned())),
        }
    }
}

impl ModelSource {
    /// The model's name for a file that is given away: a hub id as it is, of a path the last part, however it is spelt.
    pub fn public_name(&self) -> String {
        match self {
            Self::Demo | Self::RandomVariant(_) | Self::Hub(_) => self.to_string(),
            Self::RandomConfig(path) => format!("random:{}", last_part(path)),
            Self::Path(path) => last_part(path),
        }
    }
}

fn last_part(path: &Path) -> String {
    // `.` and `..` have none.
    let whole = if path.file_name().is_some() { Ok(path.to_owned()) } else { path.canonicalize() };
    let last = whole.ok().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    last.unwrap_or_default()
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("demo"),
            Self::RandomVariant(variant) => write!(f, "random:{variant}"),
            Self::RandomConfig(path) => write!(f, "random:{}", path.display()),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub(id) => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_name_is_the_same_for_every_way_to_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let model = place.path().join("models").join("mine");
        std::fs::create_dir_all(model.join("inside")).unwrap();
        let inside = model.join("inside");
        for path in
            [model.clone(), model.join(""), model.join("."), inside.join(".."), place.path().join("models/mine")]
        {
            assert_eq!(ModelSource::Path(path.clone()).public_name(), "mine", "{}", path.display());
        }
        // A hub id has the form of such a path, and is the whole name.
        assert_eq!(
            ModelSource::Hub("timm/swiftformer_xs.dist_in1k".into()).public_name(),
            "timm/swiftformer_xs.dist_in1k"
        );
        assert_eq!(ModelSource::RandomConfig("a/b/config.json".into()).public_name(), "random:config.json");
    }
}
