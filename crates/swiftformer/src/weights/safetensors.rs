//! safetensors: a JSON header and the tensors' bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use ::safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View};
use bytes::Bytes;

use super::replace;
use crate::tensor::{DType, RawTensor, TensorMap};

/// The longest header that is read, in bytes: tens of thousands of tensors. The format allows 100 MB, which take a
/// gigabyte and seconds to parse.
const MAX_HEADER: u64 = 8 << 20;

/// A safetensors file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// The header and the bytes do not agree, or the header does not parse.
    #[error("the safetensors file of {size} bytes is damaged or cut off")]
    Header {
        /// Bytes of the file.
        size: usize,
        /// What is wrong.
        #[source]
        source: SafeTensorError,
    },
    /// A header that would unpack to an unreasonable number of tensors.
    #[error("the header has {length} bytes, more than the limit of {MAX_HEADER}")]
    HeaderLimit {
        /// The header's bytes.
        length: u64,
    },
    /// An element type that is not supported.
    #[error("tensor {tensor} holds {dtype:?}, which is not supported")]
    DType {
        /// The tensor's name.
        tensor: String,
        /// Its type.
        dtype: Dtype,
    },
    /// A tensor's place does not fit its shape.
    #[error("tensor {tensor}: shape {shape:?} does not fit bytes {start}..{end} of the data")]
    Place {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its first byte.
        start: usize,
        /// The byte behind its last.
        end: usize,
    },
    /// Writing failed.
    #[error("cannot write the safetensors file")]
    Write(#[source] SafeTensorError),
}

/// The tensors of a file, in the order of their bytes and as views into them, and the header's `__metadata__`.
///
/// # Errors
/// When the file is damaged, or holds an element type that [`DType`] lacks.
pub fn read(file: &Bytes) -> Result<(TensorMap, BTreeMap<String, String>), SafetensorsError> {
    let damaged = |source| SafetensorsError::Header { size: file.len(), source };
    if let Some(length) = file.first_chunk().copied().map(u64::from_le_bytes).filter(|&length| length > MAX_HEADER) {
        return Err(SafetensorsError::HeaderLimit { length });
    }
    let (header, metadata) = SafeTensors::read_metadata(file).map_err(damaged)?;
    let data = file.slice(header.saturating_add(8).min(file.len())..);
    let names = metadata.offset_keys();
    let mut tensors = TensorMap::with_capacity(names.len());
    for name in names {
        let Some(info) = metadata.info(&name) else { continue };
        let Some(dtype) = dtype(info.dtype) else {
            return Err(SafetensorsError::DType { tensor: name, dtype: info.dtype });
        };
        let (start, end) = info.data_offsets;
        let view = (start <= end && end <= data.len()).then(|| data.slice(start..end));
        let tensor = view.and_then(|bytes| RawTensor::new(dtype, info.shape.clone(), bytes).ok());
        let Some(tensor) = tensor else {
            return Err(SafetensorsError::Place { tensor: name, shape: info.shape.clone(), start, end });
        };
        tensors.insert(name, tensor);
    }
    let metadata = metadata.metadata().clone().unwrap_or_default();
    Ok((tensors, metadata.into_iter().collect()))
}

/// The bytes of a file with `tensors`, sorted by the size of their type and by name, marked `{"format": "pt"}` as
/// loaders of PyTorch models expect. Equal tensors give equal bytes.
///
/// # Errors
/// When the names make the header larger than the format allows (100 MB).
pub fn to_bytes(tensors: &TensorMap) -> Result<Vec<u8>, SafetensorsError> {
    ::safetensors::serialize(views(tensors), Some(format())).map_err(SafetensorsError::Write)
}

/// Writes [`to_bytes`] to `path` without holding them in memory. A file that is there already is replaced in one step
/// at the end, so the tensors may be views into it.
///
/// # Errors
/// As [`to_bytes`], or when the file cannot be written.
pub fn write_file(path: &Path, tensors: &TensorMap) -> Result<(), SafetensorsError> {
    let io_error = |error| SafetensorsError::Write(SafeTensorError::IoError(error));
    replace::write_then_rename(path, io_error, |partial| {
        // The crate writes through a temporary file that nobody else may read; a model is no secret.
        let permissions = File::create(partial).and_then(|file| file.metadata()).map_err(io_error)?.permissions();
        ::safetensors::serialize_to_file(views(tensors), Some(format()), partial).map_err(SafetensorsError::Write)?;
        std::fs::set_permissions(partial, permissions).map_err(io_error)
    })
}

fn format() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

fn views(tensors: &TensorMap) -> impl Iterator<Item = (&str, RawView<'_>)> {
    tensors.iter().map(|(name, tensor)| (name.as_str(), RawView(tensor)))
}

struct RawView<'a>(&'a RawTensor);

impl View for RawView<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.dtype() {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            DType::F64 => Dtype::F64,
            DType::I64 => Dtype::I64,
            DType::I32 => Dtype::I32,
            DType::U8 => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.0.bytes())
    }

    fn data_len(&self) -> usize {
        self.0.bytes().len()
    }
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::U8 => DType::U8,
        _ => return None,
    })
}
