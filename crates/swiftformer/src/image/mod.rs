//! Images: from the bytes of a file to the `pixel_values` that a model takes.
//!
//! ```text
//! bytes ─ decode ─→ RgbImage ─ Preprocessor::apply ─→ Tensor [3, H, W]
//!       ─────── Preprocessor::apply_to_file ───────→ the same, without the image in memory
//! ```
//!
//! Every step follows what the evaluation code of the released models does with Pillow: the same colours for odd pixel
//! formats, the same antialiased filters to the last bit, the same rounding of sizes and crops. Only progressive and CMYK
//! JPEGs differ, by a few levels of 255.
//!
//! What Pillow decides about files and [`decode`](fn@decode) follows:
//!
//! - alpha and transparent palette entries are dropped, not composited: the hidden colour shows;
//! - gray of 16 bits is clipped at 255, not scaled; colour of 16 bits keeps its high byte;
//! - CMYK becomes `(255 - c)(255 - k) / 255`; CMYK JPEGs are taken as inverted, as Adobe writes them;
//! - embedded colour profiles are ignored;
//! - of an animation or a multi-page file, the first frame counts;
//! - a truncated file is an error, not half an image.
//!
//! PNG, GIF, BMP, WebP, TIFF (JPEG inside it aside) and sequential JPEG give Pillow's bytes. JPEG leaves freedom to decoders;
//! for files of one Huffman-coded sequential scan in gray, YCbCr or RGB, which is what cameras write, this one takes
//! libjpeg-turbo's: the integer transform of its vector code, "fancy" upsampling of chroma (4:2:2, 4:2:0, 4:4:0, repetition
//! for other factors), colours in fixed point, how overflowing sums wrap or saturate, and how damaged data is passed over.
//! Other JPEGs (progressive, CMYK, several sequential scans) are decoded by `zune-jpeg`: against libjpeg-turbo, photographs
//! differ by 0.01 of 255 levels on average and 3 at most where chroma is stored in full, by 0.1 where it is halved (4:2:2)
//! and by 0.2 where it is quartered (4:2:0), there with single values 4 or 5 levels away.
//!
//! [`decode_scaled`] and [`FileOptions::scaled_decoding`] decode large sequential JPEGs at a fraction of their size, equal to
//! Pillow's `draft` and, on purpose, not to decoding in full.
//!
//! Not read: arithmetic-coded, lossless and 12-bit JPEG; TIFF with planes, Lab colour, CCITT or Zstandard compression.

mod config;
mod crop;
mod decode;
mod encode;
mod error;
mod exif;
mod filter;
mod from_file;
mod processor;
mod protocol;
mod resize;
mod rgb;

pub use config::PreprocessorError;
pub use crop::{CropRule, Window};
pub use decode::{DecodeLimits, ImageFormat, Scale, decode, decode_scaled, open, sniff};
pub use encode::encode_png;
pub use error::ImageError;
pub use exif::Orientation;
pub use filter::Filter;
pub use from_file::{FileOptions, PreparedBytes};
pub use processor::{
    CenterCrop, IMAGENET_MEAN, IMAGENET_STD, MAX_OUTPUT_PIXELS, Normalize, Placement, Preprocessor, Resize,
};
pub use protocol::{Preset, UnknownPreset};
pub use resize::{MAX_RESIZED_SIDE, resize, resize_window};
pub use rgb::{GrayImage, Image, RgbImage};
