//! Compilers for other machines: rustup's with the target added, or Debian's `rustc-web`.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::command;

/// A Rust compiler that has the standard library of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The compiler that builds everything else.
    Own,
    /// Debian's, in `/usr/bin`.
    Debian,
}

impl Toolchain {
    /// The first that can build for `target`.
    pub fn find(target: &str) -> Option<Self> {
        [(Self::Own, "rustc"), (Self::Debian, "/usr/bin/rustc")]
            .into_iter()
            .find(|(_, rustc)| {
                command::output(rustc, &["--print", "target-libdir", "--target", target])
                    .is_some_and(|folder| holds_core(Path::new(&folder)))
            })
            .map(|(toolchain, _)| toolchain)
    }

    /// Its cargo. Build outputs go to their own folder, so that the two compilers do not undo each other's work.
    pub fn cargo(self) -> Result<Command> {
        let mut cargo = command::cargo(&[])?;
        if self == Self::Debian {
            let folder = cargo.get_current_dir().map(|folder| folder.join("target/debian"));
            cargo = Command::new("/usr/bin/cargo");
            if let Some(folder) = folder {
                cargo.env("CARGO_TARGET_DIR", folder);
            }
            cargo.current_dir(crate::root()?).env("RUSTC", "/usr/bin/rustc");
        }
        Ok(cargo)
    }
}

fn holds_core(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

/// A program that a task needs.
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// Debian's packages that bring it.
    pub packages: &'static str,
}

/// Says which tools are missing and how to install them; true when all are there.
pub fn complete(target: &str, toolchain: Option<Toolchain>, tools: &[Tool]) -> bool {
    let missing: Vec<&Tool> =
        tools.iter().filter(|tool| command::output(tool.program, &["--version"]).is_none()).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|tool| tool.program).collect();
        let packages: Vec<_> = missing.iter().map(|tool| tool.packages).collect();
        println!("Not installed: {}. On Debian:", names.join(", "));
        println!("    apt-get install --no-install-recommends {}", packages.join(" "));
    }
    if toolchain.is_none() {
        println!("No Rust compiler here has the standard library of {target}. Install it with:");
        println!("    rustup target add {target}");
    }
    missing.is_empty() && toolchain.is_some()
}
