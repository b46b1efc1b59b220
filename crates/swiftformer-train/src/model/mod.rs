//! SwiftFormer in burn: forward in train and eval mode, and gradients.
//!
//! The network walks [`Arch`], the one description of the architecture, and keeps its tensors in that description's order
//! and shapes. In train mode BatchNorm is PyTorch's: batch statistics with the biased variance, running statistics with
//! momentum 0.1 and the unbiased one.

pub mod ablation;
mod activation;
mod additive;
mod error;
mod fused;
mod layers;
mod parameters;
mod random;
mod tape;

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use swiftformer::{
    arch::{Arch, Leaf, Module, Tail},
    config::Reading,
    weights::state::StateDict,
};

pub(crate) use self::parameters::{to_host, try_to_host};
pub use self::{
    error::ModelError,
    parameters::{Parameter, Parameters},
};
use crate::{
    data::Shard,
    ops::{SharedEngine, Workers},
    parallel::Group,
};
use swiftformer_kernels::{
    Precision,
    train::{Engine, SharedAverage},
};

use self::{ablation::StageAttention, layers::Layers, parameters::Value};

/// Share of a batch's statistics in BatchNorm's running statistics, PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Which residual branches stochastic depth drops. The rate grows linearly from the first block to the last; the local
/// representation never drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropPathRule {
    /// timm's: every ConvEncoder, and both branches (attention and MLP) of attention blocks.
    EveryBlock,
    /// The original's and transformers': the two branches of attention blocks only.
    AttentionBlocks,
}

impl DropPathRule {
    /// The rule of a config's reading.
    pub fn of(reading: Reading) -> Self {
        if reading == Reading::Timm { Self::EveryBlock } else { Self::AttentionBlocks }
    }

    /// The rate of every block of every stage.
    pub fn rates(self, rate: f64, depths: &[usize]) -> Vec<Vec<f64>> {
        let last = depths.iter().sum::<usize>().saturating_sub(1);
        let mut before = 0..;
        let mut block_rate = |is_attention: bool| {
            let index = before.next().unwrap_or(0);
            if last == 0 || (self == Self::AttentionBlocks && !is_attention) {
                0.0
            } else {
                rate * index as f64 / last as f64
            }
        };
        depths.iter().map(|&depth| (0..depth).map(|block| block_rate(block + 1 == depth)).collect()).collect()
    }
}

/// How a network trains, beyond what its config says.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkOptions {
    /// Who drops; `None` is the rule of the config's reading.
    pub drop_path_rule: Option<DropPathRule>,
    /// The attention of each stage; additive everywhere when empty.
    pub attention: Vec<StageAttention>,
    /// Use the project's own kernels for whole blocks where the device is the CPU.
    pub fused: bool,
    /// Keep the running statistics of BatchNorms as they are and normalise by them, instead of by each batch's. Where
    /// nothing but the heads trains, the rest then runs as it does in eval mode, without gradients.
    pub freeze_statistics: bool,
    /// Threads of those kernels; 0 are as many as the machine has. Their number changes no bit of the results.
    pub threads: usize,
    /// Keep less for the backward pass, which computes again what it lacks: less memory for more time, and the same bits. Of
    /// every block and convolution on those kernels the input alone is kept; of burn's operations on other devices,
    /// the results of those that are quick to compute again are not.
    pub checkpointing: bool,
    /// What products of matrices and convolutions are formed in; sums, norms, activations, heads and losses are always in 32
    /// bits, and so are the other attentions. Those kernels compute in 32 bits, so other numbers do without them.
    pub precision: Precision,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            drop_path_rule: None,
            attention: Vec::new(),
            fused: true,
            freeze_statistics: false,
            threads: 0,
            checkpointing: false,
            precision: Precision::F32,
        }
    }
}

/// What the network says about a batch.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Logits of the class head, `[batch, classes]`; the pooled features where there are no heads.
    pub head: Tensor<2>,
    /// Logits of the distillation head, where there is one.
    pub dist_head: Option<Tensor<2>>,
}

impl Outputs {
    /// The mean of both heads: what the network answers when it does not train.
    pub fn logits(&self) -> Tensor<2> {
        match &self.dist_head {
            Some(other) => (self.head.clone() + other.clone()) / 2.0,
            None => self.head.clone(),
        }
    }
}

/// Gradients in the order of [`Parameters::list`]; `None` for what does not train. A trainable tensor that the outputs do
/// not depend on has a gradient of zeros.
pub type Gradients = Vec<Option<Tensor<1>>>;

/// A forward pass in train mode, ready for the gradients of a loss.
#[derive(Debug)]
pub struct Pass<T = Outputs> {
    /// What the network says.
    pub outputs: T,
    leaves: Vec<Option<Tensor<1>>>,
}

