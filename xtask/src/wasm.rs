//! The kernels' tests for WebAssembly with SIMD, run by node.
//!
//! A module without a system has no output and cannot unwind, so a failing test ends its whole suite; the trap's stack
//! names the test. The library's own unit tests need threads and stay out.

use anyhow::{Context, Result};

use crate::{
    Outcome, command,
    toolchain::{Tool, Toolchain, complete},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the test programs of the kernels as modules and runs each `main`.
pub fn run() -> Result<Outcome> {
    let found = Toolchain::find(TARGET);
    let complete = complete(TARGET, found, &[Tool { program: "node", packages: "nodejs" }]);
    let Some(toolchain) = found.filter(|_| complete) else { return Ok(Outcome::Unavailable) };
    let runner = crate::root()?.join("xtask/src/wasm_tests.mjs");
    let runner = runner.to_str().context("the path of the workspace is not UTF-8")?;
    let mut cargo = toolchain.cargo()?;
    cargo.args(["test", "--target", TARGET, "--package", "swiftformer-kernels", "--test", "*"]);
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", format!("node {runner}"));
    cargo.env("RUSTFLAGS", "-C target-feature=+simd128");
    Ok(if command::succeeds(&mut cargo)? { Outcome::Passed } else { Outcome::Failed })
}
