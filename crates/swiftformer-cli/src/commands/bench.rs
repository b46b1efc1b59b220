//! `swiftformer bench`: how fast the engine runs a model on this machine.

mod kernels;
mod measure;
mod pipeline;
mod report;

use std::{fmt::Display, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;
use swiftformer::{
    checkpoint::ModelSource,
    model::{IsaKind, Kernels, ModelOptions},
};

use self::{measure::Bench, report::Report};
use crate::{
    console,
    model::{ModelDetails, PrecisionArg, open},
    outcome::Outcome,
    size::Size,
};

/// Measure how fast a model runs: warm-up, then median, minimum and percent of what arithmetic alone would allow
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  swiftformer bench --model random:l3 --threads 1
  swiftformer bench --model random:xs --threads 1 --layers
  swiftformer bench --size 192x640 --batch 8 --format json
  swiftformer bench --image photo.jpg --threads 1

The ceiling is the rate of multiply-adds on registers, measured between the runs, so that both see the same clock.")]
pub struct BenchArgs {
    /// Hub id, folder, file, demo, random:VARIANT or random:PATH/config.json
    #[arg(short, long, value_name = "MODEL", default_value = "random:xs")]
    model: ModelSource,
    #[command(flatten)]
    details: ModelDetails,
    /// Threads to use; 0 means one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Size of the images; the model's own unless given
    #[arg(long, value_name = "HxW")]
    size: Option<Size>,
    /// What weights and activations are multiplied in
    #[arg(long, value_enum, default_value_t, value_name = "TYPE")]
    precision: PrecisionArg,
    /// What the image holds, to see that no input slows the engine down
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pixels: Pixels,
    /// Instruction set; the best of this machine unless given
    #[arg(long, value_name = "ISA", value_parser = parse_isa)]
    isa: Option<IsaKind>,
    /// Seconds to measure for
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Add a table of the plan's steps: best time, MACs, percent of the ceiling (one image at a time)
    #[arg(long)]
    layers: bool,
    /// Measure the whole way of this photograph instead: from its file's bytes to its five best classes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["batch", "size", "layers", "kernels"])]
    image: Option<PathBuf>,
    /// With --image: decode a large JPEG at a fraction of its size, as classify --fast-decode does
    #[arg(long, requires = "image")]
    fast_decode: bool,
    /// Add a table of the shapes: best time on every instruction set of this machine, the chosen one marked
    #[arg(long)]
    kernels: bool,
}

/// Pixel values of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Pixels {
    /// As a normalised photograph has them
    #[default]
    Photo,
    Zero,
    Nan,
    Infinite,
    /// Too small for a normal number
    Denormal,
}

impl Pixels {
    fn value(self, at: usize) -> f32 {
        match self {
            // The pattern does not matter for the time.
            Self::Photo => (at % 97) as f32 / 24.0 - 2.0,
            Self::Zero => 0.0,
            Self::Nan => f32::NAN,
            Self::Infinite => f32::INFINITY,
            Self::Denormal => f32::from_bits(1 + (at % 97) as u32 * 1000),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

fn parse_isa(name: &str) -> Result<IsaKind, String> {
    let found = IsaKind::ALL.iter().copied().find(|isa| isa.name() == name);
    found.ok_or_else(|| {
        let here: Vec<_> = Kernels::available().into_iter().map(IsaKind::name).collect();
        format!("unknown instruction set; this machine has {}", here.join(", "))
    })
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> anyhow::Result<Outcome> {
    let seconds = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    let options = |isa| ModelOptions { threads: args.threads, isa, precision: args.precision.into() };
    if let Some(image) = &args.image {
        let checkpoint = open(&args.model, &args.details, None)?;
        let report = pipeline::measure(&checkpoint, &options(args.isa), image, args.fast_decode, seconds)?;
        print(args.format, &report)?;
        return Ok(Outcome::Done);
    }
    let on = |isa: Option<IsaKind>| {
        Bench::new(
            || open(&args.model, &args.details, None),
            args.size.map(|size| size.0),
            &options(isa),
            args.batch as usize,
            args.pixels,
        )
    };
    let mut bench = on(args.isa)?;
    let runs = bench.measure(seconds)?;
    let layers = if args.layers { bench.layers(seconds)? } else { Vec::new() };
    let shapes = if args.kernels {
        let chosen = bench.model.isa();
        let benches: Vec<Bench> =
            kernels::instruction_sets(chosen).into_iter().map(|isa| on(Some(isa))).collect::<Result<_, _>>()?;
        kernels::measure(&benches, chosen, seconds)?
    } else {
        Vec::new()
    };
    let report = Report::new(&args.model.to_string(), &bench, &runs, layers, shapes);
    print(args.format, &report)?;
    Ok(Outcome::Done)
}

fn print(format: Format, report: &(impl Serialize + Display)) -> anyhow::Result<()> {
    match format {
        Format::Text => console::line(report.to_string().trim_end()),
        Format::Json => console::line(&serde_json::to_string_pretty(report)?),
    }
}
