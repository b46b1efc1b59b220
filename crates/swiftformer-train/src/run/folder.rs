//! The folder of a run: files that are there whole or not at all, whenever the program is killed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use swiftformer::{
    arch::Arch,
    image::Preprocessor,
    tensor::TensorMap,
    weights::{ReadOptions, layout::recognise, names::Layout, read_file, safetensors, state::StateDict},
};

use super::RunError;
use crate::recipe::Recipe;

/// Writes `bytes` beside `path`, on the disk itself, and renames.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let failed = |source| RunError::Write { path: path.to_owned(), source };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.partial"));
    let written = || -> io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_folder(path)
    };
    written().map_err(|error| {
        // On a full disk the half of a file is in the way.
        let _ = fs::remove_file(&aside);
        failed(error)
    })
}

/// Makes a rename lasting; systems that cannot open folders do without.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().map(File::open) {
        Some(Ok(folder)) => folder.sync_all(),
        _ => Ok(()),
    }
}

pub(super) fn write_tensors(path: &Path, tensors: &TensorMap) -> Result<(), RunError> {
    let bytes = safetensors::to_bytes(tensors)
        .map_err(|error| RunError::Write { path: path.to_owned(), source: io::Error::other(error) })?;
    write(path, &bytes)
}

/// Whether files of these names are all that a run writes before its first state, the recipe first.
fn is_start_of_run(names: &[String]) -> bool {
    let written = [super::RECIPE, "config.json", "preprocessor_config.json", super::METRICS, super::EVENTS];
    let folders = [super::LAST, super::AVERAGED];
    let whole =
        |name: &str| name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(name).to_owned();
    names.iter().any(|name| whole(name) == super::RECIPE)
        && names.iter().all(|name| {
            let file = whole(name);
            written.contains(&file.as_str())
                || folders.contains(&name.as_str())
                || file == super::STATE && file != *name
        })
}

/// Where the files of a run lie.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder, which must be empty where it is there, or hold what a run leaves that was killed before its first
    /// state was saved.
    pub(super) fn create(path: &Path) -> Result<Self, RunError> {
        let failed = |source| RunError::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let entries = fs::read_dir(path).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        if !names.is_empty() && !is_start_of_run(&names) {
            return Err(RunError::Exists { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Writes the recipe, and what a model folder holds beside the weights: for the best model, the last, and the last with
    /// averaged weights where there are any. Attentions that no library knows are named in the dialect's place, so that nobody
    /// takes the folder for a model that it is not.
    pub(super) fn write_settings(
        &self,
        recipe: &Recipe,
        arch: &Arch,
        preprocessor: &Preprocessor,
    ) -> Result<(), RunError> {
        write(&self.file(super::RECIPE), recipe.to_text()?.as_bytes())?;
        let mut config = arch.config.to_hf_json()?;
        if !recipe.attention().is_empty() {
            let mut value: Value =
                serde_json::from_str(&config).map_err(|error| RunError::Setting(error.to_string()))?;
            value["dialect"] = json!({ "attention": recipe.model.attention });
            config = format!("{value:#}\n");
        }
        let preprocessor =
            preprocessor.to_preprocessor_config().map_err(|error| RunError::Setting(error.to_string()))?;
        let preprocessor = format!("{preprocessor:#}\n");
        let others = [super::LAST]
            .into_iter()
            .chain((recipe.optimizer.ema > 0.0).then_some(super::AVERAGED))
            .map(|name| self.file(name));
        for folder in [self.path.clone()].into_iter().chain(others) {
            fs::create_dir_all(&folder).map_err(|source| RunError::Write { path: folder.clone(), source })?;
            write(&folder.join("config.json"), config.as_bytes())?;
            write(&folder.join("preprocessor_config.json"), preprocessor.as_bytes())?;
        }
        Ok(())
    }

    /// The weights of the model in `folder` of the run (the run's own when empty).
    pub(super) fn read_weights(&self, folder: &str, arch: &Arch) -> Result<StateDict, RunError> {
        let path = self.path.join(folder).join("model.safetensors");
        let damaged = |why: String| RunError::State { path: self.path.clone(), why };
        let file = read_file(&path, &ReadOptions { memory_map: false, ..ReadOptions::default() })?;
        let tensors = recognise(file.tensors).map_err(|error| damaged(error.to_string()))?;
        StateDict::from_tensors(arch, tensors).map_err(|error| damaged(error.to_string()))
    }

    /// Writes the weights of the model in `folder` of the run (the run's own when empty).
    pub(super) fn write_weights(&self, folder: &str, arch: &Arch, state: &StateDict) -> Result<(), RunError> {
        let tensors = state.to_tensors(arch, Layout::HuggingFace);
        write_tensors(&self.path.join(folder).join("model.safetensors"), &tensors)
    }
}

/// Opens a file to append to its first `bytes` bytes; gives how many of these there are.
pub(super) fn truncated(path: &Path, bytes: u64) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
    let bytes = bytes.min(file.metadata()?.len());
    file.set_len(bytes)?;
    drop(file);
    Ok((OpenOptions::new().append(true).open(path)?, bytes))
}

/// The lines of `metrics.jsonl`.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Journal {
    /// Goes on behind the first `bytes` bytes; what follows belongs to steps that are done again.
    pub(super) fn open(folder: &Folder, bytes: u64) -> Result<Self, RunError> {
        let path = folder.file(super::METRICS);
        let failed = |source| RunError::Write { path: path.clone(), source };
        let (file, bytes) = truncated(&path, bytes).map_err(failed)?;
        Ok(Self { path, file, bytes })
    }

    pub(super) fn add(&mut self, line: &impl serde::Serialize) -> Result<(), RunError> {
        let failed = |source| RunError::Write { path: self.path.clone(), source };
        let mut text = serde_json::to_vec(line).map_err(|error| failed(io::Error::other(error)))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(failed)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// How long it is, once that is on the disk.
    pub(super) fn sync(&mut self) -> Result<u64, RunError> {
        self.file.sync_data().map_err(|source| RunError::Write { path: self.path.clone(), source })?;
        Ok(self.bytes)
    }
}
