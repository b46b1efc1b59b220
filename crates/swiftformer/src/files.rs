//! Opening the files that people name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file for reading, and says how many bytes it has.
///
/// # Errors
/// When there is no such file, it is a folder, a pipe, a device or a socket, or it cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    // Before the file is opened: opening a pipe waits for its other end, and a device may have no end.
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
    }
    if !kind.is_file() {
        let what = "it is not a regular file, but a pipe, a device or a socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok((File::open(path)?, kind.len()))
}

/// The text of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and when the file is longer or no UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let (file, _) = open(path)?;
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(too_long(limit));
    }
    Ok(text)
}

/// The error of a file that is longer than `limit` bytes.
pub(crate) fn too_long(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than the limit of {limit} bytes"))
}
