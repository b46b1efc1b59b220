//! `swiftformer synth`: a data set drawn by rule.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use swiftformer_train::synth::{Classes, SynthError, SynthOptions, Task, generate};

use crate::{interrupt, outcome::Outcome, partial::PartialFolder, progress::Progress};

/// Draw a data set of twelve classes: apples, bananas, brick walls, clocks, dice, fish, flowers, ...; or of six others
#[derive(Args, Debug)]
#[command(
    after_help = "A tenth of the images is for validation. The same options give the same files, byte for byte, on every \
                        machine.

Examples:
  swiftformer synth shapes
  swiftformer synth garden --classes more --images 330
  swiftformer synth shapes-coco --task detect --images 500 --seed 7"
)]
pub struct SynthArgs {
    /// Folder to make; one that is there already must be empty
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// What the images are for
    #[arg(long, value_enum, default_value_t)]
    task: TaskArg,
    /// What there is to see
    #[arg(long, value_enum, default_value_t)]
    classes: ClassesArg,
    /// Number of images [default: 6000, or 2000 to detect and segment]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Another number gives other images
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Pixels of a side, of the longer one where images are not square [default: 96, or 192 to detect and segment]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Threads to use; 0 means one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// `--task`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TaskArg {
    /// A folder a class in train/ and val/
    #[default]
    Classify,
    /// COCO: boxes and masks in annotations/instances_*.json
    Detect,
    /// ADE20K: a label for every pixel in annotations/
    Segment,
}

/// `--classes`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ClassesArg {
    /// The twelve that the demo model knows
    #[default]
    Dozen,
    /// Cactus, ladybird, mushroom, pencil, snowman, umbrella: six that it does not know; to classify only
    More,
}

impl From<TaskArg> for Task {
    fn from(task: TaskArg) -> Self {
        match task {
            TaskArg::Classify => Self::Classify,
            TaskArg::Detect => Self::Detect,
            TaskArg::Segment => Self::Segment,
        }
    }
}

/// Runs the command.
pub fn run(args: &SynthArgs) -> anyhow::Result<Outcome> {
    let task = Task::from(args.task);
    let images = args.images.unwrap_or(if task == Task::Classify { 6000 } else { 2000 });
    let mut options = SynthOptions::new(task, images, args.seed);
    options.classes = match args.classes {
        ClassesArg::Dozen => Classes::Dozen,
        ClassesArg::More => Classes::More,
    };
    options.side = args.size.unwrap_or(options.side);
    if args.threads > 0 {
        options.threads = args.threads;
    }
    let folder = PartialFolder::create(&args.output)?;
    interrupt::finish_work_in_hand();
    let bar = Mutex::new(Progress::images(images, false));
    let progress = |done: usize| {
        bar.lock().unwrap_or_else(PoisonError::into_inner).set(done as u64);
        !interrupt::requested()
    };
    match generate(folder.path(), &options, &progress) {
        Ok(()) => folder.finish()?,
        Err(SynthError::Stopped) => return Ok(Outcome::Interrupted),
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", args.output.display())),
    }
    Ok(Outcome::Done)
}
