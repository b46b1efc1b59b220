//! Development tasks of the workspace: `cargo xtask` lists them.

mod arm;
mod check;
mod command;
mod demo;
mod page;
mod rules;
mod sanitize;
mod toolchain;
#[cfg(feature = "verify-hub")]
mod verify_hub;
mod wasm;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

const USAGE: &str = "\
Usage: cargo xtask TASK

  check [--keep-going]   everything that CI checks, cheapest first
  demo                   the program's own model, trained anew; a quarter of an hour on two cores
  arm                    the kernels' and the engine's tests for 64-bit ARM, under qemu
  wasm                   the kernels' tests for WebAssembly with SIMD, under node
  page [--screenshots]   the server's page, in Chromium; also takes the README's picture of it
  sanitize               the kernels' tests under AddressSanitizer and Miri, with a nightly compiler
  verify-hub [--imagenet FOLDER] [--image FILE]
                         the released weights, downloaded, against published numbers

Exit codes: 0 all is well, 1 something failed, 2 wrong usage, 3 something that the task needs is not there.";

/// How a task ended that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All is well.
    Passed,
    /// Something that was checked is wrong.
    Failed,
    /// A tool or the network is missing; said why.
    Unavailable,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["check"] => check::run(false),
        ["check", "--keep-going"] => check::run(true),
        ["demo"] => demo::run(),
        ["arm"] => arm::run(),
        ["wasm"] => wasm::run(),
        ["page"] => page::run(false),
        ["page", "--screenshots"] => page::run(true),
        ["sanitize"] => sanitize::run(),
        ["verify-hub", options @ ..] => verify_hub(options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("xtask: cannot make sense of `{}`\n\n{USAGE}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Ok(Outcome::Unavailable) => ExitCode::from(3),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// The folder of the workspace.
fn root() -> Result<PathBuf> {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package.parent().context("the package has no parent folder")?.to_owned())
}

#[cfg(feature = "verify-hub")]
fn verify_hub(options: &[&str]) -> Result<Outcome> {
    verify_hub::run(options)
}

/// Builds the task with the library in it, optimised, and hands over.
#[cfg(not(feature = "verify-hub"))]
fn verify_hub(options: &[&str]) -> Result<Outcome> {
    let mut build = command::cargo(&["run", "--quiet", "--release", "--package", "xtask", "--features", "verify-hub"])?;
    let status = build.args(["--", "verify-hub"]).args(options).status().context("cargo does not start")?;
    match status.code() {
        Some(0) => Ok(Outcome::Passed),
        Some(1) => Ok(Outcome::Failed),
        Some(3) => Ok(Outcome::Unavailable),
        _ => anyhow::bail!("verify-hub ended with {status}"),
    }
}
