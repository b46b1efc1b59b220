//! Images: from the bytes of a file to the `pixel_values` that a model takes.
//!
//! ```text
//! bytes ─ decode ─→ RgbImage ─ Preprocessor::apply ─→ Tensor [3, H, W]
//! ```
//!
//! Every step follows what the evaluation code of the released models does with Pillow: the same colours for odd pixel
//! formats, the same antialiased filters to the last bit, the same rounding of sizes and crops. Only JPEG differs, by a
//! few levels of 255 (see [`decode`](fn@decode)).

mod config;
mod crop;
mod decode;
mod error;
mod exif;
mod filter;
mod processor;
mod protocol;
mod resize;
mod rgb;

pub use config::PreprocessorError;
pub use crop::{CropRule, Window};
pub use decode::{DecodeLimits, ImageFormat, decode, open, sniff};
pub use error::ImageError;
pub use exif::Orientation;
pub use filter::Filter;
pub use processor::{CenterCrop, IMAGENET_MEAN, IMAGENET_STD, MAX_OUTPUT_PIXELS, Normalize, Preprocessor, Resize};
pub use protocol::{Preset, UnknownPreset};
pub use resize::{MAX_RESIZED_SIDE, resize, resize_window};
pub use rgb::{GrayImage, Image, RgbImage};
