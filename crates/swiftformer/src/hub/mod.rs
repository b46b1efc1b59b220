//! Models from the Hugging Face Hub, kept in the cache folder that Python's `huggingface_hub` uses too.
//!
//! What either library downloads, the other one finds. A file gets its name in the cache only when it is complete: the
//! size must be the announced one, and large (LFS) files must have their sha256. Downloads resume where they broke off,
//! wait for another process that fetches the same file, and end in an error when a server falls silent.
//!
//! Built on `ureq` 3 with rustls, ring and bundled roots, because the `hf-hub` crate does not fit: 0.4 (on `ureq` 2) has
//! no read timeout and no offline mode, verifies no hash, does not tell a missing repository from a missing file, and
//! appends a whole body to a partial file when a server ignores the range; 1.0 brings an async runtime and a second TLS
//! library. This module and its dependencies cost about 37 seconds of processor time in a first release build.
//!
//! ```no_run
//! use swiftformer::hub::{Hub, HubOptions};
//!
//! let hub = Hub::new(HubOptions::from_env())?;
//! let mut draw = |file: &str, done: u64, total: u64| eprintln!("{file}: {done} of {total} bytes");
//! let folder = hub.fetch_model(&"MBZUAI/swiftformer-xs".parse()?, &mut draw)?;
//! assert!(folder.join("config.json").is_file());
//! # Ok::<(), swiftformer::hub::HubError>(())
//! ```

mod cache;
mod client;
mod download;
mod error;
mod id;
mod model;
mod options;
mod progress;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use error::HubError;
pub use id::ModelId;
pub use options::{DEFAULT_ENDPOINT, HubOptions};
pub use progress::{NoProgress, Progress};

use cache::RepoCache;
use client::{Client, Head};
use download::Download;

/// Access to one endpoint and one cache folder. Threads may share it.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    client: Client,
}

/// Where a file of a repository is.
enum Found {
    /// In the snapshot of `commit`; `stale` when the endpoint could not be asked whether the revision has moved on.
    At { path: PathBuf, commit: String, stale: bool },
    /// The repository does not have it.
    Absent,
    /// Unknown: the cache lacks it and nobody may be asked.
    NotCached,
}

impl Hub {
    /// Checks the options; opens no connection and no file.
    ///
    /// # Errors
    /// [`HubError::InvalidOption`] for an endpoint that is no URL or a token that no header can carry.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        Ok(Self { client: Client::new(&options)?, options })
    }

    /// The settings in use.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// The local path of `file` (`/` between folders), downloaded if need be.
    ///
    /// A branch or tag is asked for its current commit first; when that fails on the way (no network, timeout, server
    /// trouble), a cached copy is used. A full commit hash that is cached needs no request.
    ///
    /// # Errors
    /// [`HubError::FileNotFound`] when the repository lacks it, and every other [`HubError`] but those of
    /// [`Hub::fetch_model`].
    pub fn get(&self, id: &ModelId, file: &str, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        match self.locate(id, file, self.options.offline, progress)? {
            Found::At { path, .. } => Ok(path),
            missing => Err(self.not_found(missing, id, file)),
        }
    }

    /// As [`Hub::get`], with `None` when the repository has no such file.
    ///
    /// # Errors
    /// Those of [`Hub::get`] but [`HubError::FileNotFound`]. Offline, a file that was never asked for is
    /// [`HubError::NotCached`]: whether it exists is not known.
    pub fn try_get(&self, id: &ModelId, file: &str, progress: &mut dyn Progress) -> Result<Option<PathBuf>, HubError> {
        match self.locate(id, file, self.options.offline, progress)? {
            Found::At { path, .. } => Ok(Some(path)),
            Found::Absent => Ok(None),
            missing @ Found::NotCached => Err(self.not_found(missing, id, file)),
        }
    }

    fn cache(&self, id: &ModelId) -> RepoCache {
        RepoCache::new(&self.options.cache_dir, &id.repo)
    }

    /// The error for a file that must exist.
    fn not_found(&self, missing: Found, id: &ModelId, file: &str) -> HubError {
        match missing {
            Found::NotCached => {
                HubError::NotCached { id: id.to_string(), file: file.to_owned(), cache: self.options.cache_dir.clone() }
            }
            _ => HubError::FileNotFound { repo: id.repo.clone(), revision: id.revision.clone(), file: file.to_owned() },
        }
    }

    fn locate(&self, id: &ModelId, file: &str, offline: bool, progress: &mut dyn Progress) -> Result<Found, HubError> {
        id.check()?;
        id::check_relative_path(file).map_err(|reason| HubError::InvalidFileName { file: file.to_owned(), reason })?;
        let cache = self.cache(id);
        let known = cache.commit_of(&id.revision);
        let cached = |stale| {
            let commit = known.clone()?;
            match cache.cached(&commit, file) {
                Some(path) => Some(Found::At { path, commit, stale }),
                None => cache.is_absent(&commit, file).then_some(Found::Absent),
            }
        };
        // What a commit holds never changes, so nobody need be asked.
        let pinned = id::is_commit_hash(&id.revision);
        if (offline || pinned)
            && let Some(found) = cached(false)
        {
            return Ok(found);
        }
        if offline {
            return Ok(Found::NotCached);
        }
        let metadata = match self.ask(id, file) {
            Ok(Head::File(metadata)) => metadata,
            Ok(Head::Absent { commit }) => {
                if let Some(commit) = commit {
                    best_effort(cache.mark_absent(&commit, file));
                    best_effort(cache.write_ref(&id.revision, &commit));
                }
                return Ok(Found::Absent);
            }
            Err(error) if error.is_transient() => {
                let found = cached(true).ok_or_else(|| {
                    tracing::debug!(%error, "and nothing in the cache");
                    error
                });
                if found.is_ok() {
                    tracing::warn!(%id, file, "the hub cannot be asked, using the cached copy");
                }
                return found;
            }
            Err(error) => return Err(error),
        };
        let commit = metadata.commit.clone();
        if pinned && commit != id.revision {
            let reason = format!("X-Repo-Commit {commit} for commit {}", id.revision);
            return Err(HubError::BadResponse { url: self.options.endpoint.clone(), reason });
        }
        if let Some(path) = cache.cached(&commit, file) {
            // The cache may be read-only.
            best_effort(cache.write_ref(&id.revision, &commit));
            return Ok(Found::At { path, commit, stale: false });
        }
        let (client, options) = (&self.client, &self.options);
        Download { client, options, cache: &cache, id, file, metadata: &metadata }.run(progress)?;
        let path = cache.link(&metadata.etag, &commit, file)?;
        cache.write_ref(&id.revision, &commit)?;
        Ok(Found::At { path, commit, stale: false })
    }

    /// Metadata of a file; a server that stumbles is asked again.
    fn ask(&self, id: &ModelId, file: &str) -> Result<Head, HubError> {
        let mut attempt = 0;
        loop {
            match self.client.head(id, file) {
                Err(error) if error.is_hiccup() && attempt < self.options.retries => {
                    attempt += 1;
                    tracing::debug!(%error, attempt, "asking again");
                    std::thread::sleep(download::pause(self.options.retry_pause, attempt));
                }
                other => return other,
            }
        }
    }
}

/// Notes for later runs: not worth failing for.
fn best_effort(result: Result<(), HubError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "could not update the cache");
    }
}
