//! Augmentation: random changes of training images, drawn from a stream of random numbers that the caller keys.
//!
//! ```text
//! RgbImage ─ crop ─ flip ─ policy or jitter ─→ bytes ─ normalise ─ erase ─→ [3, H, W] ─ batch ─ mix ─→ images, soft targets
//! ```
//!
//! What the operations do to bytes is Pillow's, to the last bit; what is drawn is timm's and torchvision's, from other random
//! numbers. So distributions agree with theirs, single images do not.

pub mod affine;
pub mod blur;
mod crop;
mod erase;
pub mod hue;
mod jitter;
mod mix;
mod operation;
pub mod pillow;
mod policy;
mod transform;

pub use crop::{RandomResizedCrop, cut};
pub use erase::{EraseMode, RandomErasing, paste};
pub use jitter::ColorJitter;
pub use mix::{Blend, Mix, MixMode, Pixels, cutmix_window, mixed_targets};
pub use operation::{FULL_MAGNITUDE, Operation, Setting};
pub use policy::{Noise, Policy, PolicyError, Step};
pub use transform::TrainTransform;
