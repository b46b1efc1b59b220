//! The kernels' tests under AddressSanitizer, on every instruction set of this machine, and under Miri.

use anyhow::Result;

use crate::{Outcome, command};

const SUITE: [&str; 4] = ["--package", "swiftformer-kernels", "--lib", "--tests"];

/// Runs what this machine has the tools for, and says what it has not.
pub fn run() -> Result<Outcome> {
    let Some(host) = command::output("rustc", &["+nightly", "--print", "host-tuple"]) else {
        println!("AddressSanitizer and Miri need a nightly compiler:");
        println!("    rustup toolchain install nightly --component miri");
        return Ok(Outcome::Unavailable);
    };
    // A target of its own, so that build scripts and macros are not instrumented.
    let mut tests = command::rustup_cargo("nightly", &["test", "--target", &host])?;
    tests.args(SUITE).env("RUSTFLAGS", "-Zsanitizer=address").env("CARGO_TARGET_DIR", "target/sanitize");
    if !command::succeeds(&mut tests)? {
        return Ok(Outcome::Failed);
    }
    if command::output("cargo", &["+nightly", "miri", "--version"]).is_none() {
        println!("AddressSanitizer found nothing. Miri is not installed:");
        println!("    rustup component add --toolchain nightly miri");
        return Ok(Outcome::Unavailable);
    }
    // Miri knows no vector instructions beyond the baseline's, so detection finds the scalar kernels only.
    let mut miri = command::rustup_cargo("nightly", &["miri", "test"])?;
    miri.args(SUITE).args(["--", "scalar", "pool"]);
    Ok(if command::succeeds(&mut miri)? { Outcome::Passed } else { Outcome::Failed })
}
