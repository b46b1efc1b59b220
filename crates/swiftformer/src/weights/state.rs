//! The weights of one network, every tensor at its place.

use std::collections::{HashMap, HashSet};

use crate::{
    arch::{Arch, Leaf, Module, Param, ParamKind},
    excerpt::excerpt,
    tensor::{RawTensor, TensorMap},
};

use super::{
    layout::{Recognised, to_tensorflow},
    mapped::FileMap,
    names::{Layout, Names},
};

/// Every tensor of one network by its place, in PyTorch's shapes.
#[derive(Clone, Debug)]
pub struct StateDict {
    tensors: HashMap<(Module, Leaf), RawTensor>,
    /// The mapped files that tensors may be views of.
    maps: Vec<FileMap>,
}

impl PartialEq for StateDict {
    fn eq(&self, other: &Self) -> bool {
        self.tensors == other.tensors
    }
}

/// A tensor whose shape is not the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// Its name in the file's layout.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<usize>,
    /// The file's shape.
    pub found: Vec<usize>,
}

/// Names of each kind that a message lists; the error itself has all of them.
const LISTED: usize = 200;
/// Characters of a name that a message shows.
const SHOWN: usize = 200;

/// Weights that do not fit the network: every name, of which the message shows the first 200 of each kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the weights do not fit the config{}", self.listing())]
pub struct StateDictError {
    /// Names that the network needs and the file lacks.
    pub missing: Vec<String>,
    /// Names that the file has and the network does not know.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub misshapen: Vec<Misshapen>,
}

impl StateDictError {
    fn listing(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, count: usize, lines: &mut dyn Iterator<Item = String>| {
            if count > 0 {
                text += &format!("\n  {title} ({count}):");
                lines.take(LISTED).for_each(|line| text += &format!("\n    {line}"));
            }
            if count > LISTED {
                text += &format!("\n    … and {} more", count - LISTED);
            }
        };
        let shown = |name: &String| excerpt(name, SHOWN);
        section("missing", self.missing.len(), &mut self.missing.iter().map(shown));
        section("unexpected", self.unexpected.len(), &mut self.unexpected.iter().map(shown));
        let shapes = self
            .misshapen
            .iter()
            .map(|tensor| format!("{}: expected {:?}, found {:?}", shown(&tensor.name), tensor.expected, tensor.found));
        section("of another shape", self.misshapen.len(), &mut { shapes });
        text
    }
}

impl StateDict {
    /// Puts the tensors of a recognised file at their places.
    ///
    /// A missing batch counter counts as 0; anything else that is missing, unexpected or of another shape is an error.
    ///
    /// # Errors
    /// With every name that does not fit.
    pub fn from_tensors(arch: &Arch, file: Recognised) -> Result<Self, StateDictError> {
        let names = Names::new(arch, file.layout);
        let mut error = StateDictError { missing: Vec::new(), unexpected: Vec::new(), misshapen: Vec::new() };
        let mut tensors = HashMap::new();
        let mut known = HashSet::new();
        for param in arch.params() {
            let Some(name) = names.name(&param) else { continue };
            match file.tensors.get(&name) {
                Some(tensor) if tensor.shape() == param.shape => {
                    tensors.insert((param.module, param.leaf), tensor.clone());
                    known.insert(name);
                }
                Some(tensor) => {
                    let (expected, found) = (param.shape, tensor.shape().to_vec());
                    known.insert(name.clone());
                    error.misshapen.push(Misshapen { name, expected, found });
                }
                None if param.kind == ParamKind::NumBatchesTracked => {
                    tensors.insert((param.module, param.leaf), RawTensor::from_i64_scalar(0));
                }
                None => error.missing.push(name),
            }
        }
        error.unexpected = file.tensors.into_keys().filter(|name| !known.contains(name)).collect();
        let fits = error.missing.is_empty() && error.unexpected.is_empty() && error.misshapen.is_empty();
        if fits { Ok(Self { tensors, maps: Vec::new() }) } else { Err(error) }
    }

    /// Builds the state dict of `arch` from a function that gives every tensor.
    pub fn from_fn(arch: &Arch, mut tensor: impl FnMut(&Param) -> RawTensor) -> Self {
        let tensors = arch.params().iter().map(|param| ((param.module, param.leaf), tensor(param))).collect();
        Self { tensors, maps: Vec::new() }
    }

    /// The tensors under the names, and with the axes, of `layout`.
    pub fn to_tensors(&self, arch: &Arch, layout: Layout) -> TensorMap {
        let names = Names::new(arch, layout);
        let mut result = TensorMap::new();
        for param in arch.params() {
            if let (Some(name), Some(tensor)) = (names.name(&param), self.get(param.module, param.leaf)) {
                let tensor =
                    if layout == Layout::TensorFlow { to_tensorflow(tensor, param.kind) } else { tensor.clone() };
                result.insert(name, tensor);
            }
        }
        result
    }

    /// One tensor.
    pub fn get(&self, module: Module, leaf: Leaf) -> Option<&RawTensor> {
        self.tensors.get(&(module, leaf))
    }

    /// The values of one tensor as `f32`.
    ///
    /// # Panics
    /// When the network this state dict was built for has no such tensor.
    pub fn values(&self, module: Module, leaf: Leaf) -> Vec<f32> {
        let mut values = Vec::new();
        self.append_values(module, leaf, &mut values);
        values
    }

    /// Appends the values of one tensor as `f32`.
    ///
    /// # Panics
    /// As [`StateDict::values`].
    pub fn append_values(&self, module: Module, leaf: Leaf, values: &mut Vec<f32>) {
        let tensor = self.get(module, leaf);
        tensor.unwrap_or_else(|| panic!("the state dict has no {leaf:?} of {module:?}")).append_f32(values);
    }

    /// Adds to the mapped files whose pages [`StateDict::release_pages`] lets go of.
    pub(crate) fn extend_maps(&mut self, maps: &[FileMap]) {
        self.maps.extend_from_slice(maps);
    }

    /// The mapped files that tensors may be views of.
    pub(crate) fn maps(&self) -> &[FileMap] {
        &self.maps
    }

    /// Lets go of the memory behind tensors that are views of mapped files. They stay as they are, and what is read again
    /// comes from the file again.
    pub fn release_pages(&self) {
        self.maps.iter().for_each(FileMap::release_pages);
    }

    /// Puts a tensor in place of another.
    pub fn insert(&mut self, module: Module, leaf: Leaf, tensor: RawTensor) {
        self.tensors.insert((module, leaf), tensor);
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, module: Module, leaf: Leaf) -> Option<RawTensor> {
        self.tensors.remove(&(module, leaf))
    }

    /// Bytes of all tensors.
    pub fn byte_len(&self) -> usize {
        self.tensors.values().map(RawTensor::byte_len).sum()
    }
}
