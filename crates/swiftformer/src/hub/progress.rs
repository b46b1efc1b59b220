//! How far a download is.

/// Told about the progress of each file; the caller draws it.
pub trait Progress {
    /// `done` of `total` bytes of `file` are on disk. Called at the start (with what a resumed download already has),
    /// after every piece, and with `done == total` when the file is complete and verified. `done` falls when a server
    /// makes a download start over. Files that were in the cache are not reported.
    fn report(&mut self, file: &str, done: u64, total: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&mut self, _file: &str, _done: u64, _total: u64) {}
}

impl<F: FnMut(&str, u64, u64)> Progress for F {
    fn report(&mut self, file: &str, done: u64, total: u64) {
        self(file, done, total);
    }
}
