//! The one extension of burn's backends: an operation on the host's slices, on the CPU and its autodiff.

use std::sync::{Arc, Mutex, PoisonError};

use burn::{
    backend::{
        Autodiff, Backend, ExtensionType, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::TensorData,
};

use super::{Kept, Operation, lock};

/// The most inputs of an operation.
pub(super) const MOST: usize = 11;

/// The inputs of an operation; unused ones are a single number.
#[derive(ExtensionType)]
pub struct Inputs<B: Backend> {
    pub x0: FloatTensor<B>,
    pub x1: FloatTensor<B>,
    pub x2: FloatTensor<B>,
    pub x3: FloatTensor<B>,
    pub x4: FloatTensor<B>,
    pub x5: FloatTensor<B>,
    pub x6: FloatTensor<B>,
    pub x7: FloatTensor<B>,
    pub x8: FloatTensor<B>,
    pub x9: FloatTensor<B>,
    pub x10: FloatTensor<B>,
}

impl<B: Backend> Inputs<B> {
    fn into_array(self) -> [FloatTensor<B>; MOST] {
        let Self { x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10 } = self;
        [x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10]
    }
}

/// Backends that run operations on slices.
#[backend_extension(Autodiff, Flex)]
pub trait HostBackend: Backend {
    /// Runs `operation` on the first `count` inputs.
    fn host_operation(
        operation: Arc<dyn Operation>,
        count: usize,
        #[extension_type] inputs: Inputs<Self>,
    ) -> FloatTensor<Self>;
}

type Primitive = FloatTensor<Flex>;

fn slices(inputs: &[Primitive]) -> Vec<&[f32]> {
    inputs.iter().map(values_of).collect()
}

fn values_of(input: &Primitive) -> &[f32] {
    input.as_slice::<f32>().unwrap_or_else(|| panic!("a contiguous tensor of f32"))
}

fn contiguous(inputs: [Primitive; MOST], count: usize) -> Vec<Primitive> {
    inputs.into_iter().take(count).map(|input| input.to_contiguous()).collect()
}

fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape.into()))
}

/// Gives a map that nobody else holds back to the engine.
fn recycle(operation: &dyn Operation, map: Primitive) {
    if let Some(engine) = operation.engine()
        && map.is_unique()
        && let Ok(values) = map.into_data().try_into_vec()
    {
        lock(engine).recycle(values);
    }
}

impl HostBackend for Flex {
    fn host_operation(operation: Arc<dyn Operation>, count: usize, inputs: Inputs<Self>) -> FloatTensor<Self> {
        let inputs = contiguous(inputs.into_array(), count);
        let (output, kept) = operation.forward(&slices(&inputs));
        operation.discard(kept);
        tensor(output, operation.shape())
    }
}

/// What waits for the backward pass.
#[derive(Clone, Debug)]
struct State {
    operation: Arc<dyn Operation>,
    inputs: Vec<Primitive>,
    kept: Arc<Mutex<KeptCell>>,
}

/// Gives memory back to the operation where no backward pass took it.
struct KeptCell(Option<Kept>, Arc<dyn Operation>);

impl std::fmt::Debug for KeptCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.0.is_some()).finish()
    }
}

impl Drop for KeptCell {
    fn drop(&mut self) {
        if let Some(kept) = self.0.take() {
            self.1.discard(kept);
        }
    }
}

#[derive(Debug)]
struct HostBackward;

impl Backward<Flex, MOST> for HostBackward {
    type State = State;

    fn backward(self, ops: Ops<State, MOST>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let State { operation, inputs, kept } = ops.state;
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).0.take();
        let kept = kept.unwrap_or_else(|| panic!("a pass has one backward pass"));
        let wanted = ops.parents[0].is_some();
        let found = operation.backward(&slices(&inputs), kept, values_of(&gradient), wanted);
        for ((node, values), input) in ops.parents.into_iter().zip(found).zip(&inputs) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(values, input.layout().shape().clone()));
            }
        }
        recycle(&*operation, gradient);
        inputs.into_iter().take(1).for_each(|map| recycle(&*operation, map));
    }
}

impl<C: CheckpointStrategy> HostBackend for Autodiff<Flex, C> {
    fn host_operation(operation: Arc<dyn Operation>, count: usize, inputs: Inputs<Self>) -> FloatTensor<Self> {
        let inputs = inputs.into_array();
        let nodes = std::array::from_fn(|at| inputs[at].node());
        let primitives = contiguous(inputs.map(|input| input.into_primitive()), count);
        let (output, kept) = operation.forward(&slices(&primitives));
        let output = tensor(output, operation.shape());
        match HostBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let kept = Arc::new(Mutex::new(KeptCell(Some(kept), Arc::clone(&operation))));
                prepared.finish(State { operation, inputs: primitives, kept }, output)
            }
            OpsKind::UnTracked(prepared) => {
                operation.discard(kept);
                prepared.finish(output)
            }
        }
    }
}
