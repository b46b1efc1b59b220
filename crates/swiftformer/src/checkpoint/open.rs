//! Opening a model from the hub, a folder, a file, the library itself or nothing but a config.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    Checkpoint, CheckpointError, DialectSource, ModelSource,
    save::{CONFIG_ENTRY, PREPROCESSOR_ENTRY},
};
use crate::{
    arch::{Arch, TailKind},
    config::{self, Dialect, Reading, SwiftFormerConfig},
    files,
    image::{Preprocessor, Preset},
    tensor::DType,
    weights::{
        ReadOptions, WeightFile,
        infer::{Inferred, infer},
        layout::{Recognised, recognise},
        names::Layout,
        read_bytes, read_file,
        state::StateDict,
    },
};

/// Weight files of a folder, the first that exists is used.
const WEIGHT_FILES: [&str; 5] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
];
/// Endings of weight files under other names, when a folder holds exactly one.
const WEIGHT_ENDINGS: [&str; 6] = ["safetensors", "bin", "pth", "pt", "tar", "h5"];
/// How transformers keeps a model's preprocessing.
const PREPROCESSOR_FILE: &str = "preprocessor_config.json";
/// No config is larger than this, in bytes; ImageNet-22k's labels take 2 MB.
const MAX_CONFIG: u64 = 16 << 20;

/// How to open a model.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Overrides the dialect.
    pub dialect: Option<Dialect>,
    /// Overrides whether queries and keys are normalised.
    pub normalize_qk: Option<bool>,
    /// Overrides the preprocessing, at the model's input size.
    pub preset: Option<Preset>,
    /// Key of the state dict in a checkpoint that holds several, such as `model_ema`.
    pub state_dict: Option<String>,
    /// Seed of fresh weights.
    pub seed: u64,
    /// Where hub ids are looked up; `None` reads the environment.
    #[cfg(feature = "hub")]
    pub hub: Option<crate::hub::HubOptions>,
}

impl Checkpoint {
    /// Opens a model, without a word about the progress of downloads.
    ///
    /// # Errors
    /// When it cannot be found or read, is no SwiftFormer, or its parts do not fit each other.
    pub fn open(source: &ModelSource, options: &OpenOptions) -> Result<Self, CheckpointError> {
        Self::open_with_progress(source, options, &mut |_: &str, _: u64, _: u64| {})
    }

    /// Opens a model; `progress` hears the file, the bytes done and the bytes in all of every download.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_with_progress(
        source: &ModelSource,
        options: &OpenOptions,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Self, CheckpointError> {
        let mut checkpoint = match source {
            ModelSource::Demo => crate::demo::checkpoint()?,
            ModelSource::RandomVariant(variant) => fresh(variant.config(), None, options)?,
            ModelSource::RandomConfig(path) => {
                let config = read_config(path)?;
                let parsed = parse_config(path, &config)?;
                fresh(parsed, Some((path, &config)), options)?
            }
            ModelSource::Path(path) => open_path(path, options)?,
            ModelSource::Hub(id) => open_path(&fetch(id, options, progress)?, options)?,
        };
        checkpoint.name = source.to_string();
        checkpoint.public_name = source.public_name();
        checkpoint.apply(options)?;
        Ok(checkpoint)
    }

    fn apply(&mut self, options: &OpenOptions) -> Result<(), CheckpointError> {
        let mut config = self.arch.config.clone();
        if let Some(dialect) = options.dialect {
            config.dialect = Some(dialect);
            self.dialect_source = DialectSource::Told;
        }
        config.normalize_qk = options.normalize_qk.unwrap_or(config.normalize_qk);
        if let Some(preset) = options.preset {
            let [height, width] = config.image_size;
            self.preprocessor = with_channels(preset.preprocessor(height, width), config.num_channels);
        }
        self.arch = Arch::build(&config, self.arch.tail_kind())?;
        if self.dialect_source != DialectSource::Unknown {
            let (dialect, _) = self.dialect();
            if let Some(warning) = self.token_weights().warning(dialect) {
                tracing::warn!("{}: {warning}", self.name);
            }
        }
        Ok(())
    }
}

