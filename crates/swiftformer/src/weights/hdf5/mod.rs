//! HDF5 files as Keras writes and reads them: `tf_model.h5`.
//!
//! A reader and a writer of the small part of HDF5 that weight files use, after the "HDF5 File Format Specification
//! Version 3.0" of the HDF Group. [`read`] and [`write()`] deal with groups, datasets and string attributes; [`keras`]
//! puts them into Keras' order of layers and weights.
//!
//! Read: superblocks 0 to 3, object headers 1 and 2, groups with symbol tables or compact links, numbers of either
//! byte order (F16, BF16, F32, F64, I32, I64, U8), compact and contiguous datasets, chunks with deflate and shuffle, and
//! strings of fixed or variable length as attributes. Not read, with an error that says so: dense groups and the newer
//! chunk indices of `libver='latest'`, soft and external links, objects linked twice, committed datatypes, virtual
//! datasets, other filters. Checksums of metadata are not verified.
//!
//! Written: superblock 0, symbol tables and contiguous little-endian datasets, which every HDF5 library reads.
//!
//! ```
//! use swiftformer::tensor::RawTensor;
//! use swiftformer::weights::hdf5::{self, Hdf5File};
//!
//! let mut file = Hdf5File::default();
//! file.tensors.insert("head/kernel:0".to_owned(), RawTensor::from_f32([2, 1], &[1.0, 2.0])?);
//! let mut bytes = Vec::new();
//! hdf5::write(&file, &mut bytes)?;
//! let again = hdf5::read(bytes.into())?;
//! assert_eq!(again.tensors["head/kernel:0"].to_f32(), [1.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod keras;

mod allowance;
mod attribute;
mod chunked;
mod cursor;
mod dataset;
mod dataspace;
mod datatype;
mod encode;
mod error;
mod filters;
mod group;
mod header;
mod heap;
mod read;
mod superblock;
mod write;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

pub use attribute::{Attribute, Attributes};
pub use error::Hdf5Error;
pub use read::read;
pub use write::write;

use indexmap::IndexMap;

use crate::tensor::TensorMap;

/// What a file holds: its datasets, and its groups with their string attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hdf5File {
    /// Datasets by full path without a leading slash, in the file's order (files of the HDF5 library: by name in each
    /// group).
    pub tensors: TensorMap,
    /// Attributes by group path; the root group is the empty path. Reading lists every group; for writing, groups
    /// without attributes may be left out where a dataset's path implies them.
    pub groups: IndexMap<String, Attributes>,
}
