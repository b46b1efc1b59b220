//! Judging weights by the validation images, as the finished model would run.

use swiftformer::{
    arch::{Arch, Leaf},
    checkpoint::Checkpoint,
    image::Preprocessor,
    model::{Model, ModelOptions, OutputRequest},
    weights::state::StateDict,
};

use super::{RunError, Workers, report::Score};
use crate::{
    data::{Loader, Position},
    metrics::Classification,
    trainer::Trainer,
};

/// Counts of the answers that the network with `state` gives to the images of `loader`, in all processes.
pub(super) fn judge(
    arch: &Arch,
    state: &StateDict,
    preprocessor: &Preprocessor,
    loader: &Loader,
    workers: &Workers,
) -> Result<Classification, RunError> {
    let checkpoint = Checkpoint::from_parts(arch.clone(), state.clone(), preprocessor.clone());
    let model = Model::new(&checkpoint, &ModelOptions { threads: workers.threads, ..ModelOptions::default() })?;
    let mut counts = Classification::new(arch.config.num_labels);
    for batch in loader.start(Position::default()) {
        let batch = batch?;
        if batch.is_empty() {
            continue;
        }
        let logits = model.run(&batch.images, &OutputRequest::default())?.logits;
        let logits = logits.ok_or_else(|| RunError::Setting("the network has no classifier".into()))?;
        counts.add(logits.data(), &batch.labels)?;
    }
    let mut all = Classification::new(arch.config.num_labels);
    for part in workers.group.gather(&counts.to_bytes())? {
        all.merge_bytes(&part);
    }
    let counts = all;
    if counts.images() == 0 {
        return Err(RunError::Setting("not one validation image could be read".into()));
    }
    Ok(counts)
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
