//! Keras' order in an HDF5 file: layers, and the weights of each by name.
//!
//! `save_weights` writes a group for each top-level layer (for SwiftFormer `swiftformer`, `norm`, `head`,
//! `dist_head`), lists them in the root's attribute `layer_names`, and lists the weights of a layer in its attribute
//! `weight_names`. The slashes in a weight's name become nested groups, so that a value is found at
//! `<layer>/<weight name>`. Lists over 64512 bytes are split into `weight_names0`, `weight_names1`, ...

use indexmap::IndexMap;

use super::Hdf5File;
use super::attribute::{Attribute, Attributes};
use crate::tensor::{RawTensor, TensorMap};

/// Group for the weights that belong to no layer; it is written always, and not listed in `layer_names`.
pub const TOP_LEVEL: &str = "top_level_model_weights";
/// Bytes of a list of names above which Keras splits it.
const LONGEST_LIST: usize = 64512;

/// Why a file does not hold Keras weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KerasError {
    /// Neither the file nor its group `model_weights` lists layers.
    #[error("not Keras weights: the attribute `layer_names` is missing")]
    NoLayerNames,
    /// A layer that is listed has no group, or its group lists no weights.
    #[error("the layer `{0}` is listed, but has no group with `weight_names`")]
    NoWeightNames(String),
    /// Names are listed twice.
    #[error("`{0}` is listed twice")]
    ListedTwice(String),
    /// Weights that are listed and missing, or there and not listed.
    #[error("weights listed but missing: {missing:?}; weights not listed: {unlisted:?}")]
    Weights {
        /// Paths of weights that the lists name and the file lacks.
        missing: Vec<String>,
        /// Paths of datasets that no list names.
        unlisted: Vec<String>,
    },
    /// A name alone is over the size at which Keras splits lists.
    #[error("the name `{0}` is longer than 64512 bytes")]
    NameTooLong(String),
}

/// One top-level layer: its weights by name, in the order of creation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KerasLayer {
    /// Name of the layer, which is its group's.
    pub name: String,
    /// Weights by name without the layer's, e.g. `tf_swift_former_for_image_classification/head/kernel:0`.
    pub weights: TensorMap,
}

/// The weights of a Keras model, as `save_weights` orders them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KerasWeights {
    /// What computed them, e.g. `tensorflow`; `None` where the file does not say.
    pub backend: Option<String>,
    /// Version of Keras, e.g. `2.17.0`; `None` where the file does not say.
    pub keras_version: Option<String>,
    /// The layers; one named [`TOP_LEVEL`] is last, and only there if it has weights.
    pub layers: Vec<KerasLayer>,
}

impl KerasWeights {
    /// All weights in order, by path (`<layer>/<weight name>`).
    pub fn flat(&self) -> impl Iterator<Item = (String, &RawTensor)> {
        self.layers
            .iter()
            .flat_map(|layer| layer.weights.iter().map(|(name, tensor)| (format!("{}/{name}", layer.name), tensor)))
    }

    /// Groups weights given by path in order; the part before the first slash is the layer.
    pub fn from_flat(weights: impl IntoIterator<Item = (String, RawTensor)>) -> Self {
        let mut layers: IndexMap<String, TensorMap> = IndexMap::new();
        for (path, tensor) in weights {
            let (layer, name) = path.split_once('/').unwrap_or((TOP_LEVEL, &path));
            layers.entry(layer.to_owned()).or_default().insert(name.to_owned(), tensor);
        }
        let layers = layers.into_iter().map(|(name, weights)| KerasLayer { name, weights }).collect();
        Self { backend: Some("tensorflow".to_owned()), keras_version: Some("2.17.0".to_owned()), layers }
    }

