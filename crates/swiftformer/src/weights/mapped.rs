//! A file's bytes, mapped or read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

use crate::files;

/// The bytes of the regular file at `path`. With `map`, pages are read when they are first used.
///
/// # Errors
/// When there is no such file, it is not a regular one (a folder, a pipe), or it cannot be read.
pub(crate) fn open(path: &Path, map: bool) -> io::Result<Bytes> {
    let (mut file, _) = files::open(path)?;
    if !map {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok(bytes.into());
    }
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    Ok(Bytes::from_owner(map_file(&file)?))
}

#[allow(unsafe_code)]
fn map_file(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the map is read-only and private to this process. Another process that changes or cuts the file
    // meanwhile would change the bytes under us; `ReadOptions::memory_map` documents that this must not happen.
    unsafe { memmap2::Mmap::map(file) }
}
