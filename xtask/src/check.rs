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

/// The features that are checked, of all packages.
const FEATURES: &str = "swiftformer/hub,swiftformer-train/engine,swiftformer-train/parquet,swiftformer-cli/train,\
                        swiftformer-cli/parquet,swiftformer-cli/serve,swiftformer-cli/verify,xtask/verify-hub";

/// Features that need what a machine that checks may lack, and minutes more to build: a graphics card's toolkit, an MPI.
#[cfg(test)]
const LEFT_OUT: [&str; 6] = ["cuda", "default", "metal", "mpi", "rocm", "wgpu"];

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
    ("clippy", || clippy(&["--workspace", "--features", FEATURES])),
    ("clippy without the hub", || clippy(&["--package", "swiftformer", "--no-default-features"])),
    ("documentation", documentation),
    ("tests", || ran(&mut cargo(&["test", "--workspace", "--features", FEATURES, "--lib", "--bins", "--tests"])?)),
    ("examples in documentation", || ran(&mut cargo(&["test", "--workspace", "--features", FEATURES, "--doc"])?)),
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
    let features: Vec<&str> = FEATURES.split(',').filter(|feature| !feature.starts_with("swiftformer-cli/")).collect();
    let features = features.join(",");
    let arguments = ["doc", "--workspace", "--exclude", "swiftformer-cli", "--no-deps", "--features", &features];
    let mut cargo = cargo(&arguments)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_checked_or_left_out_by_name() {
        let root = crate::root().unwrap();
        let crates = std::fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
        for package in crates.chain([root.join("xtask")]) {
            let Ok(text) = std::fs::read_to_string(package.join("Cargo.toml")) else { continue };
            let section = text.split_once("\n[features]\n").map_or("", |(_, rest)| rest);
            let lines = section.lines().take_while(|line| !line.starts_with('['));
            let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
            for (feature, _) in names {
                let full = format!("{}/{feature}", package.file_name().unwrap().to_str().unwrap());
                let known = FEATURES.split(',').any(|checked| checked == full) || LEFT_OUT.contains(&feature);
                assert!(known, "{full} is neither checked nor left out");
            }
        }
    }
}
