//! Writing a checkpoint that `torch.load(..., weights_only=True)` reads: a zip archive with an `OrderedDict` of
//! tensors in a protocol 2 pickle, storages as they are and aligned to 64 bytes.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};

use super::TorchError;
use crate::tensor::{DType, RawTensor, TensorMap};
use crate::weights::replace;

/// How to lay a checkpoint out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// A key to put the state dict under, such as `model`; `None` writes it flat.
    pub key: Option<String>,
    /// Texts beside the state dict, by key; written only together with [`WriteOptions::key`].
    pub entries: Vec<(String, String)>,
}

/// PyTorch aligns storages so that they can be mapped.
const ALIGNMENT: u16 = 64;

/// Writes `tensors` to the file at `path`. A file that is there already is replaced in one step at the end, so the
/// tensors may be views into it.
///
/// # Errors
/// When the file cannot be made or written.
pub fn write_file(path: &Path, tensors: &TensorMap, options: &WriteOptions) -> Result<(), TorchError> {
    replace::write_then_rename(path, TorchError::Write, |partial| {
        let file = BufWriter::new(File::create(partial).map_err(TorchError::Write)?);
        write(file, tensors, options)?.flush().map_err(TorchError::Write)
    })
}

/// Writes `tensors` to `sink`, and gives it back. Equal tensors give equal bytes.
///
/// # Errors
/// When `sink` fails.
pub fn write<W: Write + Seek>(sink: W, tensors: &TensorMap, options: &WriteOptions) -> Result<W, TorchError> {
    let failed = |error: ::zip::result::ZipError| TorchError::Write(error.into());
    let mut archive = ZipWriter::new(sink);
    let mut entry = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(u32::try_from(bytes.len()).is_err())
            .with_alignment(ALIGNMENT);
        archive.start_file(format!("archive/{name}"), options).map_err(failed)?;
        archive.write_all(bytes).map_err(TorchError::Write)
    };
    entry("data.pkl", &pickle(tensors, options))?;
    entry("byteorder", b"little")?;
    for (index, tensor) in tensors.values().enumerate() {
        entry(&format!("data/{index}"), tensor.bytes())?;
    }
    entry("version", b"3\n")?;
    archive.finish().map_err(failed)
}

/// The pickle of an `OrderedDict` of tensors; tensor `i` refers to storage `i`.
fn pickle(tensors: &TensorMap, options: &WriteOptions) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    if let Some(key) = &options.key {
        out.push(b'}');
        text(&mut out, key);
    }
    empty_ordered_dict(&mut out);
    out.push(b'(');
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        text(&mut out, name);
        tensor_instructions(&mut out, index, tensor);
    }
    out.push(b'u');
    if options.key.is_some() {
        out.push(b's');
        for (key, value) in &options.entries {
            text(&mut out, key);
            text(&mut out, value);
            out.push(b's');
        }
    }
    out.push(b'.');
    out
}

/// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`
fn tensor_instructions(out: &mut Vec<u8>, index: usize, tensor: &RawTensor) {
    out.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    out.extend_from_slice(format!("ctorch\n{}\n", storage_type(tensor.dtype())).as_bytes());
    text(out, &index.to_string());
    text(out, "cpu");
    int(out, tensor.bytes().len() / tensor.dtype().size());
    out.extend_from_slice(b"tQ");
    int(out, 0);
    let shape = tensor.shape();
    out.push(b'(');
    shape.iter().for_each(|&side| int(out, side));
    out.extend_from_slice(b"t(");
    // Sides of nothing count as one in strides, as in PyTorch.
    let mut strides: Vec<usize> = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides.into_iter().for_each(|stride| int(out, stride));
    out.extend_from_slice(b"t\x89");
    empty_ordered_dict(out);
    out.extend_from_slice(b"tR");
}

fn empty_ordered_dict(out: &mut Vec<u8>) {
    out.extend_from_slice(b"ccollections\nOrderedDict\n)R");
}

fn text(out: &mut Vec<u8>, text: &str) {
    // BINUNICODE counts in 32 bits; a name beyond 4 GiB would be cut there rather than break the pickle.
    let text = text.as_bytes();
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.push(b'X');
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&text[..text.len().min(length as usize)]);
}

fn int(out: &mut Vec<u8>, number: usize) {
    match (u8::try_from(number), i32::try_from(number)) {
        (Ok(small), _) => out.extend_from_slice(&[b'K', small]),
        (_, Ok(number)) => {
            out.push(b'J');
            out.extend_from_slice(&number.to_le_bytes());
        }
        _ => {
            // LONG1 is signed: a ninth byte keeps the sign bit clear.
            out.extend_from_slice(&[0x8a, 9]);
            out.extend_from_slice(&(number as u64).to_le_bytes());
            out.push(0);
        }
    }
}

fn storage_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "FloatStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::F64 => "DoubleStorage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::U8 => "ByteStorage",
    }
}
