//! Reading a weight file of any kind.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::detect::{FileKind, detect};
use super::error::WeightsError;
use super::mapped::{self, FileMap};
use super::torch::Checkpoint;
use super::{hdf5, safetensors, sharded};
use crate::tensor::TensorMap;

/// How to read a weight file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The state dict to take from a checkpoint that holds several, such as `model_ema`. `None` takes `model`,
    /// `state_dict`, the top level, or the only one there is, in this order. Shards and files that cannot hold several
    /// refuse a name.
    pub state_dict: Option<String>,
    /// Map the file into memory instead of reading it whole. The file must then not be changed in place while its
    /// tensors are in use (replacing it by renaming another over it is fine). On by default.
    pub memory_map: bool,
    /// Whether a JSON index may lead to the shards beside it. On by default.
    pub follow_index: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { state_dict: None, memory_map: true, follow_index: true }
    }
}

/// What a weight file holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WeightFile {
    /// The file's format, by its content.
    pub kind: FileKind,
    /// The tensors, in the file's order; views into the file where its layout allows.
    pub tensors: TensorMap,
    /// The file's metadata as text: the header's entries of safetensors, an index's, and the plain values of a PyTorch
    /// checkpoint (`epoch`, `args.lr`) as Python prints them.
    pub metadata: BTreeMap<String, String>,
    /// The keys of the state dicts in a PyTorch checkpoint; empty where the tensors lie at the top level.
    pub available: Vec<String>,
    /// The one of `available` that `tensors` came from.
    pub selected: Option<String>,
    /// The mapped files that `tensors` are views of.
    pub(crate) maps: Vec<FileMap>,
}

/// Reads the weight file at `path`, of any kind, told by its content. An index of shards is followed into its folder.
///
/// ```
/// use swiftformer::weights::{ReadOptions, read_file};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/original_tiny/checkpoint.pth");
/// let file = read_file(path.as_ref(), &ReadOptions { state_dict: Some("model_ema".into()), ..Default::default() })?;
/// assert_eq!(file.available, ["model", "model_ema"]);
/// assert_eq!(file.tensors["head.weight"].shape(), [10, 48]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the file cannot be read, holds no weights, or is damaged; the error names the file.
pub fn read_file(path: &Path, options: &ReadOptions) -> Result<WeightFile, WeightsError> {
    let read = || {
        let (bytes, map) = mapped::open(path, options.memory_map).map_err(WeightsError::Io)?;
        if options.follow_index && detect(&bytes)? == FileKind::Json {
            return sharded::read(&bytes, path.parent().unwrap_or(Path::new("")), options);
        }
        let file = read_bytes(bytes, options)?;
        Ok(WeightFile { maps: map.into_iter().collect(), ..file })
    };
    let file = read().map_err(|error| error.in_file(path))?;
    tracing::debug!(path = %path.display(), kind = %file.kind, tensors = file.tensors.len(), "read weights");
    Ok(file)
}

/// Reads the bytes of a weight file. An index of shards cannot be followed from here and is refused.
///
/// # Errors
/// When the bytes are no weights, or damaged. Input is not trusted: values, references and text of a pickle are limited
/// in number, and copies of strided tensors to [`COPY_LIMIT`](super::torch::COPY_LIMIT) and four times the input's size.
pub fn read_bytes(bytes: Bytes, options: &ReadOptions) -> Result<WeightFile, WeightsError> {
    let kind = detect(&bytes)?;
    let checkpoint = match kind {
        FileKind::TorchZip => Checkpoint::read_zip(&bytes)?,
        FileKind::TorchLegacy => Checkpoint::read_legacy(&bytes)?,
        FileKind::Safetensors => {
            if let Some(asked) = &options.state_dict {
                return Err(WeightsError::NoStateDicts { asked: asked.clone(), kind });
            }
            let (tensors, metadata) = safetensors::read(&bytes)?;
            return Ok(WeightFile { kind, tensors, metadata, available: Vec::new(), selected: None, maps: Vec::new() });
        }
        FileKind::Hdf5 => {
            if let Some(asked) = &options.state_dict {
                return Err(WeightsError::NoStateDicts { asked: asked.clone(), kind });
            }
            let weights = hdf5::keras::KerasWeights::from_hdf5(&hdf5::read(bytes)?)?;
            let tensors = weights.flat().map(|(path, tensor)| (path, tensor.clone())).collect();
            let keras = weights.keras_version.map(|version| ("keras_version".to_owned(), version));
            let metadata = keras.into_iter().collect();
            return Ok(WeightFile { kind, tensors, metadata, available: Vec::new(), selected: None, maps: Vec::new() });
        }
        FileKind::Json => return Err(WeightsError::Unsupported { kind, place: "without the files they list" }),
    };
    let state_dict = checkpoint.state_dict(options.state_dict.as_deref())?;
    Ok(WeightFile {
        kind,
        tensors: state_dict.tensors,
        metadata: checkpoint.metadata(),
        available: checkpoint.available(),
        selected: state_dict.key,
        maps: Vec::new(),
    })
}
