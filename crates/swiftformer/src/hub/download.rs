//! One file from the Hub into the cache: resumed, checked, and only then given its name.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cache::{Aside, RepoCache, make_parent};
use super::client::{Client, Metadata, body_error, read_some};
use super::{HubError, HubOptions, ModelId, Progress};

/// Bytes that make an attempt count as a success, so that a long download over a bad line may break off often.
const GOOD_PROGRESS: u64 = 1 << 20;
/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A file to download and all that it takes.
pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub options: &'a HubOptions,
    pub cache: &'a RepoCache,
    pub id: &'a ModelId,
    pub file: &'a str,
    pub metadata: &'a Metadata,
}

impl Download<'_> {
    /// Makes sure that the blob exists, whole and verified.
    pub fn run(&self, progress: &mut dyn Progress) -> Result<(), HubError> {
        let Metadata { etag, size, .. } = self.metadata;
        if *size > self.options.max_file_size {
            let limit = self.options.max_file_size;
            return Err(HubError::TooLarge { file: self.file.to_owned(), size: *size, limit });
        }
        let blob = self.cache.blob(etag);
        if blob.is_file() {
            return Ok(());
        }
        make_parent(&blob)?;
        let lock = self.cache.lock(etag, self.options.lock_timeout)?;
        // Somebody else may have finished it meanwhile.
        if blob.is_file() {
            return Ok(());
        }
        // What an earlier process left may be wrong in ways that only a hash can tell.
        let resumable = lock.is_some() && self.metadata.sha256().is_some();
        let part = if resumable { Aside::resumable(self.cache.incomplete(etag)) } else { Aside::beside(&blob) };
        match self.fill_and_check(&part, progress) {
            Ok(()) => part.rename_to(&blob),
            Err(error) => {
                if !error.keeps_partial() {
                    part.discard();
                }
                Err(error)
            }
        }
    }

    fn fill_and_check(&self, part: &Aside, progress: &mut dyn Progress) -> Result<(), HubError> {
        let path = part.path();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(HubError::io(path))?;
        let resumed = part.is_resumable() && length(&file, path)? > 0;
        self.fill(&mut file, path, progress)?;
        match self.check(&mut file, path) {
            Err(HubError::HashMismatch { .. }) if resumed => {
                tracing::warn!(file = self.file, "an unfinished download was damaged, starting over");
                file.set_len(0).map_err(HubError::io(path))?;
                self.fill(&mut file, path, progress)?;
                self.check(&mut file, path)?;
            }
            other => other?,
        }
        // The rename must not reach the disk before the bytes do.
        file.sync_all().map_err(HubError::io(path))
    }

    /// Requests what is missing until the file has its size.
    fn fill(&self, file: &mut File, path: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
        let size = self.metadata.size;
        let before = length(file, path)?;
        let mut attempts = 0;
        loop {
            let mut start = length(file, path)?;
            if start > size {
                file.set_len(0).map_err(HubError::io(path))?;
                start = 0;
            }
            progress.report(self.file, start, size);
            if start == size {
                return Ok(());
            }
            let result = self.attempt(file, path, start, progress);
            let got = length(file, path)?;
            let error = match result {
                Err(error) if !error.is_transient() => return Err(error),
                _ if got == size => return Ok(()),
                Err(error) => Some(error),
                Ok(()) => None,
            };
            if got >= start.saturating_add(GOOD_PROGRESS) {
                attempts = 0;
            }
            attempts += 1;
            if attempts > self.options.retries {
                return Err(match error {
                    Some(error) if got <= before => error,
                    error => HubError::Truncated {
                        file: self.file.to_owned(),
                        got,
                        expected: size,
                        attempts,
                        reason: error.map_or_else(|| "the body ended".to_owned(), |error| error.to_string()),
                    },
                });
            }
            tracing::info!(file = self.file, got, size, "the download broke off, resuming");
            std::thread::sleep(pause(self.options.retry_pause, attempts));
        }
    }

    /// One request, written from where the server starts.
    fn attempt(&self, file: &mut File, path: &Path, start: u64, progress: &mut dyn Progress) -> Result<(), HubError> {
        let size = self.metadata.size;
        let mismatch = |got| HubError::SizeMismatch { file: self.file.to_owned(), expected: size, got };
        let mut body = self.client.body(self.id, &self.metadata.commit, self.file, start)?;
        if let Some(total) = body.total.filter(|&total| total != size) {
            return Err(mismatch(total));
        }
        // 0 when the server does not do ranges: what is there gets overwritten.
        file.set_len(body.offset).map_err(HubError::io(path))?;
        file.seek(SeekFrom::Start(body.offset)).map_err(HubError::io(path))?;
        let mut done = body.offset;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = read_some(&mut body.reader, &mut buffer).map_err(|error| body_error(error, self.id))?;
            let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { return Ok(()) };
            if count as u64 > size - done {
                return Err(mismatch(done + count as u64));
            }
            file.write_all(piece).map_err(HubError::io(path))?;
            done += count as u64;
            progress.report(self.file, done, size);
        }
    }

    /// Compares the content with the promised sha256, where there is one.
    fn check(&self, file: &mut File, path: &Path) -> Result<(), HubError> {
        let Some(expected) = self.metadata.sha256() else { return Ok(()) };
        file.seek(SeekFrom::Start(0)).map_err(HubError::io(path))?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = read_some(file, &mut buffer).map_err(HubError::io(path))?;
            match buffer.get(..count) {
                Some(piece) if !piece.is_empty() => hasher.update(piece),
                _ => break,
            }
        }
        let got: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if got == expected {
            return Ok(());
        }
        Err(HubError::HashMismatch { file: self.file.to_owned(), expected: expected.to_owned(), got })
    }
}

/// The pause before attempt number `attempt` (from 1) is repeated.
pub(super) fn pause(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(MAX_PAUSE)
}

fn length(file: &File, path: &Path) -> Result<u64, HubError> {
    Ok(file.metadata().map_err(HubError::io(path))?.len())
}
