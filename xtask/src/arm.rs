//! The tests for 64-bit ARM: qemu checks that NEON gives the right numbers, not how fast.

use anyhow::Result;

use crate::{
    Outcome, command,
    toolchain::{Tool, Toolchain, complete},
};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const QEMU: &str = "qemu-aarch64";

/// Builds the tests of the kernels and of the engine for ARM and runs them.
pub fn run() -> Result<Outcome> {
    let tools = [
        Tool { program: LINKER, packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" },
        Tool { program: QEMU, packages: "qemu-user" },
    ];
    let found = Toolchain::find(TARGET);
    let complete = complete(TARGET, found, &tools);
    let Some(toolchain) = found.filter(|_| complete) else {
        if found.is_none() {
            println!("or, without rustup, take Debian's compiler:");
            println!("    apt-get install --no-install-recommends rustc-web cargo-web libstd-rust-web-dev");
            println!("    dpkg --add-architecture arm64 && apt-get update");
            println!("    apt-get download libstd-rust-web-dev:arm64 && dpkg -x libstd-rust-web-dev_*_arm64.deb /");
        }
        return Ok(Outcome::Unavailable);
    };
    // Without the hub, which needs no ARM machine to test and a C compiler's headers to build.
    let suites = [
        &["--package", "swiftformer-kernels", "--lib", "--tests"][..],
        &["--package", "swiftformer", "--no-default-features", "--test", "engine"],
    ];
    for suite in suites {
        let mut cargo = toolchain.cargo()?;
        cargo.args(["test", "--target", TARGET]).args(suite);
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", format!("{QEMU} -L /usr/aarch64-linux-gnu"));
        if !command::succeeds(&mut cargo)? {
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Passed)
}