impl<T> Pass<T> {
    /// The gradients of `loss`, a single number made of [`Pass::outputs`].
    pub fn backward(self, loss: &Tensor<1>) -> Gradients {
        let Self { outputs, leaves } = self;
        drop(outputs);
        if !loss.is_tracked() {
            return leaves.into_iter().map(|leaf| leaf.map(|leaf| leaf.inner().zeros_like())).collect();
        }
        let mut gradients = loss.backward();
        let gradient = |leaf: Option<Tensor<1>>| {
            leaf.map(|leaf| leaf.grad_remove(&mut gradients).unwrap_or_else(|| leaf.inner().zeros_like()))
        };
        leaves.into_iter().map(gradient).collect()
    }
}

/// A SwiftFormer with its tensors on one device.
#[derive(Clone, Debug)]
pub struct Network {
    arch: Arch,
    parameters: Parameters,
    device: Device,
    drop_path: Vec<Vec<f64>>,
    engine: Option<SharedEngine>,
    checkpointing: bool,
    precision: Precision,
    frozen_statistics: bool,
    attention: Vec<StageAttention>,
    /// The processes whose images BatchNorm's statistics are taken from.
    synchronised: Option<Group>,
    /// Which of several processes draws what is dropped.
    shard: Shard,
}

impl Network {
    /// Puts a network on `device`.
    ///
    /// # Errors
    /// When the state dict is not the network's, there are not as many attentions as stages, or the device lacks the numbers
    /// of the precision.
    pub fn new(arch: Arch, state: &StateDict, options: &NetworkOptions, device: &Device) -> Result<Self, ModelError> {
        let (stages, found) = (arch.stages.len(), options.attention.len());
        if found != 0 && found != stages {
            return Err(ModelError::Attention { stages, found });
        }
        let device = device.clone().inner();
        let parameters = Parameters::from_state(&arch, state, &device)?;
        let rule = options.drop_path_rule.unwrap_or(DropPathRule::of(arch.config.reading));
        let drop_path = rule.rates(arch.config.drop_path_rate, &arch.config.depths);
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let precision = options.precision;
        if precision == Precision::Bf16 && !device.supports_dtype(FloatDType::BF16) {
            return Err(ModelError::Precision);
        }
        let fused = options.fused && device == Device::flex() && precision == Precision::F32;
        let engine = fused.then(|| Arc::new(Mutex::new(Engine::new(threads))));
        Ok(Self {
            arch,
            parameters,
            device,
            drop_path,
            engine,
            checkpointing: options.checkpointing,
            precision,
            frozen_statistics: options.freeze_statistics,
            attention: options.attention.clone(),
            synchronised: None,
            shard: Shard::WHOLE,
        })
    }

    /// Trains as one of the processes of `group`, each of which has as many images. Stochastic depth drops what a single
    /// process would; with `synchronise`, BatchNorm's statistics in train mode are those of all processes' images.
    ///
    /// # Errors
    /// When statistics are to be synchronised and the device is not the CPU.
    pub fn join(&mut self, group: &Group, synchronise: bool) -> Result<(), ModelError> {
        self.shard = group.shard();
        if !synchronise || self.shard.world == 1 {
            return Ok(());
        }
        if self.device != Device::flex() {
            return Err(ModelError::Synchronise);
        }
        if let Some(engine) = &self.engine {
            let group = group.clone();
            let average: SharedAverage = Arc::new(move |values: &mut [f64]| group.average(values));
            engine.lock().unwrap_or_else(PoisonError::into_inner).synchronise(Some(average));
        }
        self.synchronised = Some(group.clone());
        Ok(())
    }

    /// The description that this follows.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// The tensors.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The tensors, to be changed or frozen.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// The tensors as the library keeps them: a checkpoint's, with [`swiftformer::checkpoint::Checkpoint::from_parts`].
    pub fn to_state(&self) -> StateDict {
        self.parameters.to_state(&self.arch)
    }

    /// Whether a step changes nothing before the last norm.
    fn body_is_fixed(&self) -> bool {
        let behind = |module| matches!(module, Module::Norm | Module::Head | Module::DistHead);
        self.frozen_statistics && self.parameters.list().iter().all(|p| !p.trainable || behind(p.param.module))
    }

