//! Accuracy on ImageNet's validation images.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use swiftformer::{
    image::{self, DecodeLimits, Orientation},
    model::Model,
};

/// Top-1 in percent at 224×224, crop 0.95, bicubic: timm's `results-imagenet.csv`.
pub const PUBLISHED: [(&str, f64); 4] = [("xs", 75.600), ("s", 78.462), ("l1", 80.906), ("l3", 82.994)];
/// Decoders and resizing differ in the last bit, which turns about one answer in a thousand.
const TOLERANCE: f64 = 0.2;
/// Images between two signs of life.
const REPORT: usize = 1000;

/// Images with the index of their class.
pub struct Images {
    /// Path and class.
    pub files: Vec<(PathBuf, usize)>,
    /// How many classes there are.
    pub classes: usize,
}

/// Whether an accuracy is the published one.
pub fn agrees(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= TOLERANCE
}

/// The images of `folder`, which holds one folder a class; the classes count in the order of their names.
pub fn list(folder: &Path) -> Result<Images> {
    let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = folder.read_dir().with_context(|| folder.display().to_string())?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    let classes: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    let mut files = Vec::new();
    for (class, folder) in classes.iter().enumerate() {
        files.extend(entries(folder)?.into_iter().filter(|path| path.is_file()).map(|path| (path, class)));
    }
    ensure!(!files.is_empty(), "{} holds no folders with images, one a class", folder.display());
    Ok(Images { files, classes: classes.len() })
}

/// The share of images whose class has the highest score, in percent.
pub fn top1(model: &Model, images: &Images) -> Result<f64> {
    let labels = model.arch().config.num_labels;
    if labels != images.classes {
        bail!("the model has {labels} classes, the folder {}", images.classes);
    }
    let mut right = 0;
    for (index, (path, class)) in images.files.iter().enumerate() {
        let picture = image::open(path, Orientation::Ignore, &DecodeLimits::default())?;
        let logits = model.classify(&picture)?;
        right += usize::from(highest(&logits) == Some(*class));
        if (index + 1) % REPORT == 0 {
            eprintln!("{} of {}: {:.2} %", index + 1, images.files.len(), percent(right, index + 1));
        }
    }
    Ok(percent(right, images.files.len()))
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// Where the largest value is.
fn highest(logits: &[f32]) -> Option<usize> {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(index, _)| index)
}
