//! Running and timing.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::Context;
use swiftformer::{
    checkpoint::Checkpoint,
    model::{Model, ModelOptions},
    plan::{StepInfo, Tap, TapSink},
};
use swiftformer_kernels::{ImageShape, Pool};

use super::Pixels;
use crate::interrupt;

/// Runs before the first that counts.
const WARM_UP: usize = 3;
/// Fewest runs that count, however long they take.
const LEAST_RUNS: usize = 5;
/// Floating-point operations of one measurement of the ceiling: about a millisecond.
const CEILING_OPERATIONS: u64 = 200_000_000;

/// A model ready to be measured.
pub struct Bench {
    pub model: Model,
    pub size: [usize; 2],
    pub batch: usize,
    /// From the start of reading to a ready plan.
    pub load: Duration,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    image: Vec<f32>,
}

/// Times of all runs, and the ceilings measured between them.
pub struct Runs {
    /// Seconds a batch, ascending.
    pub seconds: Vec<f64>,
    /// GFLOP/s of all threads together, ascending.
    pub ceilings: Vec<f64>,
}

impl Runs {
    /// The value below which `share` of the runs lie.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.seconds, share)
    }

    /// The median ceiling.
    pub fn ceiling(&self) -> f64 {
        quantile(&self.ceilings, 0.5)
    }
}

fn quantile(ascending: &[f64], share: f64) -> f64 {
    let at = (share * (ascending.len().max(1) - 1) as f64).round() as usize;
    ascending.get(at).copied().unwrap_or(f64::NAN)
}

impl Bench {
    pub fn new(
        open: impl FnOnce() -> anyhow::Result<Checkpoint>,
        size: Option<[usize; 2]>,
        options: &ModelOptions,
        batch: usize,
        pixels: Pixels,
    ) -> anyhow::Result<Self> {
        let start = Instant::now();
        let checkpoint = open()?;
        let model = Model::new(&checkpoint, options)?;
        let size = size.unwrap_or(checkpoint.config().image_size);
        let macs = checkpoint.arch().macs(size).context("the model cannot take this size")?;
        drop(checkpoint);
        let channels = model.arch().config.num_channels;
        let image = (0..size[0] * size[1] * channels).map(|at| pixels.value(at)).collect();
        let bench = Self { model, size, batch, load: Duration::ZERO, macs, image };
        bench.network_plan()?;
        Ok(Self { load: start.elapsed(), ..bench })
    }

    fn network_plan(&self) -> anyhow::Result<swiftformer::plan::Plan> {
        Ok(self.model.network().plan(self.size, self.model.threads())?)
    }

    /// Runs for `time`, and measures the ceiling after every run.
    pub fn measure(&mut self, time: Duration) -> anyhow::Result<Runs> {
        let images: Vec<&[f32]> = vec![&self.image; self.batch];
        let run = || self.model.run_nhwc(&images, self.size, false).map(black_box);
        for _ in 0..WARM_UP {
            run()?;
        }
        let mut runs = Runs { seconds: Vec::new(), ceilings: Vec::new() };
        let start = Instant::now();
        while (start.elapsed() < time || runs.seconds.len() < LEAST_RUNS) && !interrupt::requested() {
            let before = Instant::now();
            run()?;
            runs.seconds.push(before.elapsed().as_secs_f64());
            runs.ceilings.push(self.ceiling());
        }
        runs.seconds.sort_by(f64::total_cmp);
        runs.ceilings.sort_by(f64::total_cmp);
        Ok(runs)
    }

    /// GFLOP/s of multiply-adds on registers, all threads together.
    fn ceiling(&self) -> f64 {
        let (kernels, threads) = (self.model.network().kernels(), self.model.threads());
        let start = Instant::now();
        self.model.pool().for_each(threads, |_| {
            black_box(kernels.spend_operations(CEILING_OPERATIONS));
        });
        (CEILING_OPERATIONS * threads as u64) as f64 / start.elapsed().as_secs_f64() / 1e9
    }

    /// The best time of every step that computes something, one image at a time.
    pub fn layers(&self, time: Duration) -> anyhow::Result<Vec<(StepInfo, f64)>> {
        let plan = self.network_plan()?;
        let pool = Pool::new(self.model.threads());
        let mut workspace = plan.workspace();
        let steps = plan.steps();
        let mut best = vec![f64::INFINITY; steps.len()];
        let start = Instant::now();
        let mut runs = 0;
        while (start.elapsed() < time || runs < LEAST_RUNS) && !interrupt::requested() {
            let mut last = Instant::now();
            plan.run_observed(&self.image, &mut workspace, &pool, &mut LogitsOnly, |step| {
                let now = Instant::now();
                best[step] = best[step].min((now - last).as_secs_f64());
                last = now;
            });
            runs += 1;
        }
        Ok(steps.into_iter().zip(best).filter(|(step, _)| step.macs > 0).collect())
    }
}

/// Asks for what a classifier asks for.
struct LogitsOnly;

impl TapSink for LogitsOnly {
    fn wants(&self, tap: Tap) -> bool {
        tap == Tap::Logits
    }

    fn take(&mut self, _: Tap, map: &[f32], _: ImageShape) {
        black_box(map);
    }
}