    /// Where the tensors are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Puts normalised images `[batch, channels, height, width]` on the network's device.
    ///
    /// # Errors
    /// When their number does not fit the shape, or the shape does not fit the network.
    pub fn images(&self, values: Vec<f32>, shape: [usize; 4]) -> Result<Tensor<4>, ModelError> {
        let fits = shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side)) == Some(values.len());
        self.check(shape)?;
        if !fits {
            return Err(ModelError::Images { channels: self.arch.config.num_channels, found: shape.to_vec() });
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    fn check(&self, shape: [usize; 4]) -> Result<(), ModelError> {
        let [batch, channels, height, width] = shape;
        let fits = channels == self.arch.config.num_channels && batch > 0;
        if fits && self.arch.geometry([height, width]).is_ok() {
            return Ok(());
        }
        Err(ModelError::Images { channels: self.arch.config.num_channels, found: shape.to_vec() })
    }

    /// A forward pass in train mode: batch statistics, which also move the running ones, stochastic depth and dropout
    /// drawn from `seed` alone, and gradients recorded.
    ///
    /// # Errors
    /// When the images do not fit, or are too few for batch statistics.
    pub fn train(&mut self, images: Tensor<4>, seed: u64) -> Result<Pass, ModelError> {
        self.pass(images, seed, |layers, x| {
            let stages = layers.stages(x);
            layers.outputs(stages)
        })
    }

    /// As [`Network::train`], for what stands behind the stages: their outputs `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// As [`Network::train`].
    pub fn train_features(&mut self, images: Tensor<4>, seed: u64) -> Result<Pass<Vec<Tensor<4>>>, ModelError> {
        self.pass(images, seed, |layers, x| {
            let stages = layers.stages(x);
            layers.features(stages)
        })
    }

    fn pass<T>(
        &mut self,
        images: Tensor<4>,
        seed: u64,
        run: impl FnOnce(&Layers<'_>, Tensor<4>) -> T,
    ) -> Result<Pass<T>, ModelError> {
        self.check(images.dims())?;
        let leaves: Vec<Option<Tensor<1>>> = self
            .parameters
            .list()
            .iter()
            .map(|p| p.tensor().filter(|_| p.trainable).map(|tensor| self.taped(tensor.clone()).require_grad()))
            .collect();
        let layers = Layers::new(self, Some((&leaves, seed)));
        let outputs = run(&layers, self.taped(images.inner()));
        let statistics = layers.into_statistics();
        if let Some(tokens) = statistics.iter().map(|s| s.tokens).min().filter(|&tokens| tokens < 2) {
            return Err(ModelError::Statistics { tokens });
        }
        for s in statistics {
            self.move_running(s.module, Leaf::RunningMean, s.mean);
            self.move_running(s.module, Leaf::RunningVar, s.variance * (s.tokens as f64 / (s.tokens - 1) as f64));
            let at = self.parameters.position(s.module, Leaf::NumBatchesTracked);
            if let Value::Counter(count) = &mut self.parameters.list_mut()[at].value {
                *count += 1;
            }
        }
        Ok(Pass { outputs, leaves })
    }

    /// Lets `change` work on the values of all tensors on the host, with the threads of the network.
    pub(crate) fn with_values(&mut self, change: impl FnOnce(&[Parameter], &mut [Vec<f32>], &Workers)) {
        let Self { parameters, engine, .. } = self;
        parameters.with_values(|list, values| change(list, values, &Workers(engine.clone())));
    }

    /// The threads of the network.
    pub(crate) fn workers(&self) -> Workers {
        Workers(self.engine.clone())
    }

    fn move_running(&mut self, module: Module, leaf: Leaf, batch: Tensor<1>) {
        let at = self.parameters.position(module, leaf);
        if let Value::Numbers(running) = &mut self.parameters.list_mut()[at].value {
            *running = running.clone() * (1.0 - MOMENTUM) + batch * MOMENTUM;
        }
    }

    /// A forward pass in eval mode: running statistics, nothing dropped, no gradients.
    ///
    /// # Errors
    /// When the images do not fit.
    pub fn eval(&self, images: Tensor<4>) -> Result<Outputs, ModelError> {
        self.check(images.dims())?;
        let layers = Layers::new(self, None);
        let stages = layers.stages(images.inner());
        Ok(layers.outputs(stages))
    }

    /// The outputs of all stages in eval mode, `[batch, channels, height, width]`, behind their BatchNorms where the
    /// network has these.
    ///
    /// # Errors
    /// When the images do not fit.
    pub fn eval_features(&self, images: Tensor<4>) -> Result<Vec<Tensor<4>>, ModelError> {
        self.check(images.dims())?;
        let layers = Layers::new(self, None);
        let stages = layers.stages(images.inner());
        Ok(layers.features(stages))
    }

    /// Whether there are heads to train.
    pub fn has_heads(&self) -> bool {
        matches!(self.arch.tail, Tail::Classifier { heads: Some(_), .. })
    }
}
