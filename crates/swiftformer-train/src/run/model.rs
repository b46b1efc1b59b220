//! The network that a run starts from.

use swiftformer::{
    arch::{Arch, Block, Leaf, TailKind},
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    config::Reading,
    image::{Normalize, Preprocessor},
    tensor::RawTensor,
    weights::state::StateDict,
};

use super::RunError;
use crate::{
    model::ablation::StageAttention,
    recipe::{DropRule, HeadChoice, Recipe},
    rng::{HEADS, Rng},
};

/// A network before its first step, or at a saved one.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) arch: Arch,
    pub(super) state: StateDict,
    pub(super) preprocessor: Preprocessor,
    /// The drop path rule of the library that the config comes from.
    pub(super) rule: DropRule,
}

pub(super) fn parse_source(text: &str) -> Result<ModelSource, RunError> {
    text.parse().map_err(|error: swiftformer::checkpoint::ParseSourceError| RunError::Setting(error.to_string()))
}

/// Opens what the recipe says, for `classes`. `note` hears what was made anew.
pub(super) fn open(recipe: &Recipe, classes: &[String], note: &mut dyn FnMut(&str)) -> Result<Model, RunError> {
    let start = &recipe.model;
    let source = parse_source(&start.start)?;
    let options = OpenOptions { seed: recipe.run.seed, ..OpenOptions::default() };
    let mut checkpoint = Checkpoint::open(&source, &options)?;
    checkpoint.known_dialect()?;
    let fresh = matches!(source, ModelSource::RandomVariant(_) | ModelSource::RandomConfig(_));
    if checkpoint.config().num_channels != 3 {
        let channels = checkpoint.config().num_channels;
        return Err(RunError::Setting(format!("{} takes images of {channels} channels, not 3", checkpoint.name())));
    }
    if !fresh {
        let sizes = !start.depths.is_empty() || !start.embed_dims.is_empty() || start.layer_scale > 0.0;
        if sizes || !start.dialect.is_empty() || !start.attention.is_empty() {
            let keys = "model.depths, embed_dims, layer_scale, dialect and attention are for random weights";
            let how = "--set depths=[] --set embed_dims=[] --set layer_scale=0 --set dialect= --set attention=[]";
            return Err(RunError::Setting(format!("{keys}, not for those of {}: {how}", checkpoint.name())));
        }
        fit_heads(&mut checkpoint, recipe, classes, note)?;
    }
    let mut config = checkpoint.config().clone();
    let rule = if config.reading == Reading::Timm { DropRule::EveryBlock } else { DropRule::AttentionBlocks };
    if fresh {
        if !start.depths.is_empty() {
            config.depths.clone_from(&start.depths);
        }
        if !start.embed_dims.is_empty() {
            config.embed_dims.clone_from(&start.embed_dims);
        }
        if start.layer_scale > 0.0 {
            config.layer_scale_init_value = start.layer_scale;
        }
        if !start.dialect.is_empty() {
            config.dialect =
                Some(start.dialect.parse().map_err(|why| RunError::Setting(format!("model.dialect: {why}")))?);
        }
        config.num_labels = classes.len();
    }
    config.id2label = classes.to_vec();
    let own_size = config.image_size;
    if recipe.data.size > 0 {
        config.image_size = [recipe.data.size; 2];
    } else if own_size[0] != own_size[1] {
        let why = format!("{} takes images of {own_size:?}: give the size of squares by data.size", checkpoint.name());
        return Err(RunError::Setting(why));
    }
    let size = config.image_size;
    config.drop_path_rate = start.drop_path;
    config.dialect = Some(config.effective_dialect());
    let arch = Arch::build(&config.with_reading(Reading::HuggingFace)?, TailKind::Classifier)?;
    let state = if fresh { initialised(&arch, recipe) } else { checkpoint.state().clone() };
    let own = checkpoint.preprocessor();
    let mut preprocessor = match recipe.preset()? {
        Some(preset) => preset.preprocessor(size[0], size[1]),
        None if size == own_size => own.clone(),
        None => {
            let why = "data.preprocess is empty, for the model's own, but data.size is not the model's: name one of hf, timm, \
                       original, original-0.9";
            return Err(RunError::Setting(why.into()));
        }
    };
    if let Some(normalize) = own.normalize.as_ref().filter(|n| n.mean.len() == 3) {
        preprocessor.normalize = Some(normalize.clone());
    }
    Ok(Model { arch, state, preprocessor, rule })
}

/// Random weights; temperatures of transposed attention begin at 1.
fn initialised(arch: &Arch, recipe: &Recipe) -> StateDict {
    let mut state = StateDict::initialised(arch, recipe.run.seed);
    for (stage, kind) in arch.stages.iter().zip(recipe.attention()) {
        for block in &stage.blocks {
            if let (Block::Attention(block), StageAttention::Transposed) = (block, kind) {
                let module = block.attention.token_weights;
                let ones =
                    state.get(module, Leaf::Value).map(|old| RawTensor::from_f32(old.shape(), &vec![1.0; stage.dim]));
                if let Some(Ok(ones)) = ones {
                    state.insert(module, Leaf::Value, ones);
                }
            }
        }
    }
    state
}

/// Gives a trained model the heads that `classes` need.
fn fit_heads(
    checkpoint: &mut Checkpoint,
    recipe: &Recipe,
    classes: &[String],
    note: &mut dyn FnMut(&str),
) -> Result<(), RunError> {
    let config = checkpoint.config();
    let (before, after) = (config.num_labels, classes.len());
    let same_names = config.id2label == classes;
    let anew = match recipe.model.heads {
        HeadChoice::New => true,
        HeadChoice::Keep if before == after => false,
        HeadChoice::Keep => {
            let name = checkpoint.name();
            let why = format!("model.heads is keep, but {name} has {before} classes and the data set {after}");
            return Err(RunError::Setting(why));
        }
        HeadChoice::Auto => before != after || !same_names,
    };
    if anew {
        let seed = Rng::new(recipe.run.seed, &[HEADS]).next_u64();
        checkpoint.reset_classifier(after, seed)?;
        let which = if before == after { "other ones".to_owned() } else { before.to_string() };
        note(&format!("new heads for {after} classes: {} was trained for {which}", checkpoint.name()));
    }
    Ok(())
}

/// Mean and deviation of a preprocessing, for training images.
pub(super) fn mean_and_std(preprocessor: &Preprocessor) -> ([f64; 3], [f64; 3]) {
    let three = |values: &[f64], other: f64| std::array::from_fn(|at| values.get(at).copied().unwrap_or(other));
    match &preprocessor.normalize {
        Some(Normalize { mean, std }) => (three(mean, 0.0), three(std, 1.0)),
        None => ([0.0; 3], [1.0; 3]),
    }
}
