//! What can be wrong with a PyTorch checkpoint.

use super::pickle::PickleError;

/// A PyTorch checkpoint that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// The zip container is broken (a cut-off file loses its directory, which lies at the end).
    #[error("the zip archive is damaged or cut off")]
    Zip(#[source] zip::result::ZipError),
    /// A zip archive of something else.
    #[error("a zip archive without a data.pkl, so not a PyTorch checkpoint")]
    NotTorch,
    /// A program saved by `torch.jit`, which holds code.
    #[error("a TorchScript program; save the state dict of the model it came from")]
    TorchScript,
    /// An entry that is compressed or encrypted; PyTorch stores all entries as they are.
    #[error("the archive's entry {entry} is compressed or encrypted; PyTorch stores entries as they are")]
    CompressedEntry {
        /// The entry's name.
        entry: String,
    },
    /// An entry whose sizes do not agree with each other or with the file.
    #[error("the archive's entry {entry} claims {claimed} bytes from byte {start} on, in a file of {file} bytes")]
    EntrySize {
        /// The entry's name.
        entry: String,
        /// Bytes that the directory claims.
        claimed: u64,
        /// Where they would start.
        start: u64,
        /// Bytes of the file.
        file: usize,
    },
    /// The tensors were written on a big-endian machine.
    #[error("the checkpoint's tensors are big-endian, which is not supported")]
    BigEndian,
    /// A byte order that is no byte order.
    #[error("the checkpoint's byteorder entry is neither `little` nor `big`")]
    ByteOrder,
    /// A pickle in the checkpoint does not parse.
    #[error("cannot read {part} (starting at byte {start} of the {container})")]
    Pickle {
        /// Which pickle.
        part: &'static str,
        /// Where it starts.
        start: usize,
        /// What `start` counts in: `file` or `archive entry`.
        container: &'static str,
        /// What is wrong with it.
        #[source]
        source: PickleError,
    },
    /// The legacy format's leading parts are not what they must be.
    #[error("the legacy checkpoint's {part} is not {expected}")]
    LegacyHeader {
        /// Which part.
        part: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A legacy file's list of storages names one that no tensor refers to, so its element size is unknown.
    #[error("the legacy checkpoint lists storage {key}, which nothing refers to")]
    UnknownStorage {
        /// The storage's key.
        key: String,
    },
    /// A storage reaches past the end of a legacy file.
    #[error("storage {key} needs {needed} bytes from byte {start} on; the file has {found} there")]
    TruncatedStorage {
        /// The storage's key.
        key: String,
        /// Where its bytes start.
        start: usize,
        /// How many there should be.
        needed: u64,
        /// How many there are.
        found: usize,
    },
    /// A tensor whose storage the file lacks.
    #[error("tensor {tensor}: the file has no storage {key}")]
    MissingStorage {
        /// The tensor's name.
        tensor: String,
        /// The storage's key.
        key: String,
    },
    /// A storage that is not as long as its reference says.
    #[error("tensor {tensor}: storage {key} should hold {expected} elements of {scalar}, and has {found} bytes")]
    StorageSize {
        /// The tensor's name.
        tensor: String,
        /// The storage's key.
        key: String,
        /// Elements by the reference.
        expected: u64,
        /// Their type in PyTorch.
        scalar: &'static str,
        /// Bytes in the file.
        found: usize,
    },
    /// An element type that is not supported.
    #[error("tensor {tensor} holds {scalar}, which is not supported")]
    DType {
        /// The tensor's name.
        tensor: String,
        /// The element type in PyTorch.
        scalar: &'static str,
    },
    /// A shape, stride or offset that is no such thing, or leads outside the storage.
    #[error("tensor {tensor}: {what}")]
    Layout {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Strided tensors that would take far more memory than the file has bytes.
    #[error("tensor {tensor}: copying its strided view takes {needed} bytes, {left} are left of the limit")]
    CopyLimit {
        /// The tensor's name.
        tensor: String,
        /// Bytes of the copy.
        needed: u64,
        /// Bytes left of [the limit](super::COPY_LIMIT).
        left: u64,
    },
    /// The checkpoint has no state dict of the name asked for, or none at all.
    #[error("no state dict {}; the checkpoint has {}", asked_name(.asked), list(.available))]
    NoStateDict {
        /// The key asked for; `None` when the default ones were tried.
        asked: Option<String>,
        /// The keys under which there are state dicts.
        available: Vec<String>,
    },
    /// A tensor under a key that is no name.
    #[error("the state dict has a tensor under a key that is {found}, not a name")]
    TensorKey {
        /// What the key is.
        found: &'static str,
    },
    /// Writing failed.
    #[error("cannot write the checkpoint")]
    Write(#[source] std::io::Error),
}

fn asked_name(asked: &Option<String>) -> String {
    asked.as_ref().map_or("was found".into(), |key| format!("under `{key}`"))
}

fn list(available: &[String]) -> String {
    if available.is_empty() { "none under a key".into() } else { format!("these: {}", available.join(", ")) }
}
