//! PyTorch checkpoints (`.pth`, `pytorch_model.bin`), zip and legacy, as data: nothing in them is executed.
//!
//! A checkpoint is a pickle whose tensors refer to storages kept beside it. Contiguous tensors are views into the
//! file's bytes; strided ones are copied to row-major order, within [`COPY_LIMIT`].
//!
//! Checksums of zip entries are not verified, as PyTorch does not and can write files without them.

mod error;
mod legacy;
mod metadata;
mod pickle;
mod state_dict;
mod tensor;
mod write;
mod zip;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

pub use self::error::TorchError;
pub(in crate::weights) use self::legacy::starts_like_legacy;
pub use self::pickle::PickleError;
pub use self::state_dict::StateDict;
pub use self::write::{WriteOptions, write, write_file};

use self::pickle::Pickle;

/// What copies of strided tensors may take: this many bytes, and four times the file's size on top.
///
/// A stride of zero can spread one element over any shape. Real files hold few such views (expanded buffers,
/// transposed weights), and a view copies at most its storage again, so this leaves ample room.
pub const COPY_LIMIT: u64 = 16 << 20;

/// A checkpoint whose pickle is parsed; tensors are made when a state dict is asked for.
#[derive(Debug)]
pub struct Checkpoint {
    pickle: Pickle,
    storages: HashMap<String, Bytes>,
    file_size: usize,
}

impl Checkpoint {
    /// Reads the zip format, PyTorch's own since 1.6.
    ///
    /// # Errors
    /// When the archive or its pickle is damaged, is no checkpoint, or names a class that is not plain data.
    pub fn read_zip(bytes: &Bytes) -> Result<Self, TorchError> {
        let (pickle, storages) = zip::read(bytes)?;
        Ok(Self { pickle, storages, file_size: bytes.len() })
    }

    /// Reads the legacy format: a row of pickles followed by raw storages.
    ///
    /// # Errors
    /// As [`Checkpoint::read_zip`].
    pub fn read_legacy(bytes: &Bytes) -> Result<Self, TorchError> {
        let (pickle, storages) = legacy::read(bytes)?;
        Ok(Self { pickle, storages, file_size: bytes.len() })
    }

    /// The keys under which the checkpoint holds dicts of tensors, in its order; empty for a flat state dict.
    pub fn available(&self) -> Vec<String> {
        state_dict::available(&self.pickle)
    }

    /// The tensors of one state dict.
    ///
    /// `key` names one of [`Checkpoint::available`]. Without it, `model`, `state_dict`, the top level itself, and the
    /// only state dict there is are tried in this order. A prefix `module.` or `_orig_mod.` that all names share
    /// (from `DataParallel` and `torch.compile`) is taken off. Entries that are not tensors are left out.
    ///
    /// # Errors
    /// When there is no such state dict, or one of its tensors is of an unsupported type or does not fit its storage.
    pub fn state_dict(&self, key: Option<&str>) -> Result<StateDict, TorchError> {
        state_dict::read(self, key)
    }

    /// Plain values beside the state dicts, as Python would print them: `epoch`, `args.lr` and so on.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        metadata::collect(&self.pickle)
    }
}
