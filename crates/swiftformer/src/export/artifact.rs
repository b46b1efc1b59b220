//! What a printer gives, and putting it where it belongs: whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use super::{ExportError, coreml, ncnn};
use crate::aside::Aside;

/// What stands in the folders that exports write.
const FOLDER_ENTRIES: [&str; 6] =
    [coreml::MANIFEST_FILE, coreml::DATA_FOLDER, ncnn::PARAM_FILE, ncnn::BIN_FILE, ncnn::INFO_FILE, ncnn::LABELS_FILE];

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
    /// When something stands there and `overwrite` is not set or it is no earlier export, or it cannot be written.
    pub fn save(&self, target: &Path, overwrite: bool) -> Result<(), ExportError> {
        let cannot = |source| ExportError::Write { path: target.to_owned(), source };
        match target.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
            Ok(_) if !overwrite => return Err(ExportError::Exists { path: target.to_owned() }),
            Ok(found) => {
                if let Some(what) = self.foreign(target, found.file_type()).map_err(cannot)? {
                    return Err(ExportError::Foreign { path: target.to_owned(), what });
                }
            }
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
        write().map_err(cannot)
    }

    /// What makes a target no earlier export: a folder may hold more than that, and a device is not to be renamed over.
    fn foreign(&self, target: &Path, found: fs::FileType) -> io::Result<Option<String>> {
        let what = |what: &str| Ok(Some(what.to_owned()));
        match self {
            Self::File(_) if found.is_file() || found.is_symlink() => Ok(None),
            Self::File(_) if found.is_dir() => what("it is a folder, and the format is one file"),
            Self::Folder(_) if found.is_file() => what("it is a file, and the format is a folder"),
            Self::Folder(_) if found.is_dir() => {
                for entry in fs::read_dir(target)? {
                    let name = entry?.file_name();
                    if !FOLDER_ENTRIES.iter().any(|&written| name == written) {
                        return Ok(Some(format!("it holds {}, which no export writes", name.display())));
                    }
                }
                Ok(None)
            }
            _ => what("it is neither a file nor a folder"),
        }
    }
}

/// Some file systems tell only when a file is synchronised that there was no room for it.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Artifact {
        Artifact::Folder(vec![(ncnn::PARAM_FILE.to_owned(), b"new".to_vec())])
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn earlier_exports_are_replaced_whole() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("model");
        Artifact::Folder(vec![(ncnn::LABELS_FILE.to_owned(), Vec::new())]).save(&target, false).unwrap();
        assert!(matches!(folder().save(&target, false), Err(ExportError::Exists { .. })));
        folder().save(&target, true).unwrap();
        assert_eq!(names(&target), [ncnn::PARAM_FILE]);
        let file = place.path().join("m.onnx");
        Artifact::File(vec![1]).save(&file, false).unwrap();
        Artifact::File(vec![2]).save(&file, true).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [2]);
        assert_eq!(names(place.path()), ["m.onnx", "model"]);
    }

    #[test]
    fn what_no_export_wrote_stays() {
        let place = tempfile::tempdir().unwrap();
        let photos = place.path().join("photos");
        fs::create_dir(&photos).unwrap();
        fs::write(photos.join("cat.jpg"), b"cat").unwrap();
        let message = |artifact: &Artifact, target: &Path| artifact.save(target, true).unwrap_err().to_string();
        assert!(message(&folder(), &photos).contains("it holds cat.jpg"));
        assert!(message(&Artifact::File(vec![1]), &photos).contains("it is a folder"));
        assert!(message(&folder(), &photos.join("cat.jpg")).contains("it is a file"));
        assert_eq!(names(&photos), ["cat.jpg"]);
        assert_eq!(names(place.path()), ["photos"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_stays_a_device() {
        let socket = tempfile::tempdir().unwrap();
        let target = socket.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&target).unwrap();
        for artifact in [Artifact::File(vec![1]), folder()] {
            let message = artifact.save(&target, true).unwrap_err().to_string();
            assert!(message.contains("neither a file nor a folder"), "{message}");
        }
        assert_eq!(names(socket.path()), ["socket"]);
    }
}
