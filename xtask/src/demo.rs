//! The embedded model, made by the program's own commands.
//!
//! The same sources give the same bytes on every machine with the same instruction set.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{Outcome, command};

/// The images to train with: a tenth of them judges.
const TRAIN: [&str; 4] = ["--images", "6000", "--seed", "0"];
/// Images that no decision of the training saw.
const JUDGE: [&str; 4] = ["--images", "2400", "--seed", "1"];
/// The pictures in `examples/`, larger than what was trained with.
const SHOW: [&str; 6] = ["--images", "24", "--seed", "2", "--size", "160"];
/// Those of them that are kept.
const SHOWN: [&str; 6] = ["apple", "clock", "dice", "fish", "leaf", "traffic light"];

/// Draws, trains, judges, and puts model and pictures into their places.
pub fn run() -> Result<Outcome> {
    let root = crate::root()?;
    let work = root.join("target/demo");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot empty {}", work.display()))?;
    }
    fs::create_dir_all(&work)?;
    let place = |name: &str| work.join(name).display().to_string();
    let [images, judge, show, trained, small] = ["images", "judge", "show", "run", "model"].map(place);
    let half = ["convert", &trained, &small, "--to", "hf", "--dtype", "f16"];
    let steps: [&[&str]; 6] = [
        &[&["synth", &images][..], &TRAIN].concat(),
        &["train", &images, "--recipe", "demo", "--output", &trained],
        &half,
        &[&["synth", &judge][..], &JUDGE].concat(),
        &["eval", &format!("{judge}/train"), "--model", &small],
        &[&["synth", &show][..], &SHOW].concat(),
    ];
    for step in steps {
        let program =
            ["run", "--release", "--quiet", "--locked", "--package", "swiftformer-cli", "--features", "train"];
        let mut swiftformer = command::cargo(&program)?;
        if !command::succeeds(swiftformer.arg("--").args(step))? {
            return Ok(Outcome::Failed);
        }
    }
    for file in ["config.json", "model.safetensors", "preprocessor_config.json"] {
        copy(&work.join("model").join(file), &root.join("crates/swiftformer/src/demo").join(file))?;
    }
    for class in SHOWN {
        let folder = work.join("show/train").join(class);
        let first = fs::read_dir(&folder)?.next().with_context(|| format!("{} is empty", folder.display()))??;
        copy(&first.path(), &root.join("examples/drawn").join(format!("{}.png", class.replace(' ', "-"))))?;
    }
    println!("crates/swiftformer/src/demo and examples/drawn are new: build the program again to have them");
    Ok(Outcome::Passed)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}