    /// The weights of `file`, which may also be a whole saved model (weights in its group `model_weights`).
    ///
    /// # Errors
    /// When lists are missing, or do not fit the datasets.
    pub fn from_hdf5(file: &Hdf5File) -> Result<Self, KerasError> {
        let roots = ["", "model_weights"];
        let found = roots.iter().find_map(|&root| Some((root, names(file.groups.get(root)?, "layer_names")?)));
        let (root, layer_names) = found.ok_or(KerasError::NoLayerNames)?;
        let version = |name: &str| Some(file.groups.get(root)?.get(name)?.strings().first()?.clone());
        let mut result = Self { backend: version("backend"), keras_version: version("keras_version"), layers: vec![] };
        let mut missing = Vec::new();
        let mut listed = std::collections::HashSet::new();
        let top_level = (layer_names.iter().all(|name| name != TOP_LEVEL)).then(|| TOP_LEVEL.to_owned());
        for name in layer_names.into_iter().chain(top_level) {
            let group = if root.is_empty() { name.clone() } else { format!("{root}/{name}") };
            let weight_names = file.groups.get(&group).and_then(|attributes| names(attributes, "weight_names"));
            let mut layer = KerasLayer { name, weights: TensorMap::new() };
            let Some(weight_names) = weight_names else {
                if layer.name == TOP_LEVEL {
                    continue;
                }
                return Err(KerasError::NoWeightNames(layer.name));
            };
            for name in weight_names {
                let path = format!("{group}/{name}");
                match file.tensors.get(&path) {
                    Some(tensor) => layer.weights.insert(name, tensor.clone()),
                    None => {
                        missing.push(path);
                        continue;
                    }
                };
                if !listed.insert(path.clone()) {
                    return Err(KerasError::ListedTwice(path));
                }
            }
            if layer.name != TOP_LEVEL || !layer.weights.is_empty() {
                result.layers.push(layer);
            }
        }
        let in_root = |path: &str| root.is_empty() || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        let unlisted: Vec<String> =
            file.tensors.keys().filter(|path| in_root(path) && !listed.contains(*path)).cloned().collect();
        if missing.is_empty() && unlisted.is_empty() {
            return Ok(result);
        }
        Err(KerasError::Weights { missing, unlisted })
    }

    /// The file that Keras would write.
    ///
    /// # Errors
    /// When a name is too long for any list, or two layers have one name.
    pub fn to_hdf5(&self) -> Result<Hdf5File, KerasError> {
        let mut file = Hdf5File::default();
        let mut root = Attributes::new();
        let layer_names = self.layers.iter().map(|layer| layer.name.clone()).filter(|name| name != TOP_LEVEL);
        put_names(&mut root, "layer_names", layer_names.collect())?;
        for (name, value) in [("backend", &self.backend), ("keras_version", &self.keras_version)] {
            if let Some(value) = value {
                root.insert(name.to_owned(), Attribute::String(value.clone()));
            }
        }
        file.groups.insert(String::new(), root);
        for layer in &self.layers {
            let mut attributes = Attributes::new();
            put_names(&mut attributes, "weight_names", layer.weights.keys().cloned().collect())?;
            if file.groups.insert(layer.name.clone(), attributes).is_some() {
                return Err(KerasError::ListedTwice(layer.name.clone()));
            }
            for (name, tensor) in &layer.weights {
                let path = format!("{}/{name}", layer.name);
                if file.tensors.insert(path.clone(), tensor.clone()).is_some() {
                    return Err(KerasError::ListedTwice(path));
                }
            }
        }
        if !file.groups.contains_key(TOP_LEVEL) {
            let mut attributes = Attributes::new();
            put_names(&mut attributes, "weight_names", Vec::new())?;
            file.groups.insert(TOP_LEVEL.to_owned(), attributes);
        }
        Ok(file)
    }
}

/// The list `name`, put together again if it was split.
fn names(attributes: &Attributes, name: &str) -> Option<Vec<String>> {
    if let Some(whole) = attributes.get(name) {
        return Some(whole.strings().to_vec());
    }
    let parts = (0..).map_while(|index| attributes.get(&format!("{name}{index}")));
    let joined: Vec<String> = parts.flat_map(|part| part.strings().iter().cloned()).collect();
    (!joined.is_empty()).then_some(joined)
}

/// Puts the list `name`, in as few nearly equal parts as Keras' limit asks for.
fn put_names(attributes: &mut Attributes, name: &str, names: Vec<String>) -> Result<(), KerasError> {
    if let Some(long) = names.iter().find(|name| name.len() > LONGEST_LIST) {
        return Err(KerasError::NameTooLong(long.clone()));
    }
    // As an array of equally long strings, or 16 bytes a reference to a string elsewhere.
    let fits = |part: &[String]| part.len() * part.iter().map(String::len).max().unwrap_or(0).max(16) <= LONGEST_LIST;
    if fits(&names) {
        attributes.insert(name.to_owned(), Attribute::Strings(names));
        return Ok(());
    }
    let mut count = 2;
    let parts = loop {
        let parts = split(&names, count);
        if parts.iter().all(|part| fits(part)) {
            break parts;
        }
        count += 1;
    };
    for (index, part) in parts.into_iter().enumerate() {
        attributes.insert(format!("{name}{index}"), Attribute::FixedStrings(part.to_vec()));
    }
    Ok(())
}

/// `count` parts whose lengths differ by one at most, the longer ones first, as NumPy's `array_split`.
fn split(names: &[String], count: usize) -> Vec<&[String]> {
    let (length, longer) = (names.len() / count, names.len() % count);
    let mut rest = names;
    (0..count)
        .map(|index| {
            let (part, after) = rest.split_at(length + usize::from(index < longer));
            rest = after;
            part
        })
        .collect()
}
