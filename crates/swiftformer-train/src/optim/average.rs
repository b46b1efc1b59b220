//! An exponential moving average of the weights.

use swiftformer::{
    arch::{Arch, Leaf},
    tensor::RawTensor,
    weights::state::StateDict,
};

use super::CHUNK;
use crate::model::{Network, Parameters, to_host};

/// Averaged weights: timm's `ModelEma`, which averages BatchNorm's buffers too and leaves its counters at their first
/// values.
#[derive(Clone, Debug)]
pub struct Average {
    decay: f64,
    /// In the order of the parameters; empty for counters.
    pub(super) values: Vec<Vec<f32>>,
    counters: Vec<i64>,
}

impl Average {
    /// An average that starts at the parameters' values.
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        let values = parameters.list().iter().map(|p| p.tensor().map_or(Vec::new(), |tensor| to_host(tensor.clone())));
        let counters = parameters.list().iter().map(|p| p.counter().unwrap_or(0)).collect();
        Self { decay, values: values.collect(), counters }
    }

    /// Moves the average towards the network's tensors: `average · decay + tensor · (1 - decay)`.
    pub fn update(&mut self, network: &mut Network) {
        let (keep, share) = (self.decay as f32, (1.0 - self.decay) as f32);
        let averages = &mut self.values;
        network.with_values(|_, values, workers| {
            let pairs = averages.iter_mut().zip(&*values).filter(|(average, _)| !average.is_empty());
            let chunks = pairs.flat_map(|(average, values)| average.chunks_mut(CHUNK).zip(values.chunks(CHUNK)));
            workers.for_all(chunks.collect(), |kernels, (average, values)| {
                kernels.average(average, keep, values, share);
            });
        });
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
