//! Writing a file beside its final place and moving it there once it is whole.

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Calls `write` with a path in the same folder, then renames what it wrote to `path`. Nothing is left on failure.
///
/// Overwriting in place would pull a mapped file from under the tensors that view it.
pub(crate) fn write_then_rename<E>(
    path: &Path,
    io_error: fn(io::Error) -> E,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let Some(name) = path.file_name() else {
        return Err(io_error(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name")));
    };
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(partial);
    let result = write(&partial).and_then(|()| std::fs::rename(&partial, path).map_err(io_error));
    if result.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&partial);
    }
    result
}
