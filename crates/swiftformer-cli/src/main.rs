//! The `swiftformer` program.

mod args;
mod commands;
mod console;
mod csv;
mod images;
mod inputs;
mod interrupt;
mod model;
mod ordered;
mod outcome;
mod partial;
mod progress;
mod rows;
#[cfg(feature = "serve")]
mod serve;
mod size;

use std::process::ExitCode;

use clap::Parser;

use outcome::Outcome;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match cli.command {
        // A server logs for machines.
        #[cfg(feature = "serve")]
        args::Command::Serve(_) => serve::logs::install(cli.log_level()),
        _ => console::install(cli.verbosity()),
    }
    let result = interrupt::install().and_then(|()| commands::run(cli.command));
    Outcome::of(result).into()
}
