//! Weight files: formats, names and layouts.
//!
//! ```text
//! file ─ read_file ─→ TensorMap ─ layout::recognise ─→ plain names ─ StateDict::from_tensors ─→ every tensor at its place
//! ```

mod detect;
mod error;
mod file;
pub mod hdf5;
pub mod infer;
pub mod init;
pub mod layout;
mod mapped;
pub mod names;
mod replace;
pub mod safetensors;
pub mod sharded;
pub mod state;
pub mod token_weights;
pub mod torch;

#[cfg(test)]
mod tests;

pub use detect::{FileKind, NotWeights, detect};
pub use error::WeightsError;
pub use file::{ReadOptions, WeightFile, read_bytes, read_file};
