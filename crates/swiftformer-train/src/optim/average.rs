//! An exponential moving average of the weights.

use swiftformer::{
    arch::{Arch, Leaf},
    tensor::RawTensor,
    weights::state::StateDict,
};
use swiftformer_kernels::Kernels;

use crate::model::{Parameters, to_host};

/// Averaged weights: timm's `ModelEma`, which averages BatchNorm's buffers too and leaves its counters at their first
/// values.
#[derive(Clone, Debug)]
pub struct Average {
    decay: f64,
    /// In the order of the parameters; empty for counters.
    pub(super) values: Vec<Vec<f32>>,
    counters: Vec<i64>,
    kernels: Kernels,
}

impl Average {
    /// An average that starts at the parameters' values.
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        let values = parameters.list().iter().map(|p| p.tensor().map_or(Vec::new(), |tensor| to_host(tensor.clone())));
        let counters = parameters.list().iter().map(|p| p.counter().unwrap_or(0)).collect();
        Self { decay, values: values.collect(), counters, kernels: Kernels::detect() }
    }

    /// Moves the average towards the parameters: `average · decay + parameter · (1 - decay)`.
    pub fn update(&mut self, parameters: &mut Parameters) {
        let (keep, share) = (self.decay as f32, (1.0 - self.decay) as f32);
        for (parameter, average) in parameters.list_mut().iter_mut().zip(&mut self.values) {
            if !average.is_empty() {
                parameter.with_values(|values| self.kernels.average(average, keep, values, share));
            }
        }
    }

    /// The averaged network's tensors.
    pub fn to_state(&self, arch: &Arch) -> StateDict {
        let mut values = self.values.iter().zip(&self.counters);
        StateDict::from_fn(arch, |param| {
            // Both lists follow the description's order.
            let (values, &counter) = values.next().unwrap_or_else(|| panic!("an average of another network"));
            match param.leaf {
                Leaf::NumBatchesTracked => RawTensor::from_i64_scalar(counter),
                _ => RawTensor::from_f32(param.shape.clone(), values)
                    .unwrap_or_else(|error| panic!("an average of another network: {error}")),
            }
        })
    }
}
