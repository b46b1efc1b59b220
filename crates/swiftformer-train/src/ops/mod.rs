//! Operations of our own inside burn: forwards and backwards by hand, on slices of the host.

mod attention;
mod backend;
mod block;
mod conv_norm;
mod norm;

use std::{
    any::Any,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use burn::{
    backend::Dispatch,
    tensor::{Tensor, TensorData},
};
use swiftformer_kernels::{
    Kernels,
    train::{ChannelStatistics, Engine},
};

use self::backend::{HostBackend, Inputs, MOST};
pub(crate) use self::{
    attention::AttentionOperation,
    block::{BlockOperation, BlockParameters},
    conv_norm::ConvNormOperation,
    norm::NormOperation,
};

/// The engine of a network, shared with the operations on its tape.
pub(crate) type SharedEngine = Arc<Mutex<Engine>>;

fn lock(engine: &SharedEngine) -> MutexGuard<'_, Engine> {
    // A panic leaves nothing half done in scratch memory that the next call would read.
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads for work on the host: a network's engine, or none but the caller's.
pub(crate) struct Workers(pub(crate) Option<SharedEngine>);

impl Workers {
    /// Calls `run` with each of `tasks`, in any order.
    pub(crate) fn for_all<T: Send>(&self, tasks: Vec<T>, run: impl Fn(Kernels, T) + Sync) {
        match &self.0 {
            Some(engine) => lock(engine).for_all(tasks, run),
            None => tasks.into_iter().for_each(|task| run(Kernels::detect(), task)),
        }
    }
}

/// What an operation keeps for its backward pass.
pub(crate) type Kept = Box<dyn Any + Send>;

/// An operation on slices.
pub(crate) trait Operation: Debug + Send + Sync {
    /// The engine that it runs on, which its buffers come from and go back to; `None` where it needs none.
    fn engine(&self) -> Option<&SharedEngine>;
    /// The output's shape.
    fn shape(&self) -> Vec<usize>;
    /// The output, and what the backward pass needs beside the inputs.
    fn forward(&self, inputs: &[&[f32]]) -> (Vec<f32>, Kept);
    /// Gradients of the inputs, in their order; the first one's may be left out (empty) where it is not `wanted`.
    fn backward(&self, inputs: &[&[f32]], kept: Kept, gradient: &[f32], wanted: bool) -> Vec<Vec<f32>>;
    /// Takes back what will have no backward pass.
    fn discard(&self, kept: Kept);
}

/// Statistics that an operation's forward pass leaves for the network.
pub(crate) type StatisticsCell = Arc<Mutex<Option<ChannelStatistics>>>;

/// Runs an operation on a map and its parameters; `from` gives the device and whether gradients are recorded.
pub(crate) fn run<const D: usize>(
    operation: Arc<dyn Operation>,
    x: Tensor<D>,
    parameters: Vec<Tensor<1>>,
) -> Tensor<D> {
    assert!(parameters.len() < MOST, "an operation has at most {MOST} inputs");
    let none = || Tensor::<1>::from_data(TensorData::new(vec![0.0_f32], [1]), &x.device().inner());
    let count = parameters.len() + 1;
    let mut rest = parameters.into_iter().map(Some).chain(std::iter::repeat(None));
    let mut next = || rest.next().flatten().unwrap_or_else(none).into_dispatch();
    let inputs = Inputs {
        x1: next(),
        x2: next(),
        x3: next(),
        x4: next(),
        x5: next(),
        x6: next(),
        x7: next(),
        x8: next(),
        x9: next(),
        x10: next(),
        x0: x.clone().into_dispatch(),
    };
    Tensor::from_dispatch(<Dispatch as HostBackend>::host_operation(operation, count, inputs))
}
