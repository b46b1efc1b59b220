//! `swiftformer teach`: what a teacher says to the images of a training run, written down once.

use std::path::PathBuf;

use clap::Args;

use crate::outcome::Outcome;

#[cfg(feature = "train")]
mod run;

/// Write down what a teacher says to the images of a training run, to train with it later
#[derive(Args, Debug)]
#[command(
    after_help = "The teacher is any classifier in ONNX that takes [images, 3, height, width] and gives one logit a class, or any \
                  SwiftFormer. It sees the images that the recipe makes for its first epochs; training with the file repeats \
                  these epochs, with the same crops, colours and mixtures. So give train the same recipe and settings.

Examples:
  swiftformer teach shapes --teacher resnet50.onnx --recipe quick --output teacher.safetensors
  swiftformer train shapes --recipe quick --set distillation=soft --set teacher=teacher.safetensors"
)]
#[cfg_attr(not(feature = "train"), allow(dead_code, reason = "the command line is the same without training"))]
pub struct TeachArgs {
    /// Folder or file of the data set
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// The teacher: an .onnx file, hub id, folder or file
    #[arg(long, value_name = "MODEL")]
    teacher: String,
    /// File to write
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Name or file of the recipe to train with
    #[arg(long, value_name = "RECIPE", default_value = "quick")]
    recipe: String,
    /// Change a setting of the recipe; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Epochs whose images the teacher sees [default: those of the recipe, 10 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    epochs: Option<u32>,
    /// Threads to use; 0 means one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// Runs the command.
#[cfg(feature = "train")]
pub fn run(args: &TeachArgs) -> anyhow::Result<Outcome> {
    run::run(args)
}

/// Says how to get a program that trains.
#[cfg(not(feature = "train"))]
pub fn run(_: &TeachArgs) -> anyhow::Result<Outcome> {
    anyhow::bail!(super::train::WITHOUT)
}
