//! `swiftformer classify`: the best classes of each image.

mod answers;
mod heatmaps;

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use swiftformer::{
    checkpoint::Checkpoint,
    image::Preset,
    model::{Model, OutputRequest, Outputs},
    predict::{Prediction, predictions},
};

use self::{answers::Printer, heatmaps::Heatmaps};
use crate::{
    args::{DecodeArgs, InputArgs},
    images::{Item, Preparation, for_each_batch, stack},
    inputs, interrupt,
    model::{ModelArgs, RunArgs, compile, open_classifier},
    outcome::{Outcome, chain},
};

/// Print the best classes of each image
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  swiftformer classify photo.jpg --model xs
  swiftformer classify photos/ --model l1 --top 1 --format csv > answers.csv
  find . -name '*.jpg' | swiftformer classify - --model s --format json
  swiftformer classify photo.jpg --model xs --heatmap maps/")]
pub struct ClassifyArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Classes to print for each image
    #[arg(long, value_name = "K", default_value = "5")]
    top: NonZeroUsize,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Prepare images as one of hf, timm, original, original-0.9 instead of as the model says
    #[arg(long, value_name = "PRESET")]
    preprocess: Option<Preset>,
    /// Folder for PNGs that show which parts of each image speak for its best class
    #[arg(long, value_name = "DIR")]
    heatmap: Option<PathBuf>,
    #[command(flatten)]
    decode: DecodeArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: rank, score, label
    #[default]
    Text,
    /// One JSON object a line
    Json,
    /// image,rank,index,label,score,error
    Csv,
}

/// Runs the command.
pub fn run(args: &ClassifyArgs) -> anyhow::Result<Outcome> {
    let inputs = inputs::expand(&args.input.inputs)?;
    let checkpoint = open_classifier(&args.model, args.preprocess, "; `swiftformer embed` gives its features")?;
    let model = compile(&checkpoint, &args.model, args.run)?;
    let heatmaps = args.heatmap.as_ref().map(|folder| Heatmaps::new(folder, &checkpoint, &inputs)).transpose()?;
    let printer = Printer::new(args.format, checkpoint.config());
    let preparation = Preparation {
        preprocessor: checkpoint.preprocessor(),
        threads: args.run.threads(),
        batch: args.run.batch.get(),
        fast_decode: args.decode.fast_decode,
        keep_photograph: heatmaps.is_some(),
        results_to_stdout: true,
    };
    let mut classifier =
        Classifier { checkpoint: &checkpoint, model, top: args.top.get(), heatmaps, printer, failed: false };
    classifier.printer.begin()?;
    for_each_batch(&inputs, preparation, |batch| classifier.classify(batch))?;
    Ok(match (interrupt::requested(), classifier.failed) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::ImagesFailed,
        (false, false) => Outcome::Done,
    })
}

struct Classifier<'a> {
    checkpoint: &'a Checkpoint,
    model: Model,
    top: usize,
    heatmaps: Option<Heatmaps<'a>>,
    printer: Printer,
    failed: bool,
}

impl Classifier<'_> {
    fn classify(&mut self, batch: Vec<Item<'_>>) -> anyhow::Result<()> {
        let request = OutputRequest { forward_features: self.heatmaps.is_some(), ..OutputRequest::default() };
        let outputs = stack(&batch)?.map(|images| self.model.run(&images, &request));
        let mut row = 0;
        for Item { input, image } in batch {
            let answer = match (image, &outputs) {
                (Ok(image), Some(Ok(outputs))) => {
                    row += 1;
                    self.answer(outputs, row - 1).map(|predictions| (predictions, image))
                }
                (Ok(_), Some(Err(error))) => Err(anyhow!("{error}")),
                (Ok(_), None) => Err(anyhow!("the image was not run")),
                (Err(error), _) => Err(error),
            };
            match answer {
                Ok((predictions, image)) => {
                    if let Some(heatmaps) = &mut self.heatmaps
                        && let (Some(Ok(outputs)), Some(best)) = (&outputs, predictions.first())
                    {
                        heatmaps.write(input, &image, outputs, row - 1, best.index)?;
                    }
                    self.printer.answer(&input.name(), &predictions)?;
                }
                Err(error) => {
                    self.failed = true;
                    self.printer.failure(&input.name(), &chain(&error))?;
                }
            }
        }
        Ok(())
    }

    fn answer(&self, outputs: &Outputs, row: usize) -> anyhow::Result<Vec<Prediction>> {
        let logits = outputs.logits.as_ref().ok_or_else(|| anyhow!("the model gave no logits"))?;
        let classes = self.checkpoint.config().num_labels;
        let logits = logits.data().get(row * classes..(row + 1) * classes);
        let logits = logits.ok_or_else(|| anyhow!("the model gave too few logits"))?;
        if logits.iter().any(|logit| logit.is_nan()) {
            bail!("the model's outputs are not numbers (NaN); its weights may be damaged");
        }
        Ok(predictions(logits, self.checkpoint.config(), self.top))
    }
}
