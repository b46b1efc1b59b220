//! Weight files: formats, names and layouts.

mod detect;
mod error;
mod file;
mod mapped;
mod replace;
pub mod safetensors;
pub mod sharded;
pub mod torch;

#[cfg(test)]
mod tests;

pub use detect::{FileKind, NotWeights, detect};
pub use error::WeightsError;
pub use file::{ReadOptions, WeightFile, read_bytes, read_file};
