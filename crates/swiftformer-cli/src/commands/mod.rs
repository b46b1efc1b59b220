//! One file a command.

pub mod bench;
pub mod classify;
pub mod convert;
pub mod embed;
pub mod eval;
pub mod export;
pub mod forward;
pub mod info;
pub mod preprocess;
pub mod synth;
pub mod teach;
pub mod train;

use crate::{args::Command, outcome::Outcome};

/// Runs a command.
pub fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Bench(args) => bench::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Forward(args) => forward::run(&args),
        Command::Preprocess(args) => preprocess::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => crate::serve::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Synth(args) => synth::run(&args),
        Command::Teach(args) => teach::run(&args),
        Command::Train(args) => train::run(&args),
    }
}
