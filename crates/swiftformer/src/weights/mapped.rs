//! A file's bytes, mapped or read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use memmap2::Mmap;

use crate::files;

/// A mapped file, for as long as its bytes are in use.
#[derive(Clone, Debug)]
pub(crate) struct FileMap(Weak<Mmap>);

impl FileMap {
    /// Lets go of the pages that were read so far; those that are used again are taken from the file again.
    pub(crate) fn release_pages(&self) {
        if let Some(map) = self.0.upgrade()
            && let Err(error) = release(&map)
        {
            tracing::debug!(%error, "the pages of a mapped file stay in memory");
        }
    }
}

/// What keeps a map alive behind its bytes.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes of the regular file at `path`. With `map`, pages are read when they are first used.
///
/// # Errors
/// When there is no such file, it is not a regular one (a folder, a pipe), or it cannot be read.
pub(crate) fn open(path: &Path, map: bool) -> io::Result<(Bytes, Option<FileMap>)> {
    let (mut file, _) = files::open(path)?;
    if !map {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok((bytes.into(), None));
    }
    if file.metadata()?.len() == 0 {
        return Ok((Bytes::new(), None));
    }
    let map = Arc::new(map_file(&file)?);
    let handle = FileMap(Arc::downgrade(&map));
    Ok((Bytes::from_owner(Owner(map)), Some(handle)))
}

#[allow(unsafe_code)]
fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only, and nothing in this process writes to the file. Another process that changes or cuts
    // the file meanwhile would change the bytes under us; `ReadOptions::memory_map` documents that this must not happen.
    unsafe { Mmap::map(file) }
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn release(map: &Mmap) -> io::Result<()> {
    // SAFETY: `map_file` makes shared maps of files, whose pages come back from the file with the same bytes, so that
    // nobody who reads them meanwhile can tell. Only private maps, which `Mmap::map` does not make, would read as zeros.
    unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) }
}

#[cfg(not(unix))]
fn release(_: &Mmap) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_pages_come_back_with_the_files_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        let written: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &written).unwrap();
        let (bytes, map) = open(&path, true).unwrap();
        let map = map.unwrap();
        assert!(bytes == written);
        // Bytes in use stay valid when another file takes the name.
        std::fs::write(folder.path().join("other"), b"other").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        map.release_pages();
        assert!(bytes == written);
        drop(bytes);
        assert!(map.0.upgrade().is_none(), "the map ends with its bytes");
        map.release_pages();
    }
}
