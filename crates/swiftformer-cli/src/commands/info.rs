//! `swiftformer info`: what a model is.

mod report;

use clap::{Args, ValueEnum};
use swiftformer::checkpoint::ModelSource;

use self::report::Report;
use crate::{
    console,
    model::{ModelDetails, open},
    outcome::Outcome,
};

/// Show what a model is: dialect and why, parameters, MACs, stages, preprocessing
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  swiftformer info xs
  swiftformer info checkpoint.pth --format json | jq .dialect_source")]
pub struct InfoArgs {
    /// Model: hub id, folder, file, demo or random:…
    #[arg(value_name = "MODEL", default_value = "demo")]
    model: ModelSource,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    details: ModelDetails,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// Runs the command.
pub fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let checkpoint = open(&args.model, &args.details, None)?;
    let report = Report::new(&checkpoint, args.model == ModelSource::Demo)?;
    match args.format {
        Format::Text => console::line(report.to_string().trim_end())?,
        Format::Json => console::line(&serde_json::to_string_pretty(&report.to_json())?)?,
    }
    Ok(Outcome::Done)
}
