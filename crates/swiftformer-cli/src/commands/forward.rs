//! `swiftformer forward`: tensors in, tensors out.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use swiftformer::{
    model::{OutputRequest, Outputs},
    tensor::{DType, RawTensor, Tensor, TensorMap},
    weights::{ReadOptions, read_file, safetensors},
};

use crate::{
    interrupt,
    model::{ModelArgs, RunArgs, compile, open_to_run},
    outcome::Outcome,
    progress::Progress,
};

/// The tensor that is read.
const PIXEL_VALUES: &str = "pixel_values";

/// Run a model on the tensor `pixel_values` of a safetensors file
#[derive(Args, Debug)]
#[command(after_help = "Reads `pixel_values` [N, C, H, W]. Writes `logits` [N, classes] and `last_hidden_state`; with
--hidden-states `hidden_states.0`, …; with --features `features.0`, … (one a stage) and `pre_logits`.
A model without classifier gives no logits.

Example:
  swiftformer preprocess photo.jpg --model xs --output in.safetensors
  swiftformer forward in.safetensors --model xs --output out.safetensors --hidden-states")]
pub struct ForwardArgs {
    /// File with `pixel_values` [N, C, H, W] in F32, F16, BF16 or F64
    #[arg(value_name = "IN")]
    input: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// File for the outputs
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Write every hidden state, too
    #[arg(long)]
    hidden_states: bool,
    /// Write the output of every stage and the pooled features, too
    #[arg(long)]
    features: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the command.
pub fn run(args: &ForwardArgs) -> anyhow::Result<Outcome> {
    let images = read(args).with_context(|| format!("cannot use {}", args.input.display()))?;
    let checkpoint = open_to_run(&args.model, None)?;
    let &[count, channels, height, width] = images.shape() else { bail!("`{PIXEL_VALUES}` lost its shape") };
    let taken = checkpoint.config().num_channels;
    if channels != taken {
        bail!(
            "`{PIXEL_VALUES}` of {} has {channels} channels, but {} takes {taken}",
            args.input.display(),
            checkpoint.name()
        );
    }
    let geometry = checkpoint.arch().geometry([height, width]);
    geometry.with_context(|| format!("`{PIXEL_VALUES}` of {} does not fit the model", args.input.display()))?;
    let model = compile(&checkpoint, &args.model, args.run)?;
    let request = OutputRequest {
        hidden_states: args.hidden_states,
        features: args.features,
        pre_logits: args.features,
        ..OutputRequest::default()
    };
    interrupt::finish_work_in_hand();
    let mut progress = Progress::images(count, false);
    let mut outputs = Collected::default();
    let length = channels * height * width;
    for (index, batch) in images.bytes().chunks(args.run.batch.get() * length * images.dtype().size()).enumerate() {
        let batch_count = batch.len() / (length * images.dtype().size());
        let shape = [batch_count, channels, height, width];
        let raw = RawTensor::new(images.dtype(), shape, images.bytes().slice_ref(batch))?;
        outputs.append(model.run(&Tensor::new(shape, raw.to_f32())?, &request)?);
        if interrupt::requested() {
            return Ok(Outcome::Interrupted);
        }
        progress.set((index * args.run.batch.get() + batch_count) as u64);
    }
    let tensors = outputs.into_tensors(count)?;
    safetensors::write_file(&args.output, &tensors)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    Ok(Outcome::Done)
}

/// The images of the input file, not yet converted.
fn read(args: &ForwardArgs) -> anyhow::Result<RawTensor> {
    let mut tensors = read_file(&args.input, &ReadOptions::default())?.tensors;
    let Some(images) = tensors.shift_remove(PIXEL_VALUES) else {
        let names: Vec<String> = tensors.into_keys().take(10).collect();
        bail!("it has no tensor `{PIXEL_VALUES}`; found: {}", names.join(", "));
    };
    let shape = images.shape();
    if !matches!(images.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        bail!("`{PIXEL_VALUES}` holds {} values, expected F32, F16, BF16 or F64", images.dtype().name());
    }
    if shape.len() != 4 {
        bail!("`{PIXEL_VALUES}` has shape {shape:?}, expected [N, C, H, W]");
    }
    if shape.contains(&0) {
        bail!("`{PIXEL_VALUES}` of shape {shape:?} holds no image");
    }
    Ok(images)
}

/// Outputs of all batches so far: name, sides of one image's part, values.
#[derive(Default)]
struct Collected(Vec<(String, Vec<usize>, Vec<f32>)>);

impl Collected {
    fn append(&mut self, outputs: Outputs) {
        let numbered = |name: &'static str, tensors: Vec<Tensor>| {
            tensors.into_iter().enumerate().map(move |(index, tensor)| (format!("{name}.{index}"), tensor))
        };
        let mut parts: Vec<(String, Tensor)> = Vec::new();
        parts.extend(outputs.logits.map(|logits| ("logits".to_owned(), logits)));
        parts.push(("last_hidden_state".to_owned(), outputs.last_hidden_state));
        parts.extend(numbered("hidden_states", outputs.hidden_states));
        parts.extend(numbered("features", outputs.features));
        parts.extend(outputs.pre_logits.map(|features| ("pre_logits".to_owned(), features)));
        let first = self.0.is_empty();
        for (index, (name, tensor)) in parts.into_iter().enumerate() {
            let sides = tensor.shape().iter().skip(1).copied().collect();
            match self.0.get_mut(index) {
                Some((_, _, values)) if !first => values.extend(tensor.data()),
                _ => self.0.push((name, sides, tensor.into_data())),
            }
        }
    }

    fn into_tensors(self, count: usize) -> anyhow::Result<TensorMap> {
        let mut tensors = TensorMap::new();
        for (name, sides, values) in self.0 {
            let shape: Vec<usize> = std::iter::once(count).chain(sides).collect();
            tensors.insert(name, RawTensor::from_f32(shape, &values)?);
        }
        Ok(tensors)
    }
}
