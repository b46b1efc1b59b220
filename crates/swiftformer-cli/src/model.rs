//! The model that a command line names, and how it is run.

use std::{num::NonZeroUsize, thread};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    config::Dialect,
    demo,
    image::Preset,
    model::{Model, ModelOptions, Precision},
};

use crate::progress::Downloads;

/// Headings of the help text.
const DETAILS: &str = "Model details";
const SPEED: &str = "Speed";

/// Which model, and what its files leave open.
#[derive(Args, Debug)]
pub struct ModelArgs {
    /// Hub id (xs, s, l1, l3 are short for MBZUAI/swiftformer-…), folder, file, demo, random:VARIANT or
    /// random:PATH/config.json
    #[arg(short, long, value_name = "MODEL", default_value = "demo")]
    pub model: ModelSource,
    #[command(flatten)]
    pub details: ModelDetails,
    /// What weights and activations are multiplied in
    #[arg(long, value_enum, default_value_t, value_name = "TYPE", help_heading = SPEED)]
    pub precision: PrecisionArg,
}

/// What a model's files leave open, or get wrong.
#[derive(Args, Debug)]
pub struct ModelDetails {
    /// Attention dialect that trained the weights: sum, l2, softmax or raw; loose files of the original code need it
    #[arg(long, value_name = "DIALECT", help_heading = DETAILS)]
    pub dialect: Option<Dialect>,
    /// Whether attention normalises queries and keys; false only for the first release's CoreML graph
    #[arg(long, value_name = "BOOL", help_heading = DETAILS)]
    pub normalize_qk: Option<bool>,
    /// Which state dict of a checkpoint that holds several, such as model_ema
    #[arg(long, value_name = "KEY", help_heading = DETAILS)]
    pub state_dict: Option<String>,
    /// Seed of the weights of random:… models
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = DETAILS)]
    pub seed: u64,
}

/// How much is computed at a time.
#[derive(Args, Clone, Copy, Debug)]
pub struct RunArgs {
    /// Threads to use; 0 means one for each core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = SPEED)]
    pub threads: usize,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value = "8", help_heading = SPEED)]
    pub batch: NonZeroUsize,
}

/// `--precision`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// 32-bit floats
    #[default]
    F32,
    /// bfloat16, summed in 32-bit floats: faster, to two or three digits
    Bf16,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Bf16 => Self::Bf16,
        }
    }
}

impl RunArgs {
    /// The number of threads that was meant.
    pub fn threads(self) -> usize {
        threads(self.threads)
    }
}

/// What `--threads` means.
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads.min(1024),
    }
}

/// Opens `source`; the dialect may stay unknown.
pub fn open(source: &ModelSource, details: &ModelDetails, preset: Option<Preset>) -> anyhow::Result<Checkpoint> {
    let options = OpenOptions {
        dialect: details.dialect,
        normalize_qk: details.normalize_qk,
        preset,
        state_dict: details.state_dict.clone(),
        seed: details.seed,
        ..OpenOptions::default()
    };
    let mut downloads = Downloads::default();
    let mut report = |file: &str, done, total| downloads.report(file, done, total);
    Ok(Checkpoint::open_with_progress(source, &options, &mut report)?)
}

/// Opens the model to run it: its dialect has to be known, and the demo says what it is.
pub fn open_to_run(args: &ModelArgs, preset: Option<Preset>) -> anyhow::Result<Checkpoint> {
    let checkpoint = open(&args.model, &args.details, preset)?;
    checkpoint.known_dialect()?;
    if args.model == ModelSource::Demo {
        tracing::warn!("{}", demo::NOTICE);
    }
    Ok(checkpoint)
}

/// Opens a model with a classifier to run it; `otherwise` is what to say of one without.
pub fn open_classifier(args: &ModelArgs, preset: Option<Preset>, otherwise: &str) -> anyhow::Result<Checkpoint> {
    let checkpoint = open_to_run(args, preset)?;
    if !checkpoint.has_classifier() {
        bail!("{} has no classifier{otherwise}", checkpoint.name());
    }
    Ok(checkpoint)
}

/// Makes the model ready to run.
pub fn compile(checkpoint: &Checkpoint, args: &ModelArgs, run: RunArgs) -> anyhow::Result<Model> {
    let precision = args.precision.into();
    let options = ModelOptions { threads: run.threads(), precision, ..ModelOptions::default() };
    Model::new(checkpoint, &options).with_context(|| format!("cannot run {}", checkpoint.name()))
}
