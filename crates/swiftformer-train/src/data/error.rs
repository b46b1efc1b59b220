//! What can be wrong with a data set.

use std::path::{Path, PathBuf};

use swiftformer::image::ImageError;

/// A data set, or an image of it, that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing at the path looks like a data set.
    #[error("{}: not a data set that can be read: {detail}", path.display())]
    Layout {
        /// The path.
        path: PathBuf,
        /// What was looked for, and what was found.
        detail: String,
    },
    /// A class without a single image.
    #[error("{}: the class `{class}` has no images", path.display())]
    EmptyClass {
        /// The folder or file.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// Fewer than two classes: nothing can be learned.
    #[error("{}: {} class{}: at least two are needed to tell apart", path.display(), classes.len(), listed(classes))]
    TooFewClasses {
        /// The folder or file.
        path: PathBuf,
        /// The classes there are.
        classes: Vec<String>,
    },
    /// A class of the validation images that no training image has.
    #[error("{}: the class `{class}` is not among the {count} of the training images", path.display())]
    UnknownClass {
        /// The folder or file of the validation images.
        path: PathBuf,
        /// The class.
        class: String,
        /// Classes of the training images.
        count: usize,
    },
    /// A label that stands for no class.
    #[error("{}: {entry} has the label {label}, but there are {classes} classes (0 to {})", path.display(), classes.saturating_sub(1))]
    Label {
        /// The file.
        path: PathBuf,
        /// The entry of the file.
        entry: String,
        /// Its label.
        label: i64,
        /// Classes there are.
        classes: usize,
    },
    /// The content of a file breaks the rules of its format.
    #[error("{}: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The entry, the rule and what was found.
        detail: String,
    },
    /// An image cannot be decoded or resized.
    #[error("{name}")]
    Image {
        /// The file, and the entry in it.
        name: String,
        /// What is wrong with it.
        source: ImageError,
    },
    /// Preprocessing gives images of different sizes, which do not fit one batch.
    #[error("{name} comes out at {}x{} pixels, those before at {}x{}", found[1], found[0], expected[1], expected[0])]
    Sizes {
        /// The image.
        name: String,
        /// Height and width of the batch.
        expected: [usize; 2],
        /// Height and width of this image.
        found: [usize; 2],
    },
    /// More images are broken than the limit allows.
    #[error("{count} broken images, more than the limit of {limit}; the first are {}", first.join(", "))]
    TooManyBroken {
        /// How many were found so far.
        count: usize,
        /// How many are allowed.
        limit: usize,
        /// Some of them, with the reasons.
        first: Vec<String>,
    },
    /// A setting that cannot be used with this data set.
    #[error("{0}")]
    Setting(String),
}

/// The one class there is, in brackets.
fn listed(classes: &[String]) -> String {
    classes.first().map_or_else(|| "es".to_owned(), |class| format!(" ({class})"))
}

impl DataError {
    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(super) fn malformed(path: &Path, detail: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), detail: detail.into() }
    }

    pub(super) fn layout(path: &Path, detail: impl Into<String>) -> Self {
        Self::Layout { path: path.to_owned(), detail: detail.into() }
    }
}
