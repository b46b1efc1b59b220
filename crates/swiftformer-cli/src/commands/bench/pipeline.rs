//! The whole way of one photograph: from the bytes of its file to its best classes.

use std::{
    fmt, fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use swiftformer::{
    checkpoint::Checkpoint,
    image::FileOptions,
    model::{Model, ModelOptions},
    predict::{Prediction, predictions},
};

use super::measure::quantile;
use crate::interrupt;

/// Runs before the first that counts.
const WARM_UP: usize = 2;
/// Fewest runs that count, however long they take.
const LEAST_RUNS: usize = 3;
/// Classes that are looked for.
const TOP: usize = 5;

const STAGES: [&str; 4] = ["decode_resize", "normalise", "inference", "total"];

/// What was measured. The field names are the JSON keys.
#[derive(Debug, Serialize)]
pub struct Report {
    model: String,
    image: PathBuf,
    bytes: usize,
    fast_decode: bool,
    isa: &'static str,
    threads: usize,
    size: [usize; 2],
    precision: &'static str,
    runs: usize,
    stages: Vec<Stage>,
    top: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    min_ms: f64,
    median_ms: f64,
}

#[derive(Debug, Serialize)]
struct Class {
    index: usize,
    label: String,
    score: f32,
}

/// One run: its best classes, the size of the model's input, and when each stage ended.
type Run = (Vec<Prediction>, [usize; 2], [Instant; 5]);

/// Measures for `time`. Files are read once, before; decoding and resizing run on one thread, the network on as many as
/// `options` say.
///
/// # Errors
/// When the file or the model cannot be used.
pub fn measure(
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    image: &Path,
    fast_decode: bool,
    time: Duration,
) -> anyhow::Result<Report> {
    if !checkpoint.has_classifier() {
        bail!("{} has no classifier", checkpoint.name());
    }
    let model = Model::new(checkpoint, options)?;
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let files = FileOptions { scaled_decoding: fast_decode, ..FileOptions::default() };
    let run = || -> anyhow::Result<Run> {
        let start = Instant::now();
        let prepared = checkpoint.preprocessor().file_bytes(&bytes, &files)?;
        let decoded = Instant::now();
        let pixels = checkpoint.preprocessor().interleaved(&prepared);
        let normalised = Instant::now();
        let logits = model.run_nhwc(&[&pixels], prepared.size, false)?.pop().and_then(|vectors| vectors.logits);
        let logits = logits.ok_or_else(|| anyhow!("the model gave no logits"))?;
        let inferred = Instant::now();
        let top = predictions(&logits, checkpoint.config(), TOP);
        Ok((top, prepared.size, [start, decoded, normalised, inferred, Instant::now()]))
    };
    for _ in 0..WARM_UP {
        run().with_context(|| image.display().to_string())?;
    }
    let mut seconds: [Vec<f64>; 4] = Default::default();
    let start = Instant::now();
    let (mut top, mut size) = (Vec::new(), [0; 2]);
    while (start.elapsed() < time || seconds[0].len() < LEAST_RUNS) && !interrupt::requested() {
        let (found, found_size, [start, decoded, normalised, inferred, end]) = black_box(run()?);
        (top, size) = (found, found_size);
        let spans = [decoded - start, normalised - decoded, inferred - normalised, end - start];
        for (seconds, span) in seconds.iter_mut().zip(spans) {
            seconds.push(span.as_secs_f64());
        }
    }
    let runs = seconds[0].len();
    let stages = STAGES.into_iter().zip(&mut seconds).map(|(name, seconds)| {
        seconds.sort_by(f64::total_cmp);
        Stage { name, min_ms: quantile(seconds, 0.0) * 1e3, median_ms: quantile(seconds, 0.5) * 1e3 }
    });
    Ok(Report {
        model: checkpoint.name().to_owned(),
        image: image.to_owned(),
        bytes: bytes.len(),
        fast_decode,
        isa: model.isa().name(),
        threads: model.threads(),
        size,
        precision: model.precision().name(),
        runs,
        stages: stages.collect(),
        top: top.into_iter().map(|Prediction { index, label, score }| Class { index, label, score }).collect(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.size;
        let decoding = if self.fast_decode { "scaled decoding" } else { "full decoding" };
        writeln!(
            f,
            "{}  {} ({:.1} MB, {decoding})  {height}x{width}  {}  {}  {} threads",
            self.model,
            self.image.display(),
            self.bytes as f64 / 1e6,
            self.precision,
            self.isa,
            self.threads
        )?;
        writeln!(f, "{:<18} {:>10} {:>10}   ({} runs)", "ms", "minimum", "median", self.runs)?;
        for Stage { name, min_ms, median_ms } in &self.stages {
            let name = name.replace('_', " and ");
            writeln!(f, "{name:<18} {min_ms:>10.3} {median_ms:>10.3}")?;
        }
        for Class { label, score, .. } in &self.top {
            writeln!(f, "{score:>10.4}  {label}")?;
        }
        Ok(())
    }
}
