//! Which images a command line means: files, folders, globs, and paths on stdin.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, BufRead},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Endings by which a folder's files count as images, in lower case.
const ENDINGS: [&str; 12] = ["apng", "bmp", "dib", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// One image to look at, or a place where none can be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// Why it could not even be looked for.
    pub error: Option<String>,
}

impl Input {
    fn file(path: PathBuf) -> Self {
        Self { path, error: None }
    }

    fn broken(path: &Path, error: &io::Error) -> Self {
        Self { path: path.to_owned(), error: Some(format!("cannot read the folder: {error}")) }
    }

    /// The path as results show it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Every image that `arguments` mean, in their order.
///
/// # Errors
/// When stdin cannot be read, a glob makes no sense, or there is not a single image.
pub fn expand(arguments: &[OsString]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for argument in arguments {
        let before = inputs.len();
        if argument == "-" {
            from_stdin(&mut inputs)?;
        } else {
            from_argument(argument, &mut inputs)?;
        }
        if inputs.len() == before {
            tracing::warn!("no images in {}", argument.display());
        }
    }
    if inputs.is_empty() {
        let listed: Vec<String> = arguments.iter().map(|argument| argument.display().to_string()).collect();
        bail!("no images found in {} (folders are searched for {})", listed.join(", "), ENDINGS.join(", "));
    }
    Ok(inputs)
}

fn from_argument(argument: &OsStr, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    let path = Path::new(argument);
    let pattern = argument.to_str().filter(|text| text.contains(['*', '?', '[']));
    match pattern {
        // A file may have such a name.
        Some(pattern) if path.symlink_metadata().is_err() => from_glob(pattern, inputs),
        _ => {
            from_path(path, inputs);
            Ok(())
        }
    }
}

/// A folder's images, or the file itself whatever its name, even if it is not there.
fn from_path(path: &Path, inputs: &mut Vec<Input>) {
    if path.is_dir() { from_folder(path, inputs) } else { inputs.push(Input::file(path.to_owned())) }
}

/// What a shell would make of the pattern.
fn from_glob(pattern: &str, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(pattern, options).with_context(|| format!("`{pattern}` is not a glob"))?;
    for path in paths {
        match path {
            Ok(path) => from_path(&path, inputs),
            Err(error) => inputs.push(Input::broken(error.path(), error.error())),
        }
    }
    Ok(())
}

/// The images below `folder` in the order of their names. Hidden files are left out; links to folders are not followed,
/// so that no circle of them catches us.
fn from_folder(folder: &Path, inputs: &mut Vec<Input>) {
    // The last entry is next.
    let mut waiting = vec![(folder.to_owned(), true)];
    while let Some((path, is_folder)) = waiting.pop() {
        if !is_folder {
            inputs.push(Input::file(path));
            continue;
        }
        match entries(&path) {
            Ok(entries) => waiting.extend(entries.into_iter().rev()),
            Err(error) => inputs.push(Input::broken(&path, &error)),
        }
    }
}

/// Folders and images of a folder, sorted by name.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type()?;
        let is_file = kind.is_file() || (kind.is_symlink() && path.is_file());
        if kind.is_dir() || (is_file && has_image_ending(&path)) {
            found.push((path, kind.is_dir()));
        }
    }
    found.sort();
    Ok(found)
}

fn has_image_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// One path a line; empty lines do not count.
fn from_stdin(inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stdin.read_until(b'\n', &mut line).context("cannot read the list of images on stdin")? == 0 {
            return Ok(());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            from_path(&path_of(text)?, inputs);
        }
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "only elsewhere can a line be no path")]
fn path_of(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(PathBuf::from(OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let text = std::str::from_utf8(bytes).context("a path on stdin is not UTF-8")?;
    Ok(PathBuf::from(text))
}
