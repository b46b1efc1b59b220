//! `swiftformer embed`: the pooled features of each image.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde::Serialize;
use swiftformer::{
    checkpoint::Checkpoint,
    image::Preset,
    model::{Model, OutputRequest, Outputs},
};

use crate::{
    args::{DecodeArgs, InputArgs},
    console,
    images::{Item, Preparation, for_each_batch, stack},
    inputs::{self, Input},
    interrupt,
    model::{ModelArgs, RunArgs, compile, open_to_run},
    outcome::{Outcome, chain},
    rows::{Format, Rows},
};

/// Write the pooled features of each image, as they are before the classifier
#[derive(Args, Debug)]
#[command(
    after_help = "Without --output, one JSON object a line: {\"image\": \"...\", \"embedding\": [...]}. Images that \
                        fail are left out of files.

Examples:
  swiftformer embed photos/ --model xs --output embeddings.npy
  swiftformer embed photos/ --model xs --output embeddings.safetensors
  swiftformer embed photo.jpg --model xs | jq .embedding[0]"
)]
pub struct EmbedArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// File for the features: .safetensors (`embeddings` [N, C]), .npy or .csv
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Prepare images as one of hf, timm, original, original-0.9 instead of as the model says
    #[arg(long, value_name = "PRESET")]
    preprocess: Option<Preset>,
    #[command(flatten)]
    decode: DecodeArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the command.
pub fn run(args: &EmbedArgs) -> anyhow::Result<Outcome> {
    let output = match &args.output {
        Some(path) => Some((path, Format::of(path)?)),
        None => None,
    };
    let inputs = inputs::expand(&args.input.inputs)?;
    let names: Vec<String> = inputs.iter().map(Input::name).collect();
    let names = || names.iter().map(String::as_str);
    let rows = output.map(|(path, format)| Rows::create(path, format, "embeddings", names())).transpose()?;
    let checkpoint = open_to_run(&args.model, args.preprocess)?;
    let mut embedder = Embedder::new(&checkpoint, compile(&checkpoint, &args.model, args.run)?, rows);
    let preparation = Preparation {
        preprocessor: checkpoint.preprocessor(),
        threads: args.run.threads(),
        batch: args.run.batch.get(),
        fast_decode: args.decode.fast_decode,
        keep_photograph: false,
        results_to_stdout: args.output.is_none(),
    };
    for_each_batch(&inputs, preparation, |batch| embedder.embed(batch))?;
    if interrupt::requested() {
        return Ok(Outcome::Interrupted);
    }
    if let Some(rows) = embedder.rows {
        if rows.count() == 0 {
            console::error("not one image could be read, so no file is written");
            return Ok(Outcome::ImagesFailed);
        }
        rows.finish()?;
    }
    Ok(if embedder.failed { Outcome::ImagesFailed } else { Outcome::Done })
}

struct Embedder {
    model: Model,
    /// Whether the model pools features itself; a bare backbone has no final norm to do so.
    pools: bool,
    rows: Option<Rows>,
    failed: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Embedding { image: &'a str, embedding: &'a [f32] },
    Failure { image: &'a str, error: &'a str },
}

impl Embedder {
    fn new(checkpoint: &Checkpoint, model: Model, rows: Option<Rows>) -> Self {
        let pools = matches!(checkpoint.arch().tail, swiftformer::arch::Tail::Classifier { .. });
        if !pools {
            tracing::warn!(
                "{} is a backbone without a final norm: embeddings are the mean of its last hidden state",
                checkpoint.name()
            );
        }
        Self { model, pools, rows, failed: false }
    }

    fn embed(&mut self, batch: Vec<Item<'_>>) -> anyhow::Result<()> {
        let request = OutputRequest { pre_logits: self.pools, ..OutputRequest::default() };
        let outputs = stack(&batch)?.map(|images| self.model.run(&images, &request));
        let mut row = 0;
        for Item { input, image } in batch {
            let embedding = match (image, &outputs) {
                (Ok(_), Some(Ok(outputs))) => {
                    row += 1;
                    self.embedding(outputs, row - 1)
                }
                (Ok(_), Some(Err(error))) => Err(anyhow!("{error}")),
                (Ok(_), None) => Err(anyhow!("the image was not run")),
                (Err(error), _) => Err(error),
            };
            self.write(&input.name(), embedding)?;
        }
        Ok(())
    }

    fn write(&mut self, image: &str, embedding: anyhow::Result<Vec<f32>>) -> anyhow::Result<()> {
        let error = match &embedding {
            Ok(_) => None,
            Err(error) => Some(chain(error)),
        };
        self.failed |= error.is_some();
        let line = match (&embedding, &error, &mut self.rows) {
            (Ok(embedding), _, Some(rows)) => return rows.push(image, &[embedding.len()], embedding),
            (Ok(embedding), _, None) => Line::Embedding { image, embedding },
            (Err(_), error, None) => Line::Failure { image, error: error.as_deref().unwrap_or_default() },
            (Err(_), error, Some(_)) => {
                console::error(&format!("{image}: {}", error.as_deref().unwrap_or_default()));
                return Ok(());
            }
        };
        console::json_line(&line)
    }

    fn embedding(&self, outputs: &Outputs, row: usize) -> anyhow::Result<Vec<f32>> {
        let (values, positions) = match &outputs.pre_logits {
            Some(pooled) => (pooled, 1),
            None => (&outputs.last_hidden_state, outputs.last_hidden_state.shape().iter().skip(2).product()),
        };
        let length: usize = values.shape().iter().skip(1).product();
        let values = values.data().get(row * length..(row + 1) * length).context("the model gave too few features")?;
        let mean = |plane: &[f32]| plane.iter().copied().map(f64::from).sum::<f64>() / plane.len() as f64;
        let embedding: Vec<f32> = values.chunks_exact(positions.max(1)).map(|plane| mean(plane) as f32).collect();
        if !embedding.iter().all(|value| value.is_finite()) {
            bail!("the model's outputs are not finite; its weights may be damaged");
        }
        Ok(embedding)
    }
}
