//! The result as text and JSON.

use std::fmt;

use serde::Serialize;
use swiftformer::plan::StepInfo;

use super::{
    kernels::{self, Shape},
    measure::{Bench, Runs},
};

/// What was measured. The field names are the JSON keys.
#[derive(Debug, Serialize)]
pub struct Report {
    model: String,
    isa: &'static str,
    threads: usize,
    batch: usize,
    size: [usize; 2],
    precision: &'static str,
    runs: usize,
    median_ms: f64,
    min_ms: f64,
    p95_ms: f64,
    images_per_second: f64,
    /// Of the ceiling, at the median.
    peak_fraction: f64,
    /// Of all threads together.
    ceiling_gflops: f64,
    macs: u64,
    load_ms: f64,
    /// Of the process, in MiB; `None` where the system does not tell.
    peak_memory_mib: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<Shape>,
}

#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    output: [usize; 3],
    macs: u64,
    min_us: f64,
    peak_fraction: f64,
}

impl Report {
    pub fn new(model: &str, bench: &Bench, runs: &Runs, layers: Vec<(StepInfo, f64)>, kernels: Vec<Shape>) -> Self {
        let median = runs.quantile(0.5);
        let operations = 2.0 * bench.macs as f64 * bench.batch as f64;
        let ceiling = runs.ceiling();
        let layer = |(step, seconds): (StepInfo, f64)| Layer {
            min_us: seconds * 1e6,
            peak_fraction: 2.0 * step.macs as f64 / seconds / 1e9 / ceiling,
            name: step.name,
            output: step.output,
            macs: step.macs,
        };
        Self {
            model: model.to_owned(),
            isa: bench.model.isa().name(),
            threads: bench.model.threads(),
            batch: bench.batch,
            size: bench.size,
            precision: bench.model.precision().name(),
            runs: runs.seconds.len(),
            median_ms: median * 1e3,
            min_ms: runs.quantile(0.0) * 1e3,
            p95_ms: runs.quantile(0.95) * 1e3,
            images_per_second: bench.batch as f64 / median,
            peak_fraction: operations / median / 1e9 / ceiling,
            ceiling_gflops: ceiling,
            macs: bench.macs,
            load_ms: bench.load.as_secs_f64() * 1e3,
            peak_memory_mib: peak_memory(),
            layers: layers.into_iter().map(layer).collect(),
            kernels,
        }
    }
}

/// The most memory that this process has had, in MiB.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.size;
        writeln!(
            f,
            "{}  {height}x{width}  batch {}  {}  {}  {} threads",
            self.model, self.batch, self.precision, self.isa, self.threads
        )?;
        writeln!(f, "median        {:9.3} ms   ({} runs)", self.median_ms, self.runs)?;
        writeln!(f, "minimum       {:9.3} ms", self.min_ms)?;
        writeln!(f, "95th percent  {:9.3} ms", self.p95_ms)?;
        writeln!(f, "throughput    {:9.1} images/s", self.images_per_second)?;
        let percent = 100.0 * self.peak_fraction;
        writeln!(f, "of ceiling    {percent:9.1} %    ({:.0} GFLOP/s)", self.ceiling_gflops)?;
        writeln!(f, "load          {:9.1} ms   (open, fold, pack, plan)", self.load_ms)?;
        if let Some(memory) = self.peak_memory_mib {
            writeln!(f, "peak memory   {memory:9.1} MiB")?;
        }
        if !self.layers.is_empty() {
            writeln!(f, "\n{:<40} {:>12} {:>10} {:>10} {:>8}", "step", "output", "MMAC", "best µs", "ceiling")?;
        }
        for layer in &self.layers {
            let [height, width, channels] = layer.output;
            let output = format!("{height}x{width}x{channels}");
            let macs = layer.macs as f64 / 1e6;
            let percent = 100.0 * layer.peak_fraction;
            writeln!(f, "{:<40} {output:>12} {macs:>10.2} {:>10.1} {percent:>6.1} %", layer.name, layer.min_us)?;
        }
        if !self.kernels.is_empty() {
            writeln!(f, "{}", kernels::table(&self.kernels))?;
        }
        Ok(())
    }
}