#[cfg(feature = "hub")]
fn fetch(
    id: &str,
    options: &OpenOptions,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<PathBuf, CheckpointError> {
    let hub = options.hub.clone().unwrap_or_else(crate::hub::HubOptions::from_env);
    let id = id.parse()?;
    let mut report = |file: &str, done: u64, total: u64| progress(file, done, total);
    Ok(crate::hub::Hub::new(hub)?.fetch_model(&id, &mut report)?)
}

#[cfg(not(feature = "hub"))]
fn fetch(id: &str, _: &OpenOptions, _: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf, CheckpointError> {
    Err(CheckpointError::NoHub(id.to_owned()))
}

fn fresh(
    config: SwiftFormerConfig,
    file: Option<(&Path, &str)>,
    options: &OpenOptions,
) -> Result<Checkpoint, CheckpointError> {
    let dialect_source = if config.dialect.is_some() { DialectSource::Config } else { DialectSource::Fresh };
    let arch = Arch::build(&config, TailKind::Classifier).map_err(|source| match file {
        Some((path, _)) => CheckpointError::Config { path: path.to_owned(), source },
        None => CheckpointError::BadConfig(source),
    })?;
    let state = StateDict::initialised(&arch, options.seed);
    let preprocessor = match file {
        Some((path, text)) => preprocessor_of(&arch.config, Some((path, text)), path.parent())?,
        None => preprocessor_of(&arch.config, None, None)?,
    };
    let layout = layout_of(config.reading);
    Ok(Checkpoint::unnamed(arch, state, preprocessor, dialect_source, layout))
}

fn layout_of(reading: Reading) -> Layout {
    match reading {
        Reading::HuggingFace => Layout::HuggingFace,
        Reading::Timm => Layout::Timm,
        Reading::Original => Layout::Original,
    }
}

fn open_path(path: &Path, options: &OpenOptions) -> Result<Checkpoint, CheckpointError> {
    let read_options = ReadOptions { state_dict: options.state_dict.clone(), ..ReadOptions::default() };
    let metadata = fs::metadata(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
    if !metadata.is_dir() {
        let file = read_file(path, &read_options)?;
        return assemble(path, file, None, None);
    }
    let weights = weights_of(path)?;
    let file = read_file(&weights, &read_options)?;
    let config_path = path.join("config.json");
    let config = match read_config(&config_path) {
        Ok(text) => Some((config_path.as_path(), text)),
        Err(CheckpointError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    assemble(path, file, config, Some(path))
}

/// Opens the bytes of a model's three files.
pub(crate) fn open_bytes(
    name: &str,
    weights: Bytes,
    config: &str,
    preprocessor: &str,
) -> Result<Checkpoint, CheckpointError> {
    let path = Path::new(name);
    let file = read_bytes(weights, &ReadOptions::default())?;
    let mut checkpoint = assemble(path, file, Some((path, config.to_owned())), None)?;
    checkpoint.preprocessor = parse_preprocessor(path, preprocessor)?;
    Ok(checkpoint)
}

fn weights_of(folder: &Path) -> Result<PathBuf, CheckpointError> {
    if let Some(found) = WEIGHT_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(found);
    }
    let entries = fs::read_dir(folder).map_err(|source| CheckpointError::Read { path: folder.to_owned(), source })?;
    let is_weights = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        path.is_file() && WEIGHT_ENDINGS.contains(&ending)
    };
    let mut others = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_weights);
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(CheckpointError::NoWeights { path: folder.to_owned(), looked_for: WEIGHT_FILES.to_vec() }),
    }
}

fn read_config(path: &Path) -> Result<String, CheckpointError> {
    files::read_text(path, MAX_CONFIG).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })
}

fn parse_config(path: &Path, text: &str) -> Result<SwiftFormerConfig, CheckpointError> {
    SwiftFormerConfig::from_json(text).map_err(|source| CheckpointError::Config { path: path.to_owned(), source })
}

/// Reads the text of a `preprocessor_config.json`.
fn parse_preprocessor(path: &Path, text: &str) -> Result<Preprocessor, CheckpointError> {
    let refused = |source| CheckpointError::Config { path: path.to_owned(), source };
    let value = config::parse_json(text).map_err(refused)?;
    Preprocessor::from_preprocessor_config(&value)
        .map_err(|source| CheckpointError::Preprocessor { path: path.to_owned(), source: Box::new(source) })
}

