//! `swiftformer convert`: a model in another layout.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, SaveOptions},
    config::Dialect,
    tensor::DType,
    weights::names::Layout,
};

use crate::{
    console, interrupt,
    model::{ModelDetails, open},
    outcome::Outcome,
};

/// Write a model in the layout of another library
#[derive(Args, Debug)]
#[command(after_help = "hf        folder for transformers: config.json, model.safetensors, preprocessor_config.json
timm      folder for timm: config.json, model.safetensors
original  .pth file (or folder) for the original code
tf        folder for transformers' TensorFlow model: config.json, tf_model.h5, preprocessor_config.json

Examples:
  swiftformer convert timm/swiftformer_xs.dist_in1k xs.pth --to original
  swiftformer convert SwiftFormer_XS_ckpt.pth xs/ --to hf --dialect sum")]
pub struct ConvertArgs {
    /// Model to convert: hub id, folder, file, demo or random:…
    #[arg(value_name = "MODEL")]
    model: ModelSource,
    /// Folder or .pth file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Layout to write: hf, timm, original or tf
    #[arg(long, value_name = "LAYOUT")]
    to: Layout,
    /// Round weights to f32, f16 or bf16; they stay what they are without this
    #[arg(long, value_enum, value_name = "TYPE")]
    dtype: Option<DTypeArg>,
    /// Replace OUT when it is there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    details: ModelDetails,
}

/// `--dtype`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DTypeArg {
    /// 32-bit floats
    F32,
    /// 16-bit floats: half the size, to three digits
    F16,
    /// bfloat16: half the size, to two digits
    Bf16,
}

impl From<DTypeArg> for DType {
    fn from(dtype: DTypeArg) -> Self {
        match dtype {
            DTypeArg::F32 => Self::F32,
            DTypeArg::F16 => Self::F16,
            DTypeArg::Bf16 => Self::BF16,
        }
    }
}

/// Runs the command.
pub fn run(args: &ConvertArgs) -> anyhow::Result<Outcome> {
    let checkpoint = open(&args.model, &args.details, None)?;
    let dialect = checkpoint.known_dialect()?;
    if let Some(warning) = foreign_dialect(&checkpoint, dialect, args.to) {
        tracing::warn!("{warning}");
    }
    interrupt::finish_work_in_hand();
    let options = SaveOptions { overwrite: args.force, dtype: args.dtype.map(DType::from) };
    checkpoint.save(&args.output, args.to, options)?;
    console::line(&format!(
        "wrote {} ({} layout, {} parameters, dialect {dialect})",
        args.output.display(),
        args.to,
        checkpoint.arch().parameters()
    ))?;
    Ok(if interrupt::requested() { Outcome::Interrupted } else { Outcome::Done })
}

/// What the library that the layout is for will do to weights of another dialect than its own.
fn foreign_dialect(checkpoint: &Checkpoint, dialect: Dialect, to: Layout) -> Option<String> {
    let (library, own) = match to {
        Layout::HuggingFace | Layout::TensorFlow => ("transformers computes", Dialect::Sum),
        Layout::Timm => ("timm computes", Dialect::L2),
        // The original code exists in both.
        Layout::Original => return None,
    };
    let name = checkpoint.name();
    let same_numbers = dialect == own && checkpoint.config().normalize_qk;
    (!same_numbers).then(|| {
        let found = if checkpoint.config().normalize_qk { "" } else { " without normalised queries and keys" };
        format!(
            "{name} has the attention dialect `{dialect}`{found}, but {library} `{own}`: there, these weights will give \
             other answers. This program reads the dialect from the config it writes"
        )
    })
}
