//! The embedded model: a small SwiftFormer, so that the program does something with nothing downloaded.
//!
//! It knows the twelve classes of `swiftformer synth`: drawn apples, bananas, brick walls, clocks, dice, fish, flowers, leaves,
//! starry skies, sunsets, tennis balls and traffic lights, and takes every other image for one of them. `cargo xtask demo` trains
//! it by the program's own commands.

use bytes::Bytes;

use crate::checkpoint::{Checkpoint, CheckpointError};

/// What to tell a user who gets the demo's answers.
pub const NOTICE: &str = "the embedded demo model knows twelve drawn things, and takes everything else for one of them. Use \
                          --model xs (or s, l1, l3) for the thousand classes of ImageNet";

const WEIGHTS: &[u8] = include_bytes!("model.safetensors");
const CONFIG: &str = include_str!("config.json");
const PREPROCESSOR: &str = include_str!("preprocessor_config.json");

/// Opens the embedded model.
pub(crate) fn checkpoint() -> Result<Checkpoint, CheckpointError> {
    crate::checkpoint::open_bytes("demo", Bytes::from_static(WEIGHTS), CONFIG, PREPROCESSOR)
}
