//! Output files and folders that appear whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, bail};

/// Files and folders being written, for Ctrl-C to remove.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes every file and folder that is being written.
pub fn remove_all() {
    for path in OPEN.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // The program ends here; a leftover is no reason to stay.
        let _ = remove(&path);
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// The name under which something is made that will be at `target`.
fn aside(target: &Path) -> Option<PathBuf> {
    let mut aside = OsString::from(".");
    aside.push(target.file_name()?);
    aside.push(format!(".{}.partial", std::process::id()));
    Some(target.with_file_name(aside))
}

/// A file beside its target; it takes the target's place by [`finish`](Self::finish), and is removed otherwise.
pub struct Partial {
    writer: Option<BufWriter<File>>,
    path: PathBuf,
    target: PathBuf,
}

impl Partial {
    /// Starts a file for `target`.
    pub fn create(target: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", target.display());
        // Renaming onto a folder or device would fail late or do harm.
        if target.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            bail!("{}: there is something else than a file at that place", cannot());
        }
        let Some(path) = aside(target) else { bail!("{}: not the name of a file", cannot()) };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.with_context(cannot)?;
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Ok(Self { writer: Some(BufWriter::new(file)), path, target: target.to_owned() })
    }

    /// Where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What to write to.
    pub fn writer(&mut self) -> anyhow::Result<&mut BufWriter<File>> {
        self.writer.as_mut().context("the output is closed")
    }

    /// Puts the file in its place.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.target.display());
        if let Some(writer) = self.writer.take() {
            writer.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
        }
        fs::rename(&self.path, &self.target).with_context(cannot)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        drop(self.writer.take());
        // After `finish` there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
    }
}

/// A folder beside its target; it takes the target's place by [`finish`](Self::finish), and is removed otherwise.
pub struct PartialFolder {
    path: PathBuf,
    target: PathBuf,
}

impl PartialFolder {
    /// Starts a folder for `target`, which is not there yet or is an empty folder.
    pub fn create(target: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", target.display());
        // The last part of `some/..` is no name; of the folder it stands for, it is.
        let target = if target.exists() { target.canonicalize().with_context(cannot)? } else { target.to_owned() };
        if target.exists() {
            if !target.is_dir() {
                bail!("{}: there is a file at that place", cannot());
            }
            if fs::read_dir(&target).with_context(cannot)?.next().is_some() {
                bail!("{}: the folder is not empty", cannot());
            }
        }
        let Some(path) = aside(&target) else { bail!("{}: not the name of a folder", cannot()) };
        fs::create_dir(&path).with_context(cannot)?;
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Ok(Self { path, target })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder in its place.
    pub fn finish(self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.target.display());
        if self.target.exists() {
            // Fails when something came into it meanwhile.
            fs::remove_dir(&self.target).with_context(cannot)?;
        }
        fs::rename(&self.path, &self.target).with_context(cannot)
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        // After `finish` there is nothing left to remove.
        let _ = fs::remove_dir_all(&self.path);
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
    }
}
