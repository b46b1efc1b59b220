//! `swiftformer eval`: how well a model classifies a data set.

mod report;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use swiftformer::{checkpoint::Checkpoint, image::Preset, model::OutputRequest};
use swiftformer_train::{
    data::{
        Category, CifarLabels, Loader, LoaderOptions, OpenOptions, Position, View, match_classes, open_for_evaluation,
    },
    metrics::Classification,
};

use self::report::{Evaluation, print};
use crate::{
    console, interrupt,
    model::{ModelArgs, RunArgs, compile, open_classifier},
    outcome::Outcome,
    progress::Progress,
};

/// Print how well a model classifies a data set: top-1, top-5, loss, each class, confusions
#[derive(Args, Debug)]
#[command(
    after_help = "Data sets: a folder with a folder of images for each class, or train/ and val/ with such folders; CIFAR's \
                        .bin files; iNaturalist 2018 and 2019; tar shards (WebDataset). Images to validate with are taken \
                        where they are set apart, else all.

Classes are matched to the model's labels by name; where names differ but numbers agree, by position.

Examples:
  swiftformer eval imagenet/ --model xs
  swiftformer eval shapes --model runs/shapes --format json > report.json"
)]
pub struct EvalArgs {
    /// Folder or file of the data set
    #[arg(value_name = "DATA")]
    data: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Prepare images as one of hf, timm, original, original-0.9 instead of as the model says
    #[arg(long, value_name = "PRESET")]
    preprocess: Option<Preset>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Rank by which iNaturalist's images are told apart: name, genus, family, ...
    #[arg(long, value_name = "RANK", default_value = "name")]
    category: Category,
    /// Which labels of CIFAR-100: fine (100 classes) or coarse (20)
    #[arg(long, value_name = "LABELS", default_value = "fine")]
    cifar_labels: CifarLabels,
    #[command(flatten)]
    run: RunArgs,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// Runs the command.
pub fn run(args: &EvalArgs) -> anyhow::Result<Outcome> {
    let options = OpenOptions { category: args.category, cifar_labels: args.cifar_labels, ..OpenOptions::default() };
    let data = open_for_evaluation(&args.data, &options)?;
    let checkpoint = open_classifier(&args.model, args.preprocess, "")?;
    let names = labels(&checkpoint);
    let label_of = match_classes(data.classes(), &names)
        .with_context(|| format!("{} cannot be judged by {}", checkpoint.name(), args.data.display()))?;
    let model = compile(&checkpoint, &args.model, args.run)?;
    let loader = Loader::new(
        data.clone(),
        View::Evaluate(Box::new(checkpoint.preprocessor().clone())),
        LoaderOptions { workers: args.run.threads(), ..LoaderOptions::new(args.run.batch.get()) },
    )?;
    interrupt::finish_work_in_hand();
    let mut counts = Classification::new(names.len());
    let mut progress = Progress::images(data.len(), false);
    let mut epoch = loader.start(Position::default());
    let started = Instant::now();
    for batch in epoch.by_ref() {
        let batch = batch?;
        if interrupt::requested() {
            return Ok(Outcome::Interrupted);
        }
        if batch.is_empty() {
            continue;
        }
        let outputs = model.run(&batch.images, &OutputRequest::default())?;
        let logits = outputs.logits.context("the model gave no logits")?;
        let labels: Vec<usize> = batch.labels.iter().map(|&label| label_of[label]).collect();
        counts.add(logits.data(), &labels)?;
        progress.set(counts.images());
    }
    let seconds = started.elapsed().as_secs_f64();
    let wait_share = epoch.wait_share();
    drop((epoch, progress));
    let broken = loader.broken();
    for broken in &broken {
        console::error(&broken.reason);
    }
    if counts.images() == 0 {
        bail!("not one image of {} could be read", args.data.display());
    }
    let evaluation = Evaluation::new(&checkpoint, &counts, &names, [seconds, wait_share], &broken);
    match args.format {
        Format::Text => print(&evaluation, &label_of)?,
        Format::Json => console::json_line(&evaluation)?,
    }
    Ok(if broken.is_empty() { Outcome::Done } else { Outcome::ImagesFailed })
}

/// The model's labels.
fn labels(checkpoint: &Checkpoint) -> Vec<String> {
    let config = checkpoint.config();
    (0..config.num_labels).map(|index| config.label(index)).collect()
}
