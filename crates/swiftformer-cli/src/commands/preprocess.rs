//! `swiftformer preprocess`: images as a model would get them.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use swiftformer::{
    checkpoint::ModelSource,
    image::{Preprocessor, Preset},
};

use crate::{
    args::InputArgs,
    console,
    images::{Item, Preparation, for_each_batch},
    inputs::{self, Input},
    interrupt,
    model::{ModelDetails, RunArgs, open},
    outcome::{Outcome, chain},
    rows::{Format, Rows},
};

/// Sides of the images of a preset without a model, in pixels.
const SIDE: usize = 224;

/// Write images as a model would get them: the tensor `pixel_values` [N, 3, H, W]
#[derive(Args, Debug)]
#[command(
    after_help = "All images must come out at the same size. Images that fail are left out; the file's metadata \
                        names those that are there under `images`.

Examples:
  swiftformer preprocess photos/ --model xs --output in.safetensors
  swiftformer preprocess photo.jpg --preprocess timm --output in.safetensors"
)]
pub struct PreprocessArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Prepare images as this model's files say
    #[arg(short, long, value_name = "MODEL", required_unless_present = "preprocess")]
    model: Option<ModelSource>,
    /// Prepare images as one of hf, timm, original, original-0.9; at 224x224 or the model's size
    #[arg(long, value_name = "PRESET")]
    preprocess: Option<Preset>,
    /// File for `pixel_values`: .safetensors or .npy
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    details: ModelDetails,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the command.
pub fn run(args: &PreprocessArgs) -> anyhow::Result<Outcome> {
    let format = match Format::of(&args.output)? {
        Format::Csv => anyhow::bail!("pixels do not go into CSV: use .safetensors or .npy"),
        format => format,
    };
    let inputs = inputs::expand(&args.input.inputs)?;
    let names: Vec<String> = inputs.iter().map(Input::name).collect();
    let mut rows = Rows::create(&args.output, format, "pixel_values", names.iter().map(String::as_str))?;
    let preprocessor = preprocessor(args)?;
    let preparation = Preparation {
        preprocessor: &preprocessor,
        threads: args.run.threads(),
        batch: args.run.batch.get(),
        fast_decode: false,
        keep_photograph: false,
        results_to_stdout: false,
    };
    let mut failed = false;
    for_each_batch(&inputs, preparation, |batch| {
        for Item { input, image } in batch {
            match image {
                Ok(image) => {
                    let different = "all images must come out at the same size, which this preprocessing does not give";
                    let pushed = rows.push(&input.name(), image.pixels.shape(), image.pixels.data());
                    pushed.context(different)?;
                }
                Err(error) => {
                    failed = true;
                    console::error(&format!("{}: {}", input.name(), chain(&error)));
                }
            }
        }
        Ok(())
    })?;
    if interrupt::requested() {
        return Ok(Outcome::Interrupted);
    }
    if rows.count() == 0 {
        console::error("not one image could be read, so no file is written");
        return Ok(Outcome::ImagesFailed);
    }
    rows.finish()?;
    Ok(if failed { Outcome::ImagesFailed } else { Outcome::Done })
}

fn preprocessor(args: &PreprocessArgs) -> anyhow::Result<Preprocessor> {
    Ok(match (&args.model, args.preprocess) {
        (Some(model), preset) => open(model, &args.details, preset)?.preprocessor().clone(),
        (None, preset) => preset.unwrap_or(Preset::Hf).preprocessor(SIDE, SIDE),
    })
}
