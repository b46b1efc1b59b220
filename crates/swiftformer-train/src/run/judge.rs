//! Judging weights by the validation images, as the finished model would run.

use swiftformer::{
    arch::Leaf,
    checkpoint::Checkpoint,
    model::{Model, ModelOptions, OutputRequest},
    tensor::Tensor,
    weights::state::StateDict,
};

use super::{Run, RunError, report::Score};
use crate::{
    data::{Batch, Loader, Position},
    metrics::Classification,
    model::{Network, NetworkOptions, try_to_host},
    parallel::Group,
    trainer::Trainer,
};

/// What gives the logits.
pub(super) enum Judge {
    /// The engine, as the finished model runs.
    Engine(Box<Model>),
    /// The network itself, where its attention is none that the engine knows.
    Network(Box<Network>),
}

impl Judge {
    fn logits(&self, images: &Tensor) -> Result<Vec<f32>, RunError> {
        match self {
            Self::Engine(model) => {
                let logits = model.run(images, &OutputRequest::default())?.logits;
                let logits = logits.ok_or_else(|| RunError::Setting("the network has no classifier".into()))?;
                Ok(logits.into_data())
            }
            Self::Network(network) => {
                let shape = std::array::from_fn(|axis| images.shape().get(axis).copied().unwrap_or(1));
                let images = network.images(images.data().to_vec(), shape)?;
                Ok(try_to_host(network.eval(images)?.logits())?)
            }
        }
    }

    /// Counts of the answers to the images of `loader`, in all processes of `group`; `see` gets each batch of this process
    /// and its logits.
    pub(super) fn count(
        &self,
        loader: &Loader,
        group: &Group,
        see: &mut dyn FnMut(&Batch, &[f32]),
    ) -> Result<Classification, RunError> {
        let classes = loader.data().classes().len();
        let mut counts = Classification::new(classes);
        for batch in loader.start(Position::default()) {
            let batch = batch?;
            if batch.is_empty() {
                continue;
            }
            let logits = self.logits(&batch.images)?;
            counts.add(&logits, &batch.labels)?;
            see(&batch, &logits);
        }
        let mut all = Classification::new(classes);
        for part in group.gather(&counts.to_bytes())? {
            all.merge_bytes(&part);
        }
        if all.images() == 0 {
            return Err(RunError::Setting("not one validation image could be read".into()));
        }
        Ok(all)
    }
}

impl Run {
    /// What judges the network with the tensors `state`.
    pub(super) fn judge(&self, state: &StateDict) -> Result<Judge, RunError> {
        let (arch, threads) = (self.trainer.network.arch().clone(), self.workers.threads);
        let attention = self.recipe.attention();
        if attention.is_empty() {
            let checkpoint = Checkpoint::from_parts(arch, state.clone(), self.preprocessor.clone());
            let model = Model::new(&checkpoint, &ModelOptions { threads, ..ModelOptions::default() })?;
            return Ok(Judge::Engine(Box::new(model)));
        }
        let options = NetworkOptions { attention, threads, ..NetworkOptions::default() };
        let device = self.trainer.network.device();
        Ok(Judge::Network(Box::new(Network::new(arch, state, &options, device)?)))
    }
}

pub(super) fn score(counts: &Classification) -> Score {
    Score { top1: counts.top1(), loss: counts.loss() }
}

/// The averaged weights, with the batch counters of the raw ones: an average that is resumed counts from elsewhere.
pub(super) fn averaged(trainer: &Trainer) -> Option<StateDict> {
    let arch = trainer.network.arch();
    let raw = trainer.network.to_state();
    let mut state = trainer.average.as_ref()?.to_state(arch);
    for param in arch.params().iter().filter(|param| param.leaf == Leaf::NumBatchesTracked) {
        if let Some(counter) = raw.get(param.module, param.leaf) {
            state.insert(param.module, param.leaf, counter.clone());
        }
    }
    Some(state)
}
