//! `swiftformer export`: a model as a file for other runtimes.

#[cfg(feature = "verify")]
mod verify;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::json;
use swiftformer::{
    checkpoint::{Checkpoint, ModelSource},
    export::{
        Artifact, Batch, ExportOptions, FloatType, Format, GeluForm, Lowered, NormForm, OutputKind, Source, lower,
    },
    image::Preset,
};

use crate::{
    console, interrupt,
    model::{ModelDetails, open},
    outcome::Outcome,
    size::Size,
};

#[cfg(feature = "verify")]
use self::verify::compare;

/// Headings of the help text.
const GRAPH: &str = "Graph";

/// Write a model as a file for another runtime
#[derive(Args, Debug)]
#[command(after_help = "Formats:
  onnx    one file, operator set 17 (20 with --gelu op), for ONNX Runtime, OpenVINO, TensorRT and others.
          Input pixel_values [N, 3, H, W]; with --with-preprocessing image [N, H, W, 3], bytes of an RGB image, which
          with --source-size may have another size than the network
  coreml  .mlpackage, an ML Program for iOS 16, macOS 13 and later; with --with-preprocessing the input is an image, and
          with class names --outputs probabilities is a classifier. Made by the format's rules, but never run: there is no
          Core ML outside Apple's systems
  litert  .tflite (TensorFlow Lite) with metadata, class names in a zip archive behind it; operators that XNNPACK takes whole.
          Input pixel_values [N, H, W, 3]; values and inputs are f32 also with --precision f16, which halves the weights
  ncnn    folder with model.ncnn.param, model.ncnn.bin, model.json (preprocessing) and labels.txt; one image at a time

BatchNorms, layer scales and the two heads are folded. Nothing is reshaped between image and scores, and all values stay
within the range of 16-bit floats. The same model and options give the same bytes.

Examples:
  swiftformer export xs xs.onnx
  swiftformer export timm/swiftformer_l1.dist_in1k l1.onnx --precision f16 --labels embed
  swiftformer export xs xs.onnx --with-preprocessing --source-size any --outputs probabilities
  swiftformer export xs xs.tflite --precision f16 --labels embed
  swiftformer export xs xs-ncnn --format ncnn
  swiftformer export xs xs.mlpackage --outputs probabilities --with-preprocessing --labels embed
  swiftformer export runs/photos photos.onnx --batch dynamic --outputs probabilities --with-preprocessing --verify")]
pub struct ExportArgs {
    /// Model to export: hub id, folder, file, demo or random:…
    #[arg(value_name = "MODEL")]
    model: ModelSource,
    /// File or folder to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Format to write: onnx, litert, ncnn or coreml; if left out, by the end of OUT (.tflite, .mlpackage), else onnx
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Height and width of the images; the size that the model was made for if left out
    #[arg(long, value_name = "HxW")]
    size: Option<Size>,
    /// Images of one run: a number, or dynamic
    #[arg(long, value_name = "N", default_value = "1")]
    batch: Batch,
    /// What weights and values are stored as, f32 or f16; f32 if left out, for coreml f16
    #[arg(long, value_name = "TYPE")]
    precision: Option<FloatType>,
    /// What the model gives: logits, probabilities, features (of every stage) or embedding
    #[arg(long, value_name = "KIND", default_value_t)]
    outputs: OutputKind,
    /// Take bytes 0 to 255 of an image that is resized and cropped already, and normalise them in the graph
    #[arg(long)]
    with_preprocessing: bool,
    /// Size of the images that come in, HxW or any: the graph resizes and crops them, too, as the model's preprocessing does;
    /// ONNX only
    #[arg(long, value_name = "HxW", requires = "with_preprocessing")]
    source_size: Option<Source>,
    /// Prepare images as one of hf, timm, original, original-0.9 instead of as the model says
    #[arg(long, value_name = "PRESET")]
    preprocess: Option<Preset>,
    /// Whether names of the classes go into the file; auto: if the model has names
    #[arg(long, value_enum, value_name = "WHETHER", default_value_t)]
    labels: Labels,
    /// How GELU is written: exact (erf), tanh (an approximation) or op (one operation, where the format has it)
    #[arg(long, value_name = "FORM", default_value_t, help_heading = GRAPH)]
    gelu: GeluForm,
    /// How L2 norms are written: portable, or qnn (which Qualcomm's compiler takes as one operation)
    #[arg(long, value_name = "FORM", default_value_t, help_heading = GRAPH)]
    norm: NormForm,
    /// Run the file in another engine beside this program's engine on a drawn image, and print the largest difference; ONNX only, in
    /// builds with the feature verify
    #[arg(long)]
    verify: bool,
    /// Replace OUT when it is there already
    #[arg(long)]
    force: bool,
    /// How the result is reported
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    report: Report,
    #[command(flatten)]
    details: ModelDetails,
}

