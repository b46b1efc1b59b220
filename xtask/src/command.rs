//! Running other programs.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

/// The cargo that runs this task, in the workspace's folder.
pub fn cargo(arguments: &[&str]) -> Result<Command> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(crate::root()?);
    Ok(command)
}

/// The cargo of another toolchain of rustup's, in the workspace's folder.
pub fn rustup_cargo(toolchain: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new("cargo");
    command.arg(format!("+{toolchain}")).args(arguments).current_dir(crate::root()?);
    // Set by the cargo that runs this task, and would win over the toolchain asked for.
    command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    Ok(command)
}

/// Prints a command as a shell would take it, runs it, and says whether it succeeded.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    let short = name.rsplit('/').next().unwrap_or(&name);
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    println!("$ {short} {}", arguments.join(" "));
    let status = command.status().with_context(|| format!("{name} does not start"))?;
    Ok(status.success())
}

/// What a program prints when asked `arguments`, or `None` where it is not installed or refuses.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// As [`output`], in a folder.
pub fn output_in(folder: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
