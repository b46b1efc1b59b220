//! A file or folder that is made beside its target and moved there once it is whole.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// A place beside the target; removed unless it was moved there.
pub(crate) struct Aside {
    path: PathBuf,
}

impl Aside {
    /// Makes the folder that the target will be in, and names a place there.
    pub(crate) fn new(target: &Path) -> io::Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
        };
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let mut aside = OsString::from(".");
        aside.push(name);
        aside.push(format!(".{}.partial", std::process::id()));
        Ok(Self { path: parent.join(aside) })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves what was written to the target; what stood there goes only when the new one is whole.
    pub(crate) fn move_to(self, target: &Path) -> io::Result<()> {
        let replaced = self.path.with_extension("replaced");
        let existed = target.symlink_metadata().is_ok();
        if existed {
            fs::rename(target, &replaced)?;
        }
        if let Err(source) = fs::rename(&self.path, target) {
            if existed {
                // The first error is the one to report.
                let _ = fs::rename(&replaced, target);
            }
            return Err(source);
        }
        remove(&replaced);
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes a file or folder if it is there; a leftover is no reason to fail.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}
