//! What a printer gives, and putting it where it belongs: whole or not at all.

use std::{fs, io::Write, path::Path};

use super::ExportError;
use crate::aside::Aside;

/// An exported model in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Artifact {
    /// One file.
    File(Vec<u8>),
    /// A folder: paths inside it, separated by `/`, and what stands there.
    Folder(Vec<(String, Vec<u8>)>),
}

impl Artifact {
    /// Bytes of all files.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::File(bytes) => bytes.len(),
            Self::Folder(files) => files.iter().map(|(_, bytes)| bytes.len()).sum(),
        }
    }

    /// Writes it beside `target` and moves it there once it is whole.
    ///
    /// # Errors
    /// When something stands there and `overwrite` is not set, or it cannot be written.
    pub fn save(&self, target: &Path, overwrite: bool) -> Result<(), ExportError> {
        if target.symlink_metadata().is_ok() && !overwrite {
            return Err(ExportError::Exists { path: target.to_owned() });
        }
        let write = || {
            let aside = Aside::new(target)?;
            match self {
                Self::File(bytes) => write_file(aside.path(), bytes)?,
                Self::Folder(files) => {
                    fs::create_dir(aside.path())?;
                    for (name, bytes) in files {
                        let path = aside.path().join(name);
                        path.parent().map_or(Ok(()), fs::create_dir_all)?;
                        write_file(&path, bytes)?;
                    }
                }
            }
            aside.move_to(target)
        };
        write().map_err(|source| ExportError::Write { path: target.to_owned(), source })
    }
}

/// Some file systems tell only when a file is synchronised that there was no room for it.
fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