/// `--labels`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Labels {
    /// If the model has names
    #[default]
    Auto,
    /// Names, or LABEL_0, … where the model has none
    Embed,
    /// None
    Omit,
}

/// `--report`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Report {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

impl ExportArgs {
    fn format(&self) -> Format {
        let by_name = || {
            let end = self.output.extension()?.to_str()?;
            Format::ALL.iter().copied().find(|format| format.extension() == Some(end))
        };
        self.format.or_else(by_name).unwrap_or_default()
    }

    fn options(&self, checkpoint: &Checkpoint) -> ExportOptions {
        let classifies = matches!(self.outputs, OutputKind::Logits | OutputKind::Probabilities);
        ExportOptions {
            size: self.size.map(|size| size.0),
            batch: self.batch,
            precision: self.precision.unwrap_or(self.format().default_precision()),
            gelu: self.gelu,
            norm: self.norm,
            outputs: self.outputs,
            with_preprocessing: self.with_preprocessing,
            source: self.source_size,
            embed_labels: match self.labels {
                Labels::Auto => classifies && !checkpoint.config().id2label.is_empty(),
                Labels::Embed => true,
                Labels::Omit => false,
            },
        }
    }
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    if args.verify {
        can_verify(args)?;
    }
    if args.labels == Labels::Embed && matches!(args.outputs, OutputKind::Features | OutputKind::Embedding) {
        bail!("--labels embed names classes, but --outputs {} gives none; leave one of them out", args.outputs);
    }
    let checkpoint = open(&args.model, &args.details, args.preprocess)?;
    let lowered = lower(&checkpoint, &args.options(&checkpoint))?;
    let format = args.format();
    let artifact = format.print(&lowered)?;
    if format == Format::CoreMl && args.output.extension().is_none_or(|end| end != "mlpackage") {
        tracing::warn!("Xcode knows a Core ML package by its name: call it {}.mlpackage", args.output.display());
    }
    interrupt::finish_work_in_hand();
    let comparison = if args.verify { Some(compare(&checkpoint, &lowered, &artifact)?) } else { None };
    artifact.save(&args.output, args.force)?;
    report(args, &lowered, &artifact, comparison)?;
    Ok(if interrupt::requested() { Outcome::Interrupted } else { Outcome::Done })
}

fn can_verify(args: &ExportArgs) -> anyhow::Result<()> {
    let format = args.format();
    if format != Format::Onnx {
        bail!("--verify runs ONNX files only: no Rust engine that is kept up runs {format}; leave it out");
    }
    if args.source_size.is_some() {
        bail!(
            "--verify cannot run a file that resizes: its engine has no antialiasing; leave out --verify or --source-size"
        );
    }
    if cfg!(not(feature = "verify")) {
        bail!("this build cannot --verify; build with `cargo build --release --features verify`");
    }
    Ok(())
}

/// What `--verify` finds.
#[derive(Clone, Copy, Debug, Default)]
struct Comparison {
    /// Of any value of any output.
    largest_difference: f32,
    /// Of this program's engine, without its sign.
    largest_value: f32,
}

#[cfg(not(feature = "verify"))]
fn compare(_: &Checkpoint, _: &Lowered, _: &Artifact) -> anyhow::Result<Comparison> {
    bail!("this build cannot --verify")
}

fn report(
    args: &ExportArgs,
    lowered: &Lowered,
    artifact: &Artifact,
    comparison: Option<Comparison>,
) -> anyhow::Result<()> {
    let [height, width] = lowered.size;
    let options = &lowered.options;
    let dialect = lowered.info.dialect;
    let bytes = artifact.byte_len();
    if args.report == Report::Json {
        return console::json_line(&json!({
            "output": args.output.display().to_string(),
            "format": args.format().name(),
            "bytes": bytes,
            "operations": lowered.nodes.len(),
            "weights": lowered.weights(),
            "size": lowered.size,
            "batch": options.batch.to_string(),
            "source_size": options.source.map(|source| source.to_string()),
            "precision": options.precision.name(),
            "dialect": dialect.name(),
            "labels": lowered.info.labels.len(),
            "largest_difference": comparison.map(|found| found.largest_difference),
            "largest_value": comparison.map(|found| found.largest_value),
        }));
    }
    console::line(&format!(
        "wrote {} ({}, {} bytes, {} operations, {height}x{width}, batch {}, {}, dialect {dialect})",
        args.output.display(),
        args.format(),
        bytes,
        lowered.nodes.len(),
        options.batch,
        options.precision,
    ))?;
    match comparison {
        Some(Comparison { largest_difference, largest_value }) => console::line(&format!(
            "largest difference from this program's engine: {largest_difference:.1e}, beside values up to {largest_value:.2}"
        )),
        None => Ok(()),
    }
}
