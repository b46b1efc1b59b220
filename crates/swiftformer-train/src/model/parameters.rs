//! Every tensor of a network on one device, in the order of the description.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use swiftformer::{
    arch::{Arch, Leaf, Module, Param},
    tensor::RawTensor,
    weights::state::StateDict,
};

use super::ModelError;

/// One tensor of the network.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its place, kind and PyTorch shape.
    pub param: Param,
    /// Whether gradients change it: false for buffers and for what was frozen.
    pub trainable: bool,
    pub(crate) value: Value,
}

/// Numbers live on the device, flat; a batch counter stays on the host.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are numbers")]
pub(crate) enum Value {
    Numbers(Tensor<1>),
    Counter(i64),
}

impl Parameter {
    /// The values, flat in PyTorch's order; none for a batch counter.
    pub fn tensor(&self) -> Option<&Tensor<1>> {
        match &self.value {
            Value::Numbers(tensor) => Some(tensor),
            Value::Counter(_) => None,
        }
    }

    /// A batch counter's value.
    pub(crate) fn counter(&self) -> Option<i64> {
        match self.value {
            Value::Counter(count) => Some(count),
            Value::Numbers(_) => None,
        }
    }

    /// Takes the values to the host, without a copy where the tensor is there and nobody else holds it; none of a counter.
    fn take(&mut self) -> Vec<f32> {
        match &mut self.value {
            Value::Numbers(tensor) => {
                let empty = Tensor::zeros([1], &tensor.device());
                to_host(std::mem::replace(tensor, empty))
            }
            Value::Counter(_) => Vec::new(),
        }
    }

    fn put(&mut self, values: Vec<f32>) {
        if let Value::Numbers(tensor) = &mut self.value {
            *tensor = to_device(values, &tensor.device());
        }
    }
}

/// Every tensor of a network, as [`Arch::params`] lists them.
#[derive(Clone, Debug)]
pub struct Parameters {
    list: Vec<Parameter>,
    index: HashMap<(Module, Leaf), usize>,
}

impl Parameters {
    /// Puts the tensors of `state` on `device`.
    ///
    /// # Errors
    /// When the state dict lacks a tensor of `arch`.
    pub fn from_state(arch: &Arch, state: &StateDict, device: &Device) -> Result<Self, ModelError> {
        let mut list = Vec::new();
        for param in arch.params() {
            let raw = state.get(param.module, param.leaf);
            let raw =
                raw.ok_or_else(|| ModelError::Missing { tensor: format!("{:?} {:?}", param.module, param.leaf) })?;
            if raw.shape() != param.shape {
                let tensor = format!("{:?} {:?}", param.module, param.leaf);
                return Err(ModelError::Shape { tensor, expected: param.shape, found: raw.shape().to_vec() });
            }
            let value = match param.leaf {
                Leaf::NumBatchesTracked => Value::Counter(
                    raw.bytes().get(..8).map_or(0, |bytes| bytes.try_into().map_or(0, i64::from_le_bytes)),
                ),
                _ => Value::Numbers(to_device(raw.to_f32(), device)),
            };
            // xIELU keeps these two as buffers.
            let fixed = matches!(param.leaf, Leaf::Activation("beta" | "eps"));
            list.push(Parameter { trainable: param.kind.is_trainable() && !fixed, param, value });
        }
        let index = list.iter().enumerate().map(|(at, p)| ((p.param.module, p.param.leaf), at)).collect();
        Ok(Self { list, index })
    }

    /// The tensors as the library keeps them.
    pub fn to_state(&self, arch: &Arch) -> StateDict {
        StateDict::from_fn(arch, |param| match &self.list[self.position(param.module, param.leaf)].value {
            Value::Counter(count) => RawTensor::from_i64_scalar(*count),
            Value::Numbers(tensor) => RawTensor::from_f32(param.shape.clone(), &to_host(tensor.clone()))
                .unwrap_or_else(|error| panic!("a parameter keeps its size: {error}")),
        })
    }

    /// All tensors.
    pub fn list(&self) -> &[Parameter] {
        &self.list
    }

    /// Keeps every tensor of the modules that `frozen` names as it is, and trains the others.
    pub fn freeze(&mut self, frozen: impl Fn(Module) -> bool) {
        for parameter in &mut self.list {
            if parameter.param.kind.is_trainable() && frozen(parameter.param.module) {
                parameter.trainable = false;
            }
        }
    }

    /// Lets `change` work on the values of all tensors on the host, in the order of the list.
    pub(crate) fn with_values(&mut self, change: impl FnOnce(&[Parameter], &mut [Vec<f32>])) {
        let mut all: Vec<Vec<f32>> = self.list.iter_mut().map(Parameter::take).collect();
        change(&self.list, &mut all);
        self.list.iter_mut().zip(all).for_each(|(parameter, values)| parameter.put(values));
    }

    pub(crate) fn list_mut(&mut self) -> &mut [Parameter] {
        &mut self.list
    }

    /// Position of a tensor in the list.
    ///
    /// # Panics
    /// When the network has no such tensor.
    pub(crate) fn position(&self, module: Module, leaf: Leaf) -> usize {
        *self.index.get(&(module, leaf)).unwrap_or_else(|| panic!("the network has no {leaf:?} of {module:?}"))
    }
}

/// Puts values on a device.
pub(crate) fn to_device(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Takes the values of a tensor; without a copy where the tensor is on the host and nobody else holds it.
///
/// # Errors
/// When the device failed at them, or at what they depend on: operations run behind, so that this is where it is noticed.
pub(crate) fn try_to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    let failed = |text: &str| ModelError::Device { why: first_cause(text).to_owned() };
    let data = tensor.try_into_data().map_err(|error| failed(&error.to_string()))?;
    data.try_into_vec().map_err(|error| failed(&format!("{error:?}")))
}

/// As [`try_to_host`], for what the device has computed already.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    try_to_host(tensor).unwrap_or_else(|error| panic!("{error}"))
}

/// What the others of burn's causes, each on its lines behind `Caused by:`, come from.
fn first_cause(text: &str) -> &str {
    let last = text.rsplit("Caused by:").next().unwrap_or(text);
    last.trim().lines().next().unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_failure_is_told_by_its_first_cause() {
        let text = "An error happened\nCaused by:\n  The bytes were never written\n  skipped `KernelBinop`\nCaused by:\n  \
                    can't allocate buffer of size: 301989888\nNo backtrace available\nAsked at:\n";
        assert_eq!(super::first_cause(text), "can't allocate buffer of size: 301989888");
        assert_eq!(super::first_cause("the device is lost"), "the device is lost");
    }
}
