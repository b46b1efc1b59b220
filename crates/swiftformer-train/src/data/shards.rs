//! Data sets in several files whose names say what they are for.

use std::path::{Path, PathBuf};

use super::{
    DataError,
    folder::{Entry, entries},
};

/// How deep files may lie below the folder.
const MAX_DEPTH: usize = 3;

/// Folders with more folders in them hold classes, not shards; all of them would take long to search.
const MAX_FOLDERS: usize = 64;

/// What images are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

/// Files of a data set by part, each in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shards {
    /// Files to learn from; all files where no name says what they are for.
    pub(super) train: Vec<PathBuf>,
    /// Files to judge by; may be empty.
    pub(super) validation: Vec<PathBuf>,
}

/// The part that a word of a name stands for.
fn part_of_word(word: &str) -> Option<Part> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "val" | "valid" | "validation" | "dev" | "eval" => Some(Part::Validation),
        "test" | "testing" => Some(Part::Test),
        _ => None,
    }
}

/// The part that a path below the root stands for: its last word that says so.
fn part_of(path: &Path) -> Option<Part> {
    let text = path.to_string_lossy();
    text.split(|character: char| !character.is_alphanumeric()).filter_map(part_of_word).next_back()
}

fn collect(folder: &Path, extension: &str, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let entries = entries(folder)?;
    let folders = entries.values().filter(|entry| entry.is_folder).count();
    for Entry { path, is_folder } in entries.into_values() {
        if is_folder {
            if depth < MAX_DEPTH && folders <= MAX_FOLDERS {
                collect(&path, extension, depth + 1, files)?;
            }
        } else if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension)) {
            files.push(path);
        }
    }
    Ok(())
}

/// The files with `extension` at or below `root`; `None` when there are none.
pub(super) fn find(root: &Path, extension: &str) -> Result<Option<Shards>, DataError> {
    let mut files = Vec::new();
    if root.is_dir() {
        collect(root, extension, 0, &mut files)?;
    } else if root.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension)) {
        files.push(root.to_owned());
        return Ok(Some(Shards { train: files, validation: Vec::new() }));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let of = |part: Option<Part>| {
        let below = |path: &&PathBuf| part_of(path.strip_prefix(root).unwrap_or(path)) == part;
        files.iter().filter(below).cloned().collect::<Vec<_>>()
    };
    let validation = [Part::Validation, Part::Test].map(|part| of(Some(part)));
    let validation = validation.into_iter().find(|files| !files.is_empty()).unwrap_or_default();
    let train = [Some(Part::Train), None].map(of).into_iter().find(|files| !files.is_empty());
    Ok(Some(match train {
        Some(train) => Shards { train, validation },
        // Only files to judge by: they are all there is.
        None => Shards { train: validation, validation: Vec::new() },
    }))
}
