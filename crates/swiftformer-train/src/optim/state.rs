//! Storing the state of optimizer and average, so that a run goes on bit for bit.

use swiftformer::{
    arch::Arch,
    tensor::{RawTensor, TensorMap},
    weights::names::{Layout, Names},
};

use super::{Average, Optimizer};

/// A stored state that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A tensor that the state needs.
    #[error("the stored state lacks {name}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor of another size.
    #[error("{name} of the stored state has {found} values, not {expected}")]
    Size {
        /// Its name.
        name: String,
        /// Values needed.
        expected: usize,
        /// Values found.
        found: usize,
    },
}

const STEPS: &str = "optimizer.steps";

fn tensor(values: &[f32]) -> RawTensor {
    RawTensor::from_f32([values.len()], values).unwrap_or_else(|error| panic!("a list is a vector: {error}"))
}

fn load(state: &TensorMap, name: String, values: &mut Vec<f32>) -> Result<(), StateError> {
    let Some(stored) = state.get(&name) else { return Err(StateError::Missing { name }) };
    let (expected, stored) = (values.len(), stored.to_f32());
    if stored.len() != expected {
        return Err(StateError::Size { name, expected, found: stored.len() });
    }
    *values = stored;
    Ok(())
}

/// The names of all tensors in transformers' layout, in the order of the description.
fn names(arch: &Arch) -> Vec<String> {
    let names = Names::new(arch, Layout::HuggingFace);
    arch.params().iter().map(|param| names.name(param).unwrap_or_default()).collect()
}

impl Optimizer {
    /// The state as tensors: `optimizer.steps`, and `optimizer.0.NAME` and so on for each parameter.
    pub fn to_tensors(&self, arch: &Arch) -> TensorMap {
        let mut state = TensorMap::new();
        state.insert(STEPS.into(), RawTensor::from_i64_scalar(self.steps as i64));
        for (name, slots) in names(arch).iter().zip(&self.slots) {
            for (index, values) in slots.iter().enumerate() {
                state.insert(format!("optimizer.{index}.{name}"), tensor(values));
            }
        }
        state
    }

    /// Takes a stored state on.
    ///
    /// # Errors
    /// When a tensor is missing or of another size.
    pub fn load_tensors(&mut self, arch: &Arch, state: &TensorMap) -> Result<(), StateError> {
        let missing = || StateError::Missing { name: STEPS.into() };
        let steps = state.get(STEPS).and_then(|steps| steps.bytes().get(..8)?.try_into().ok());
        self.steps = u64::from_le_bytes(steps.ok_or_else(missing)?);
        for (name, slots) in names(arch).iter().zip(&mut self.slots) {
            for (index, values) in slots.iter_mut().enumerate() {
                load(state, format!("optimizer.{index}.{name}"), values)?;
            }
        }
        Ok(())
    }
}

impl Average {
    /// The averages as tensors `average.NAME`.
    pub fn to_tensors(&self, arch: &Arch) -> TensorMap {
        let named = names(arch).into_iter().zip(&self.values);
        named.filter(|(_, v)| !v.is_empty()).map(|(name, v)| (format!("average.{name}"), tensor(v))).collect()
    }

    /// Takes stored averages on.
    ///
    /// # Errors
    /// When a tensor is missing or of another size.
    pub fn load_tensors(&mut self, arch: &Arch, state: &TensorMap) -> Result<(), StateError> {
        let named = names(arch).into_iter().zip(&mut self.values);
        for (name, values) in named.filter(|(_, values)| !values.is_empty()) {
            load(state, format!("average.{name}"), values)?;
        }
        Ok(())
    }
}
