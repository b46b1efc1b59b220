//! The cache folder that all Hugging Face libraries share.
//!
//! ```text
//! models--ORG--NAME/
//!   blobs/ETAG                      the bytes, once a content
//!   refs/REVISION                   the commit a branch or tag meant when last asked
//!   snapshots/COMMIT/FILE           a relative symlink to the blob (a copy where links are not allowed)
//!   .no_exist/COMMIT/FILE           an empty file: the commit has no such file
//! .locks/models--ORG--NAME/ETAG.lock
//! ```
//!
//! Everything is written beside its place and renamed into it, so readers never see half a file.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::HubError;
use super::id::is_commit_hash;

/// One repository's part of the cache. Names given to its methods are checked by the caller.
#[derive(Clone, Debug)]
pub(super) struct RepoCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub fn new(cache_dir: &Path, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Self { folder: cache_dir.join(&name), locks: cache_dir.join(".locks").join(name) }
    }

    /// The commit that `revision` is, or meant when last asked.
    pub fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit_hash(revision) {
            return Some(revision.to_owned());
        }
        let mut text = String::new();
        File::open(self.folder.join("refs").join(revision)).ok()?.take(128).read_to_string(&mut text).ok()?;
        Some(text.trim()).filter(|hash| is_commit_hash(hash)).map(str::to_owned)
    }

    /// The snapshot folder of `commit`.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The file in the snapshot, if it is there.
    pub fn cached(&self, commit: &str, file: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(file)).filter(|path| path.is_file())
    }

    /// Whether the commit is known to lack `file`.
    pub fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.folder.join(".no_exist").join(commit).join(file).is_file()
    }

    /// Notes that the commit lacks `file`.
    pub fn mark_absent(&self, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.folder.join(".no_exist").join(commit).join(file);
        make_parent(&path)?;
        File::create(&path).map(drop).map_err(HubError::io(path))
    }

    /// Notes that `revision` means `commit`.
    pub fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        make_parent(&path)?;
        let aside = Aside::beside(&path);
        let mut file = aside.create()?;
        file.write_all(commit.as_bytes()).map_err(HubError::io(aside.path()))?;
        drop(file);
        aside.rename_to(&path)
    }

    /// The blob called `etag`, there or not.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where a download that can be verified and resumed gathers.
    pub fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Makes the snapshot's entry for a blob and returns its path.
    pub fn link(&self, etag: &str, commit: &str, file: &str) -> Result<PathBuf, HubError> {
        self.link_by(symlink, etag, commit, file)
    }

    /// [`RepoCache::link`] with the system's way of making links as an argument.
    pub(super) fn link_by(
        &self,
        symlink: fn(&Path, &Path) -> io::Result<()>,
        etag: &str,
        commit: &str,
        file: &str,
    ) -> Result<PathBuf, HubError> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        let up = "../".repeat(2 + file.split('/').count() - 1);
        let aside = Aside::beside(&path);
        if let Err(error) = symlink(Path::new(&format!("{up}blobs/{etag}")), aside.path()) {
            tracing::debug!(%error, "no symlinks here, copying");
            fs::copy(self.blob(etag), aside.path()).map_err(HubError::io(aside.path()))?;
        }
        aside.rename_to(&path)?;
        Ok(path)
    }

    /// Locks `etag` against other processes, also those of Python's library. `None` when the file system has no locks,
    /// or when somebody held it for longer than `timeout`: then one must work on a file of one's own.
    pub fn lock(&self, etag: &str, timeout: Duration) -> Result<Option<File>, HubError> {
        let path = self.locks.join(format!("{etag}.lock"));
        make_parent(&path)?;
        let file = File::options().create(true).append(true).open(&path).map_err(HubError::io(&path))?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if start.elapsed() < timeout => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(lock = %path.display(), "waiting for another process that downloads this file");
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => {
                    tracing::debug!(%error, lock = %path.display(), "downloading without the lock");
                    return Ok(None);
                }
            }
        }
    }
}

/// A file under a name of its own beside its final place; gone when dropped before it got there.
#[derive(Debug)]
pub(super) struct Aside {
    path: PathBuf,
    keep: bool,
}

impl Aside {
    /// A fresh name beside `place`, which no other process uses.
    pub fn beside(place: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:x}-{nanos:x}-{count:x}.incomplete", std::process::id()));
        Self { path: place.with_file_name(name), keep: false }
    }

    /// A name that outlives this process, so that a later one can continue.
    pub fn resumable(path: PathBuf) -> Self {
        Self { path, keep: true }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what it holds stays for a later process.
    pub fn is_resumable(&self) -> bool {
        self.keep
    }

    fn create(&self) -> Result<File, HubError> {
        File::options().write(true).create_new(true).open(&self.path).map_err(HubError::io(&self.path))
    }

    /// Moves it into place, over what is there.
    pub fn rename_to(mut self, place: &Path) -> Result<(), HubError> {
        fs::rename(&self.path, place).map_err(HubError::io(place))?;
        self.keep = true;
        Ok(())
    }

    /// Deletes it.
    pub fn discard(mut self) {
        self.keep = false;
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.keep {
            // It may never have been made, and nothing depends on its going.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates the folder that `path` lies in.
pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(HubError::io(folder))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target.to_string_lossy().replace('/', "\\"), link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
