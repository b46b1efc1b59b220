//! Everything that CI checks, cheapest first.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    Outcome,
    command::{cargo, output, succeeds},
    page, rules,
};

/// How one step ended.
enum Ended {
    Well,
    Badly,
    /// The tool is not installed.
    Skipped(String),
}

type Step = (&'static str, fn() -> Result<Ended>);

/// Tests come last because they must compile everything into programs. They run in the dev profile: it optimises the
/// kernels fully, dependencies and the rest a little, and spares each of about fifteen test programs the link-time
/// optimisation of the release profile, which takes longer than the tests do.
const STEPS: [Step; 10] = [
    ("format", || ran(&mut cargo(&["fmt", "--all", "--check"])?)),
    ("file rules", file_rules),
    ("spelling", || tool("typos", &[], "cargo install typos-cli")),
    ("dependencies", || {
        tool("cargo-deny", &["--all-features", "check", "bans", "licenses", "sources"], "cargo install cargo-deny")
    }),
    ("clippy", || clippy(&["--workspace", "--all-features"])),
    ("clippy without the hub", || clippy(&["--package", "swiftformer", "--no-default-features"])),
    ("documentation", documentation),
    ("tests", || ran(&mut cargo(&["test", "--workspace", "--all-features", "--lib", "--bins", "--tests"])?)),
    ("examples in documentation", || ran(&mut cargo(&["test", "--workspace", "--all-features", "--doc"])?)),
    ("page", page_in_a_browser),
];

/// Runs every step and prints how long each took; the first failure ends it unless `keep_going`.
pub fn run(keep_going: bool) -> Result<Outcome> {
    let mut report = Vec::new();
    let mut failed = false;
    for (name, step) in STEPS {
        println!("\n=== {name}");
        let start = Instant::now();
        let ended = step()?;
        report.push(line(name, start.elapsed(), &ended));
        failed |= matches!(ended, Ended::Badly);
        if failed && !keep_going {
            break;
        }
    }
    println!("\n=== summary");
    report.iter().for_each(|line| println!("{line}"));
    let left = STEPS.len() - report.len();
    if left > 0 {
        println!("stopped at the first failure with {left} steps to go; `--keep-going` runs them all");
    }
    Ok(if failed { Outcome::Failed } else { Outcome::Passed })
}

fn line(name: &str, time: Duration, ended: &Ended) -> String {
    let how = match ended {
        Ended::Well => "ok".to_owned(),
        Ended::Badly => "FAILED".to_owned(),
        Ended::Skipped(why) => format!("skipped: {why}"),
    };
    format!("{name:<26} {:>7.1} s  {how}", time.as_secs_f64())
}

fn ran(command: &mut Command) -> Result<Ended> {
    Ok(if succeeds(command)? { Ended::Well } else { Ended::Badly })
}

/// A tool that checks something beside the code and may be missing.
fn tool(program: &str, arguments: &[&str], install: &str) -> Result<Ended> {
    if output(program, &["--version"]).is_none() {
        let why = format!("{program} is not installed (`{install}`)");
        println!("skipped: {why}");
        return Ok(Ended::Skipped(why));
    }
    ran(Command::new(program).args(arguments).current_dir(crate::root()?))
}

fn clippy(what: &[&str]) -> Result<Ended> {
    ran(cargo(&["clippy", "--all-targets"])?.args(what).args(["--", "-D", "warnings"]))
}

/// The program is left out: its name is the library's, and so would be its pages.
fn documentation() -> Result<Ended> {
    let mut cargo = cargo(&["doc", "--workspace", "--exclude", "swiftformer-cli", "--all-features", "--no-deps"])?;
    ran(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

fn page_in_a_browser() -> Result<Ended> {
    Ok(match page::test(false)? {
        Ok(true) => Ended::Well,
        Ok(false) => Ended::Badly,
        Err(missing) => {
            println!("skipped: {missing}");
            Ended::Skipped(missing)
        }
    })
}

fn file_rules() -> Result<Ended> {
    let root = crate::root()?;
    let Some(files) = rules::files(&root) else {
        return Ok(Ended::Skipped("git cannot list the files of this folder".to_owned()));
    };
    let broken = rules::broken(&root, &files)?;
    broken.iter().for_each(|rule| println!("{rule}"));
    println!("{} broken rules", broken.len());
    Ok(if broken.is_empty() { Ended::Well } else { Ended::Badly })
}
