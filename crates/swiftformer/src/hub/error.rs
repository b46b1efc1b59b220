//! What can go wrong between a model id and a file on disk.

use std::io;
use std::path::PathBuf;

/// An error of the hub module. No message ever holds the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A model id that names no repository.
    #[error("`{id}` is not a model id: {reason} (expected `org/name` or `org/name@revision`)")]
    InvalidId {
        /// The id as given.
        id: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A file name that may not be joined to a folder or a URL.
    #[error("refusing the file name `{file}`: {reason}")]
    InvalidFileName {
        /// The name as given by the caller or by a shard index.
        file: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// An option that cannot work.
    #[error("hub option {option}: {reason}")]
    InvalidOption {
        /// Which option, by the environment variable that usually sets it.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint refuses to serve the repository to this user (401 or 403).
    #[error(
        "access to `{repo}` denied (HTTP {status}): {}. {}",
        if *.gated { "it is gated, its terms must be accepted on its page" } else { "it is private, gated or does not exist" },
        if *.had_token { "The token in use (HF_TOKEN or the token file) has no access" } else { "Set HF_TOKEN to a token with access" }
    )]
    AccessDenied {
        /// The repository.
        repo: String,
        /// 401 or 403.
        status: u16,
        /// Whether the server said that the repository is gated.
        gated: bool,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// No such repository.
    #[error("no repository `{repo}` at {endpoint}; a private one needs HF_TOKEN")]
    RepoNotFound {
        /// The repository.
        repo: String,
        /// The server asked.
        endpoint: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("repository `{repo}` has no revision `{revision}`")]
    RevisionNotFound {
        /// The repository.
        repo: String,
        /// The branch, tag or commit.
        revision: String,
    },
    /// The repository has no such file.
    #[error("no file `{file}` in `{repo}` at revision `{revision}`")]
    FileNotFound {
        /// The repository.
        repo: String,
        /// The branch, tag or commit.
        revision: String,
        /// The file.
        file: String,
    },
    /// Any other HTTP status that is no success.
    #[error("{url} answered HTTP {status}")]
    Status {
        /// The URL, without its query.
        url: String,
        /// The status.
        status: u16,
    },
    /// The server could not be reached.
    #[error(
        "cannot reach {endpoint} for `{id}`: {reason}. Without a network, set HF_HUB_OFFLINE=1 to use the cache, \
         or give the path of a local folder"
    )]
    Network {
        /// The model.
        id: String,
        /// Scheme and host of the server.
        endpoint: String,
        /// What failed.
        reason: String,
    },
    /// The server ended the connection in the middle of an answer.
    #[error("{endpoint} broke off the connection for `{id}`: {reason}")]
    Disconnected {
        /// The model.
        id: String,
        /// Scheme and host of the server.
        endpoint: String,
        /// What failed.
        reason: String,
    },
    /// The server kept silent for longer than the timeouts allow.
    #[error(
        "{endpoint} did not answer in time for `{id}` ({phase}). Set HF_HUB_OFFLINE=1 to use the cache, or give the path of a local folder"
    )]
    Timeout {
        /// The model.
        id: String,
        /// Scheme and host of the server.
        endpoint: String,
        /// The phase that took too long, e.g. `connect`.
        phase: String,
    },
    /// The body kept ending early, also when resumed. What arrived is kept for the next try where it can be verified.
    #[error("download of `{file}` broke off at {got} of {expected} bytes, after {attempts} attempts: {reason}")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes that arrived.
        got: u64,
        /// Bytes the server announced.
        expected: u64,
        /// How often it was tried without much progress.
        attempts: u32,
        /// What ended the last attempt.
        reason: String,
    },
    /// The server sends another number of bytes than it announced.
    #[error("`{file}` was announced with {expected} bytes, but the server sends {got}")]
    SizeMismatch {
        /// The file.
        file: String,
        /// Bytes announced first.
        expected: u64,
        /// Bytes announced or sent later (a lower bound when the body ran over).
        got: u64,
    },
    /// A file larger than [`HubOptions::max_file_size`](super::HubOptions::max_file_size).
    #[error("`{file}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its announced size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The content does not have the hash that the repository promises. Nothing was put into the cache.
    #[error("`{file}` has sha256 {got}, the repository promises {expected}")]
    HashMismatch {
        /// The file.
        file: String,
        /// The etag of the file.
        expected: String,
        /// The hash of what arrived.
        got: String,
    },
    /// An answer that no hub gives.
    #[error("unexpected answer from {url}: {reason}")]
    BadResponse {
        /// The URL, without its query.
        url: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// Offline, and the cache does not hold the file.
    #[error("`{file}` of `{id}` is not in the cache {cache}, and HF_HUB_OFFLINE forbids asking the network")]
    NotCached {
        /// The model.
        id: String,
        /// The file.
        file: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The repository holds none of the weight files that can be read.
    #[error(
        "`{id}` has no weights; looked for {}{}", .looked_for.join(", "),
        if *.offline { " in the cache (offline)" } else { "" }
    )]
    NoWeights {
        /// The model.
        id: String,
        /// The file names tried, in order.
        looked_for: Vec<String>,
        /// Whether only the cache was searched.
        offline: bool,
    },
    /// A shard index that cannot be read.
    #[error("shard index {path}: {reason}")]
    BadIndex {
        /// The index in the cache.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation in the cache.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    /// Wraps an I/O error with the path it happened at.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Whether the fault is on the way and not in the request, so that a cached copy is as good as it gets.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Timeout { .. }) || self.is_hiccup()
    }

    /// Whether the server was reached and may well answer the next attempt.
    pub(super) fn is_hiccup(&self) -> bool {
        match self {
            Self::Disconnected { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether the bytes that arrived before it are worth keeping for a resumed download.
    pub(super) fn keeps_partial(&self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::Io { .. }) || self.is_transient()
    }
}
