//! What can be wrong with an HDF5 file.

/// Why an HDF5 file could not be read or written. Offsets count bytes from the file's HDF5 signature.
#[derive(Debug, thiserror::Error)]
pub enum Hdf5Error {
    /// No HDF5 signature where one may stand.
    #[error("not an HDF5 file: no signature at offset 0, 512, 1024, 2048, ...")]
    NotHdf5,
    /// A structure reaches past the end of the file, or of the block that it lies in.
    #[error("{what} at offset {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where reading stopped.
        offset: u64,
        /// Bytes that should follow.
        needed: u64,
        /// Bytes that do follow.
        available: u64,
    },
    /// Bytes that break the format's rules.
    #[error("{what} at offset {offset}: {problem}")]
    Malformed {
        /// The structure.
        what: &'static str,
        /// Where it is.
        offset: u64,
        /// The rule that it breaks.
        problem: String,
    },
    /// A part of HDF5 outside the subset that weight files use.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The file asks for more than its size can justify, as only overlapping structures do.
    #[error("the file asks for too much: {what} would pass the limit of {limit} for its size")]
    Limit {
        /// What ran out.
        what: &'static str,
        /// The limit for this file.
        limit: u64,
    },
    /// An error inside one object of the file.
    #[error("in `{path}`")]
    Object {
        /// Path of the group or dataset, `/` for the root.
        path: String,
        /// What is wrong there.
        #[source]
        source: Box<Hdf5Error>,
    },
    /// An attribute too large for an object header (64 KiB); Keras splits such lists.
    #[error("attribute `{name}` takes {size} bytes, an object header message holds 65528")]
    AttributeTooLarge {
        /// Name of the attribute.
        name: String,
        /// Bytes of its message.
        size: usize,
    },
    /// A path that HDF5 cannot hold: empty parts, NUL, or a dataset where a group is needed.
    #[error("`{path}` cannot be written: {problem}")]
    BadPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The output could not be written.
    #[error("cannot write the HDF5 file")]
    Io(#[from] std::io::Error),
}

impl Hdf5Error {
    /// The error with the innermost object that it happened in.
    pub(super) fn within(self, path: &str) -> Self {
        match self {
            Self::Object { .. } => self,
            source => {
                let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
                Self::Object { path, source: Box::new(source) }
            }
        }
    }
}

pub(super) fn unsupported<T>(what: impl Into<String>) -> Result<T, Hdf5Error> {
    Err(Hdf5Error::Unsupported(what.into()))
}
