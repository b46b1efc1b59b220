//! `swiftformer train`: from a folder of images to a model that tells them apart.

use std::path::PathBuf;

use clap::Args;

#[cfg(feature = "train")]
mod processes;
#[cfg(feature = "train")]
mod run;

#[cfg(feature = "train")]
pub use run::run;

/// Train a model on a data set, from nothing or from a trained model
#[derive(Args, Debug)]
#[command(
    after_help = "Data sets: a folder with a folder of images for each class, or train/ and val/ with such folders; CIFAR's \
                        .bin files; iNaturalist 2018 and 2019; tar shards (WebDataset); Parquet files of the Hugging Face Hub. \
                        Without images to validate with, a tenth is split off.

Recipes: quick (a small network from nothing, in minutes), demo (the same, longer), finetune (a trained model to \
                        other classes), linear-probe (its heads only), paper-xs, paper-s, paper-l1, paper-l3 (ImageNet as the authors trained), or a file.

The run's folder is a model: swiftformer classify photo.jpg --model runs/shapes

Examples:
  swiftformer train shapes --output runs/shapes
  swiftformer train birds --model xs --output runs/birds --set epochs=10 --set lr=1e-4
  swiftformer train birds --model xs --output runs/birds --device cuda
  swiftformer train --resume runs/birds"
)]
#[cfg_attr(not(feature = "train"), allow(dead_code, reason = "the command line is the same without training"))]
pub struct TrainArgs {
    /// Folder or file of the data set
    #[arg(value_name = "DATA", required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// Start from this model instead of the recipe's: hub id, folder, file, or random:VARIANT
    #[arg(short, long, value_name = "MODEL", conflicts_with = "resume")]
    model: Option<String>,
    /// Name or file of the recipe [default: finetune with --model, else quick]
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// Folder for the run, new or empty [default: runs/ and the name of the data set]
    #[arg(short, long, value_name = "DIR", conflicts_with = "resume")]
    output: Option<PathBuf>,
    /// Go on with the run in this folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Change a setting of the recipe; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Resume although settings were changed
    #[arg(long, requires = "resume")]
    force: bool,
    /// Where to train: cpu, cuda, wgpu, metal or rocm, with :N for a certain card [default: the recipe's, cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Train by N processes of this machine, each with its share of every batch and of the threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    replicas: u16,
    /// Whose copy this process is
    #[arg(long, value_name = "SERVER,RANK,WORLD", hide = true)]
    replica: Option<String>,
    /// Threads to use; 0 means one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// What a program without training says.
#[cfg(not(feature = "train"))]
pub const WITHOUT: &str = "this program was built without training; build it with: cargo install --path \
                           crates/swiftformer-cli --features train";

/// Says how to get a program that trains.
#[cfg(not(feature = "train"))]
pub fn run(_: &TrainArgs) -> anyhow::Result<crate::outcome::Outcome> {
    anyhow::bail!(WITHOUT)
}
