//! The embedded model: a tiny SwiftFormer, so that the program does something with nothing downloaded.
//!
//! **Its weights are random numbers.** It shows that decoding, preprocessing, the engine and the output work; what it says
//! about a picture means nothing, and its labels say so.

use bytes::Bytes;

use crate::checkpoint::{Checkpoint, CheckpointError};

/// What to tell a user who gets the demo's answers.
pub const NOTICE: &str = "the embedded demo model has random weights: its answers mean nothing. Use --model xs (or s, l1, \
                          l3) for a trained one";

const WEIGHTS: &[u8] = include_bytes!("model.safetensors");
const CONFIG: &str = include_str!("config.json");
const PREPROCESSOR: &str = include_str!("preprocessor_config.json");

/// Opens the embedded model.
pub(crate) fn checkpoint() -> Result<Checkpoint, CheckpointError> {
    crate::checkpoint::open_bytes("demo", Bytes::from_static(WEIGHTS), CONFIG, PREPROCESSOR)
}
