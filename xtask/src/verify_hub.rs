//! The released weights against published numbers, for machines with network.

mod imagenet;
mod logits;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use swiftformer::{
    checkpoint::{Checkpoint, CheckpointError, ModelSource, OpenOptions},
    hub::HubError,
    image::{self, DecodeLimits, Orientation},
    model::{Model, ModelOptions},
};

use crate::Outcome;

/// The photograph that the published logits belong to: COCO val2017, image 39769.
const PHOTOGRAPH: &str = "http://images.cocodataset.org/val2017/000000039769.jpg";
/// Larger than any photograph of COCO.
const MAX_PHOTOGRAPH: u64 = 4 << 20;

/// What to check beside the logits, and where the photograph is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    imagenet: Option<PathBuf>,
    image: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(&name) = arguments.next() {
            let place = match name {
                "--imagenet" => &mut options.imagenet,
                "--image" => &mut options.image,
                _ => bail!("verify-hub does not know `{name}`, only --imagenet FOLDER and --image FILE"),
            };
            *place = Some(arguments.next().with_context(|| format!("{name} needs a path"))?.into());
        }
        Ok(options)
    }
}

/// Downloads what is missing and compares.
pub fn run(arguments: &[&str]) -> Result<Outcome> {
    let options = Options::parse(arguments)?;
    let photograph = match &options.image {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => match download(PHOTOGRAPH) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(unavailable(PHOTOGRAPH, &error)),
        },
    };
    let photograph = image::decode(&photograph, Orientation::Apply, &DecodeLimits::default())?;
    let mut outcome = Outcome::Passed;
    for (variant, expected) in logits::PUBLISHED {
        let id = format!("MBZUAI/swiftformer-{variant}");
        let model = match open(&id)? {
            Ok(model) => model,
            Err(error) => return Ok(unavailable(&id, &error)),
        };
        let found = model.classify(&photograph)?;
        let verdict = logits::compare(&found, expected);
        println!("{id}: {verdict}");
        outcome = worse(outcome, verdict.agrees());
    }
    if let Some(folder) = &options.imagenet {
        outcome = accuracies(folder, outcome)?;
    } else {
        println!("accuracies: not checked, give ImageNet's validation folder with --imagenet");
    }
    Ok(outcome)
}

fn accuracies(folder: &Path, mut outcome: Outcome) -> Result<Outcome> {
    let images = imagenet::list(folder)?;
    println!("{} images in {} classes below {}", images.files.len(), images.classes, folder.display());
    for (variant, expected) in imagenet::PUBLISHED {
        let id = format!("timm/swiftformer_{variant}.dist_in1k");
        let model = match open(&id)? {
            Ok(model) => model,
            Err(error) => return Ok(unavailable(&id, &error)),
        };
        let found = imagenet::top1(&model, &images)?;
        let agrees = imagenet::agrees(found, expected);
        println!("{id}: top-1 {found:.3} %, published {expected:.3} %: {}", if agrees { "ok" } else { "WRONG" });
        outcome = worse(outcome, agrees);
    }
    Ok(outcome)
}

/// The model of a hub id; the inner error is the network's.
fn open(id: &str) -> Result<Result<Model, HubError>> {
    eprintln!("{id}: looking for it in the cache and on the hub");
    match Checkpoint::open(&ModelSource::Hub(id.to_owned()), &OpenOptions::default()) {
        Ok(checkpoint) => Ok(Ok(Model::new(&checkpoint, &ModelOptions::default())?)),
        Err(CheckpointError::Hub(error @ (HubError::Network { .. } | HubError::Timeout { .. }))) => Ok(Err(error)),
        Err(CheckpointError::Hub(error @ HubError::NotCached { .. })) => Ok(Err(error)),
        Err(error) => Err(error).with_context(|| id.to_owned()),
    }
}

fn download(url: &str) -> Result<Vec<u8>> {
    let mut response = ureq::get(url).call()?;
    Ok(response.body_mut().with_config().limit(MAX_PHOTOGRAPH).read_to_vec()?)
}

fn unavailable(what: &str, error: &dyn std::fmt::Display) -> Outcome {
    println!("verify-hub: no network: {what} cannot be downloaded ({error})");
    Outcome::Unavailable
}

fn worse(outcome: Outcome, agrees: bool) -> Outcome {
    if agrees { outcome } else { Outcome::Failed }
}
