//! What can go wrong between a file and `pixel_values`.

use std::path::PathBuf;

use super::{ImageFormat, Window};

/// An image that cannot be read, resized or handed to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An error of a named file.
    #[error("cannot decode {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: Box<ImageError>,
    },
    /// The content starts like none of the supported formats.
    #[error("not an image that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF): {looks_like}")]
    Unknown {
        /// What the first bytes look like.
        looks_like: String,
    },
    /// The header claims more pixels than the limit allows; nothing was decoded.
    #[error("{format} of {width}x{height} pixels: more than the limit of {limit} pixels")]
    TooManyPixels {
        /// The format of the content.
        format: ImageFormat,
        /// Claimed width.
        width: u64,
        /// Claimed height.
        height: u64,
        /// The most pixels allowed.
        limit: u64,
    },
    /// Decoding needs more memory than the limit allows; nothing was decoded.
    #[error("{format} of {width}x{height} pixels needs about {needed} bytes to decode: the limit is {limit}")]
    TooMuchMemory {
        /// The format of the content.
        format: ImageFormat,
        /// Claimed width.
        width: u64,
        /// Claimed height.
        height: u64,
        /// Estimated bytes.
        needed: u64,
        /// The most bytes allowed.
        limit: u64,
    },
    /// The data ends before the image does.
    #[error("{format} is truncated: {detail}")]
    Truncated {
        /// The format of the content.
        format: ImageFormat,
        /// Where and what was expected.
        detail: String,
    },
    /// The content breaks the rules of its format.
    #[error("broken {format}: {detail}")]
    Malformed {
        /// The format of the content.
        format: ImageFormat,
        /// The rule, and what was found.
        detail: String,
    },
    /// The content is valid, but of a kind that is not read.
    #[error("{format} of a kind that is not supported: {detail}")]
    Unsupported {
        /// The format of the content.
        format: ImageFormat,
        /// The kind.
        detail: String,
    },
    /// Bytes that do not fit the sides of an image.
    #[error("an image of {width}x{height} pixels and {channels} channels needs {needed} bytes, found {found}")]
    Buffer {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes a pixel.
        channels: usize,
        /// Bytes needed (`usize::MAX` when they overflow).
        needed: usize,
        /// Bytes found.
        found: usize,
    },
    /// A resized image would have an impossible side.
    #[error("cannot resize to {width}x{height} pixels: sides are 1 to {limit}")]
    ResizedSide {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// The longest side.
        limit: usize,
    },
    /// A window that is empty or reaches out of its image.
    #[error("window {window:?} of a {width}x{height} image")]
    Window {
        /// The window.
        window: Window,
        /// The image's width.
        width: usize,
        /// The image's height.
        height: usize,
    },
    /// The model takes a number of channels that an image cannot give.
    #[error("a model of {found} input channels: images give 3 (RGB) or 1 (luma)")]
    Channels {
        /// The model's channels.
        found: usize,
    },
    /// Preprocessing without a crop would give an enormous image.
    #[error("preprocessing would give {width}x{height} pixels: more than the limit of {limit} pixels")]
    OutputPixels {
        /// Width of the result.
        width: usize,
        /// Height of the result.
        height: usize,
        /// The most pixels.
        limit: usize,
    },
    /// The output of preprocessing would not fit the buffer given for it.
    #[error("pixel values of this image are {needed} numbers, the buffer holds {found}")]
    OutputBuffer {
        /// Numbers needed.
        needed: usize,
        /// Numbers the buffer holds.
        found: usize,
    },
}
