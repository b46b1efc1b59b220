//! The command line.

use clap::{ArgAction, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::commands::{
    bench::BenchArgs, classify::ClassifyArgs, convert::ConvertArgs, embed::EmbedArgs, eval::EvalArgs,
    export::ExportArgs, forward::ForwardArgs, info::InfoArgs, preprocess::PreprocessArgs, synth::SynthArgs,
    teach::TeachArgs, train::TrainArgs,
};
#[cfg(feature = "serve")]
use crate::serve::ServeArgs;

/// SwiftFormer vision models: classify photographs, embed them, convert and inspect models.
#[derive(Debug, Parser)]
#[command(
    name = "swiftformer",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Examples:
  swiftformer classify photo.jpg --model xs
  swiftformer classify photos/ 'more/*.png' --model l1 --format json > answers.jsonl
  swiftformer embed photos/ --model s --output embeddings.npy
  swiftformer export l1 l1.onnx --verify
  swiftformer info timm/swiftformer_xs.dist_in1k
  swiftformer train photos/ --output runs/photos

Exit codes: 0 all done, 1 some images failed, 2 wrong usage or a model or output that cannot be used, 130 Ctrl-C."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print no warnings
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print more about what is going on; twice for details
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
}

impl Cli {
    /// Which messages are wanted on stderr.
    pub fn verbosity(&self) -> LevelFilter {
        match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::INFO,
            (false, _) => LevelFilter::DEBUG,
        }
    }

    /// Which messages a server logs: one step more, because nobody watches it.
    #[cfg(feature = "serve")]
    pub fn log_level(&self) -> LevelFilter {
        match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::WARN,
            (false, 0) => LevelFilter::INFO,
            (false, _) => LevelFilter::DEBUG,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Classify(ClassifyArgs),
    Embed(EmbedArgs),
    Eval(EvalArgs),
    Forward(ForwardArgs),
    Preprocess(PreprocessArgs),
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    Convert(ConvertArgs),
    Export(ExportArgs),
    Info(InfoArgs),
    Synth(SynthArgs),
    Train(TrainArgs),
    Teach(TeachArgs),
    Bench(BenchArgs),
}

/// Which images to read, for commands that read them.
#[derive(clap::Args, Debug)]
pub struct InputArgs {
    /// Images: files, folders (searched for images), globs, or - for a list of paths on stdin, one a line
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<std::ffi::OsString>,
}

/// How the files of images are decoded.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct DecodeArgs {
    /// Decode large JPEGs at 1/2, 1/4 or 1/8 of their size, the least that still covers what the model resizes to. Much
    /// faster for photographs of many megapixels, good for search and sorting; results are NOT bit-equal to full decoding
    /// (scores move in the second or third digit), so leave it out when accuracy is measured
    #[arg(long, help_heading = "Speed")]
    pub fast_decode: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }
}
