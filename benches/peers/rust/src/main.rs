//! Serves an ONNX model with rten or tract in the way of `serve.py`: one line of JSON with the logits, then one with the median
//! and least time, in milliseconds, for every line on standard input.

mod engines;

use std::{
    fs,
    io::{self, BufRead, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use engines::Engine;

/// Runs before the first that counts.
const WARM_UP: usize = 3;
/// Fewest runs that count in one turn, however long they take.
const LEAST_RUNS: usize = 3;

/// The command line: engine, model, file of `pixel_values`, threads, seconds of a turn.
struct Arguments {
    engine: String,
    model: PathBuf,
    input: PathBuf,
    threads: usize,
    turn: Duration,
}

impl Arguments {
    fn parse() -> anyhow::Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [engine, model, input, threads, seconds] = words.as_slice() else {
            bail!("usage: peers rten|tract MODEL.onnx INPUT.safetensors THREADS SECONDS");
        };
        Ok(Self {
            engine: engine.clone(),
            model: model.into(),
            input: input.into(),
            threads: threads.parse().context("THREADS")?,
            turn: Duration::try_from_secs_f64(seconds.parse().context("SECONDS")?)?,
        })
    }
}

/// A batch of images in NCHW order.
pub struct Images {
    pub shape: [usize; 4],
    pub values: Vec<f32>,
}

impl Images {
    fn read(path: &PathBuf) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let file = SafeTensors::deserialize(&bytes)?;
        let tensor = file.tensor("pixel_values")?;
        let shape = tensor.shape().try_into().context("pixel_values must have four dimensions")?;
        let (values, _) = tensor.data().as_chunks::<4>();
        Ok(Self { shape, values: values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect() })
    }
}

fn say(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

fn turn(engine: &mut Engine, length: Duration) -> anyhow::Result<Value> {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < length || times.len() < LEAST_RUNS {
        let before = Instant::now();
        engine.run()?;
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    // As Python's `statistics.median` does it for the other engines.
    let middle = times.len() / 2;
    let median = if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2.0 };
    Ok(json!({ "median_ms": median, "min_ms": times[0] }))
}

fn serve() -> anyhow::Result<()> {
    let arguments = Arguments::parse()?;
    let images = Images::read(&arguments.input)?;
    let batch = images.shape[0];
    let mut engine = Engine::open(&arguments.engine, &arguments.model, images, arguments.threads)?;
    let logits = engine.run()?;
    let classes = logits.len() / batch;
    say(&json!({ "logits": logits.chunks(classes).collect::<Vec<_>>() }))?;
    for _ in 0..WARM_UP {
        engine.run()?;
    }
    for line in io::stdin().lock().lines() {
        line?;
        say(&turn(&mut engine, arguments.turn)?)?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if let Err(error) = serve() {
        // The other side reads lines of JSON and nothing else.
        say(&json!({ "error": format!("{error:#}") }))?;
        std::process::exit(1);
    }
    Ok(())
}