/// Fits weights, config and preprocessing together.
fn assemble(
    path: &Path,
    file: WeightFile,
    config: Option<(&Path, String)>,
    folder: Option<&Path>,
) -> Result<Checkpoint, CheckpointError> {
    let model = path.display().to_string();
    let recorded = file.metadata.get(CONFIG_ENTRY).cloned();
    let recorded_preprocessor = file.metadata.get(PREPROCESSOR_ENTRY).cloned();
    let maps = file.maps;
    let tensors = recognise(file.tensors).map_err(|source| CheckpointError::Layout { model: model.clone(), source })?;
    check_dtypes(&model, &tensors)?;
    let inferred = infer(&tensors).map_err(|source| CheckpointError::Infer { model: model.clone(), source })?;
    let source = tensors.source;
    let config = match (&config, recorded) {
        (Some((path, text)), _) => Some((*path, text.clone())),
        (None, Some(text)) => Some((path, text)),
        (None, None) => None,
    };
    let (network, dialect_source) = match &config {
        Some((path, text)) => {
            let parsed = parse_config(path, text)?;
            let dialect_source = match parsed.dialect {
                Some(_) => DialectSource::Config,
                None => DialectSource::Layout(layout_of(parsed.reading)),
            };
            (parsed, dialect_source)
        }
        None => {
            let Inferred { config, .. } = inferred;
            let dialect_source = match source {
                Layout::Original => DialectSource::Unknown,
                layout => DialectSource::Layout(layout),
            };
            (config, dialect_source)
        }
    };
    let arch = Arch::build(&network, inferred.tail).map_err(|source| match &config {
        Some((path, _)) => CheckpointError::Config { path: path.to_path_buf(), source },
        None => CheckpointError::InferredConfig { model: model.clone(), source },
    })?;
    let mut state = StateDict::from_tensors(&arch, tensors)
        .map_err(|source| CheckpointError::StateDict { model: model.clone(), source })?;
    state.extend_maps(&maps);
    let config = config.as_ref().map(|(path, text)| (*path, text.as_str()));
    let in_folder = folder.is_some_and(|folder| folder.join(PREPROCESSOR_FILE).is_file());
    let preprocessor = match (&recorded_preprocessor, in_folder) {
        (Some(text), false) => with_channels(parse_preprocessor(path, text)?, arch.config.num_channels),
        _ => preprocessor_of(&arch.config, config, folder)?,
    };
    Ok(Checkpoint { name: model, ..Checkpoint::unnamed(arch, state, preprocessor, dialect_source, source) })
}

fn check_dtypes(model: &str, file: &Recognised) -> Result<(), CheckpointError> {
    for (name, tensor) in &file.tensors {
        let float = matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64);
        let counter = name.ends_with("num_batches_tracked");
        if !float && !counter {
            let (model, tensor_name) = (model.to_owned(), name.clone());
            return Err(CheckpointError::DType { model, tensor: tensor_name, dtype: tensor.dtype().name() });
        }
    }
    Ok(())
}

/// The folder's `preprocessor_config.json`, timm's `pretrained_cfg`, or the preset of the release family.
fn preprocessor_of(
    config: &SwiftFormerConfig,
    config_file: Option<(&Path, &str)>,
    folder: Option<&Path>,
) -> Result<Preprocessor, CheckpointError> {
    if let Some(path) = folder.map(|folder| folder.join(PREPROCESSOR_FILE)).filter(|path| path.is_file()) {
        return Ok(with_channels(parse_preprocessor(&path, &read_config(&path)?)?, config.num_channels));
    }
    if let (Reading::Timm, Some((path, text))) = (config.reading, config_file) {
        let refused = |source| CheckpointError::Config { path: path.to_owned(), source };
        let value = config::parse_json(text).map_err(refused)?;
        if let Some(pretrained) = value.get("pretrained_cfg") {
            let preprocessor = Preprocessor::from_pretrained_cfg(pretrained);
            let preprocessor = preprocessor
                .map_err(|source| CheckpointError::Preprocessor { path: path.to_owned(), source: Box::new(source) })?;
            return Ok(with_channels(preprocessor, config.num_channels));
        }
    }
    let preset = match config.reading {
        Reading::HuggingFace => Preset::Hf,
        Reading::Timm => Preset::Timm,
        Reading::Original => Preset::Original,
    };
    let [height, width] = config.image_size;
    Ok(with_channels(preset.preprocessor(height, width), config.num_channels))
}

/// The preprocessing for a number of channels; models of other than 1 or 3 channels keep the one for RGB, and images are
/// refused when one is given to them.
fn with_channels(preprocessor: Preprocessor, channels: usize) -> Preprocessor {
    preprocessor.clone().with_channels(channels).unwrap_or(preprocessor)
}
