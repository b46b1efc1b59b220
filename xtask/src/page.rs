//! The tests of the server's page, in Chromium by Playwright.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{Outcome, command};

const FOLDER: &str = "crates/swiftformer-cli/tests/page";
/// Where the README's pictures of the page are.
const SCREENSHOTS: &str = "docs/images";
/// Names of Chromium's program.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Runs them, and says why where they cannot run; with `screenshots`, takes those of the README too.
pub fn run(screenshots: bool) -> Result<Outcome> {
    match test(screenshots)? {
        Ok(passed) => Ok(if passed { Outcome::Passed } else { Outcome::Failed }),
        Err(missing) => {
            println!("skipped: {missing}");
            Ok(Outcome::Unavailable)
        }
    }
}

/// Whether the tests pass, or what is missing to run them.
pub fn test(screenshots: bool) -> Result<std::result::Result<bool, String>> {
    let chromium = CHROMIUM.iter().find_map(|name| find(name));
    let (Some(_), Some(_), Some(chromium)) = (find("node"), find("npm"), chromium) else {
        return Ok(Err(
            "the page's tests need node, npm and chromium (`apt-get install nodejs npm chromium`)".to_owned()
        ));
    };
    let root = crate::root()?;
    let folder = root.join(FOLDER);
    if !is_installed(&folder) {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        if !command::succeeds(Command::new("npm").args(install).current_dir(&folder))? {
            return Ok(Err(format!("`npm ci` in {FOLDER} did not get the page's test programs")));
        }
    }
    if !command::succeeds(&mut command::cargo(&["build", "--package", "swiftformer-cli"])?)? {
        return Ok(Ok(false));
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    let mut node = Command::new("node");
    node.arg("test.mjs").arg(target.join("debug/swiftformer")).arg("--chromium").arg(chromium);
    if screenshots {
        node.arg("--screenshots").arg(root.join(SCREENSHOTS));
    }
    Ok(Ok(command::succeeds(node.current_dir(folder))?))
}

/// Whether what npm installed is what the lock file names: npm leaves a note of its own, written last.
fn is_installed(folder: &Path) -> bool {
    let time = |file: &str| folder.join(file).metadata().and_then(|found| found.modified()).ok();
    match (time("node_modules/.package-lock.json"), time("package-lock.json")) {
        (Some(installed), Some(wanted)) => installed >= wanted,
        _ => false,
    }
}

/// The path of a program.
fn find(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths).map(|folder| folder.join(name)).find(|file| file.is_file())
}
