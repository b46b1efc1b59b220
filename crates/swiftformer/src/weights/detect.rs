//! What kind of weight file some bytes are, by content alone: names and endings lie.

use std::fmt;

use super::torch;

/// A kind of file that can hold weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// safetensors.
    Safetensors,
    /// A zip archive, as PyTorch writes since 1.6.
    TorchZip,
    /// PyTorch's format before 1.6, a row of pickles.
    TorchLegacy,
    /// HDF5, as Keras writes.
    Hdf5,
    /// JSON: an index of shards.
    Json,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (legacy)",
            Self::Hdf5 => "HDF5",
            Self::Json => "JSON",
        })
    }
}

/// What a file is that holds no weights, or none in a known format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotWeights {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// The small text that stands for a file in Git LFS.
    #[error("the file is a Git LFS pointer; fetch the file itself with `git lfs pull`")]
    GitLfsPointer,
    /// A web page, often an error page saved under the file's name.
    #[error("the file is a web page, not the file it links to")]
    WebPage,
    /// Zeros where a format begins, as interrupted downloads leave.
    #[error("the file starts with {0} zero bytes; its download may have been interrupted")]
    Zeros(usize),
    /// A pickle without PyTorch's magic number.
    #[error("the file is a Python pickle, but not a PyTorch checkpoint")]
    Pickle,
    /// A tar archive, PyTorch's format before 0.1.10 among them.
    #[error("the file is a tar archive; unpack it, or save the weights again with a current PyTorch")]
    Tar,
    /// Compressed with gzip, xz or zstd.
    #[error("the file is compressed with {0}; unpack it first")]
    Compressed(&'static str),
    /// A model in a format that is not read here.
    #[error("the file is in the {0} format, which is not read here")]
    OtherFormat(&'static str),
    /// Nothing known.
    #[error("the file is in no known format; it starts with the bytes {0:02x?}")]
    Unknown([u8; 8]),
}

const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// safetensors allows headers up to this length.
const MAX_SAFETENSORS_HEADER: u64 = 100_000_000;

/// Tells the kind of a file from its bytes.
///
/// # Errors
/// When it is none of the kinds, with what it is instead where that is known.
pub fn detect(bytes: &[u8]) -> Result<FileKind, NotWeights> {
    if bytes.is_empty() {
        return Err(NotWeights::Empty);
    }
    if is_hdf5(bytes) {
        return Ok(FileKind::Hdf5);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(FileKind::TorchZip);
    }
    if torch::starts_like_legacy(bytes) {
        return Ok(FileKind::TorchLegacy);
    }
    if let Some((length, [b'{', ..])) =
        bytes.split_first_chunk().map(|(length, rest)| (u64::from_le_bytes(*length), rest))
        && length <= MAX_SAFETENSORS_HEADER
    {
        return Ok(FileKind::Safetensors);
    }
    // Not further: whitespace may fill a huge file.
    let head = &bytes[..bytes.len().min(4096)];
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if text.starts_with(b"{") {
        return Ok(FileKind::Json);
    }
    Err(instead(bytes, text))
}

/// HDF5 may put a user block of 512, 1024, 2048 … bytes before its signature.
fn is_hdf5(bytes: &[u8]) -> bool {
    let blocks = std::iter::successors(Some(512usize), |block| block.checked_mul(2));
    std::iter::once(0)
        .chain(blocks.take_while(|&block| block < bytes.len()))
        .any(|start| bytes.get(start..).is_some_and(|rest| rest.starts_with(HDF5_SIGNATURE)))
}

fn instead(bytes: &[u8], text: &[u8]) -> NotWeights {
    let starts_with_ignoring_case =
        |start: &[u8]| text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    if bytes.starts_with(b"version https://git-lfs") {
        return NotWeights::GitLfsPointer;
    }
    if [&b"<!doctype"[..], b"<html", b"<head", b"<?xml"].into_iter().any(starts_with_ignoring_case) {
        return NotWeights::WebPage;
    }
    let zeros = bytes.iter().take(4096).take_while(|&&byte| byte == 0).count();
    if zeros >= 16 {
        return NotWeights::Zeros(zeros);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return NotWeights::Tar;
    }
    let compressions: [(&[u8], &str); 3] =
        [(b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")];
    if let Some((_, name)) = compressions.into_iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return NotWeights::Compressed(name);
    }
    if bytes.starts_with(b"GGUF") {
        return NotWeights::OtherFormat("GGUF");
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return NotWeights::OtherFormat("TensorFlow Lite");
    }
    if let [0x80, 0..=5, ..] = bytes {
        return NotWeights::Pickle;
    }
    let mut start = [0; 8];
    start.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    NotWeights::Unknown(start)
}
