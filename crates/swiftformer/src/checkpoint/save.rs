//! Saving a model in any layout, whole or not at all.

use std::{fs, io, path::Path};

use serde_json::{Map, Value};

use super::{Checkpoint, CheckpointError};
use crate::{
    arch::TailKind,
    aside::Aside,
    config::ConfigError,
    tensor::{DType, TensorMap},
    weights::{
        hdf5::{self, keras::KerasWeights},
        names::Layout,
        safetensors, torch,
    },
};

/// How to save a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaveOptions {
    /// Replace what stands at the target.
    pub overwrite: bool,
    /// Round weights to this type ([`DType::F32`], [`DType::F16`] or [`DType::BF16`]); `None` keeps each as it is.
    pub dtype: Option<DType>,
}

/// Entries of a PyTorch file beside the state dict: the texts of a folder's `config.json` and
/// `preprocessor_config.json`.
pub(super) const CONFIG_ENTRY: &str = "config";
pub(super) const PREPROCESSOR_ENTRY: &str = "preprocessor_config";

/// Endings by which a target is a single PyTorch file rather than a folder.
const TORCH_ENDINGS: [&str; 4] = ["pth", "pt", "bin", "tar"];

impl Checkpoint {
    /// Saves the model in `layout`.
    ///
    /// | layout | target |
    /// |---|---|
    /// | Hugging Face | folder: `config.json`, `model.safetensors`, `preprocessor_config.json` |
    /// | timm | folder: `config.json` with `pretrained_cfg`, `model.safetensors` |
    /// | original | file (`.pth`, `.pt`, `.bin`, `.tar`), or folder with `model.pth`: the state dict under `model`, both configs as texts under `config` and (where transformers can express it) `preprocessor_config` |
    /// | TensorFlow | folder: `config.json`, `tf_model.h5`, `preprocessor_config.json` |
    ///
    /// Everything is written beside the target first and moved there once it is whole.
    ///
    /// # Errors
    /// When the layout cannot express the model, the target exists, or it cannot be written.
    pub fn save(&self, target: &Path, layout: Layout, options: SaveOptions) -> Result<(), CheckpointError> {
        if layout == Layout::TensorFlow && self.arch.tail_kind() != TailKind::Classifier {
            let why = "TensorFlow's layout needs a classifier (norm, head and dist_head)";
            return Err(CheckpointError::Edit(why.into()));
        }
        let is_file = target.extension().and_then(|ending| ending.to_str()).is_some_and(|e| TORCH_ENDINGS.contains(&e));
        if target.symlink_metadata().is_ok() && !options.overwrite {
            return Err(CheckpointError::Exists { path: target.to_owned() });
        }
        let aside = Aside::new(target).map_err(|source| failed(target, source))?;
        if layout == Layout::Original && is_file {
            self.write_original(aside.path(), options)?;
        } else {
            fs::create_dir(aside.path()).map_err(|source| failed(aside.path(), source))?;
            self.write_folder(aside.path(), layout, options)?;
        }
        aside.move_to(target).map_err(|source| failed(target, source))
    }

    fn write_folder(&self, folder: &Path, layout: Layout, options: SaveOptions) -> Result<(), CheckpointError> {
        let text = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|source| failed(&path, source))
        };
        match layout {
            Layout::HuggingFace | Layout::TensorFlow => {
                text("config.json", self.config().to_hf_json()?)?;
                let preprocessor = self
                    .preprocessor
                    .to_preprocessor_config()
                    .map_err(|error| CheckpointError::PreprocessorWrite(Box::new(error)))?;
                text("preprocessor_config.json", pretty(&preprocessor)?)?;
            }
            Layout::Timm => text("config.json", self.config().to_timm_json(self.pretrained_cfg()?)?)?,
            Layout::Original => return self.write_original(&folder.join("model.pth"), options),
        }
        let tensors = self.tensors(layout, options)?;
        if layout != Layout::TensorFlow {
            let path = folder.join("model.safetensors");
            return safetensors::write_file(&path, &tensors).map_err(|error| failed(&path, io::Error::other(error)));
        }
        let path = folder.join("tf_model.h5");
        let write = || -> io::Result<()> {
            let file = KerasWeights::from_flat(tensors).to_hdf5().map_err(io::Error::other)?;
            let sink = io::BufWriter::new(fs::File::create(&path)?);
            hdf5::write(&file, sink).map_err(io::Error::other)
        };
        write().map_err(|source| failed(&path, source))
    }

    fn write_original(&self, path: &Path, options: SaveOptions) -> Result<(), CheckpointError> {
        let mut config = self.config().with_reading(crate::config::Reading::Original)?;
        config.dialect = Some(self.config().effective_dialect());
        let tensors = self.tensors(Layout::Original, options)?;
        let mut entries = vec![(CONFIG_ENTRY.to_owned(), config.to_hf_json()?)];
        match self.preprocessor.to_preprocessor_config() {
            Ok(preprocessor) => entries.push((PREPROCESSOR_ENTRY.to_owned(), pretty(&preprocessor)?)),
            Err(error) => tracing::warn!("{} is written without its preprocessing: {error}", path.display()),
        }
        let options = torch::WriteOptions { key: Some("model".into()), entries };
        torch::write_file(path, &tensors, &options).map_err(|error| failed(path, io::Error::other(error)))
    }

    /// The layout's tensors, rounded where that was asked for.
    fn tensors(&self, layout: Layout, options: SaveOptions) -> Result<TensorMap, CheckpointError> {
        let tensors = self.state.to_tensors(&self.arch_in(layout)?, layout);
        let Some(dtype) = options.dtype else { return Ok(tensors) };
        let rounded = tensors.into_iter().map(|(name, tensor)| match tensor.rounded_to(dtype) {
            Some(tensor) => Ok((name, tensor)),
            None => Err(CheckpointError::Edit(format!("{name} does not fit into {}", dtype.name()))),
        });
        rounded.collect()
    }

    /// The network described in the layout's own terms: numbering depends on it.
    fn arch_in(&self, layout: Layout) -> Result<crate::arch::Arch, ConfigError> {
        let reading = match layout {
            Layout::Timm => crate::config::Reading::Timm,
            Layout::Original => crate::config::Reading::Original,
            Layout::HuggingFace | Layout::TensorFlow => crate::config::Reading::HuggingFace,
        };
        crate::arch::Arch::build(&self.config().with_reading(reading)?, self.arch.tail_kind())
    }

    /// timm's `pretrained_cfg`: the source's own fields, ours over them.
    fn pretrained_cfg(&self) -> Result<Map<String, Value>, CheckpointError> {
        let mut fields = match self.config().extra.get("pretrained_cfg") {
            Some(Value::Object(kept)) => kept.clone(),
            _ => Map::new(),
        };
        let ours = self
            .preprocessor
            .to_pretrained_cfg_fields()
            .map_err(|error| CheckpointError::PreprocessorWrite(Box::new(error)))?;
        for (name, value) in ours {
            // Fields of transformers' processor mean nothing to timm.
            if !name.starts_with("do_") && !name.starts_with("image_") {
                fields.insert(name, value);
            }
        }
        fields.insert("num_classes".into(), self.config().num_labels.into());
        fields.insert("first_conv".into(), "stem.0".into());
        fields.insert("classifier".into(), serde_json::json!(["head", "head_dist"]));
        Ok(fields)
    }
}

/// The text of a `preprocessor_config.json`.
fn pretty(value: &Value) -> Result<String, ConfigError> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn failed(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Write { path: path.to_owned(), source }
}
