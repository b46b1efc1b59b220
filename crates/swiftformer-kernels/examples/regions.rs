//! What a parallel region costs: the engine's pool beside rayon's, with two and more tasks of a given length.
//!
//! `cargo run --release -p swiftformer-kernels --example regions [THREADS]`
//!
//! A forward pass of SwiftFormer-XS has about sixty regions in three milliseconds, with short serial pieces between them; so do
//! the rounds here. Every line gives the median over rounds of what a region took beyond its tasks' own time.

use std::{
    hint::{black_box, spin_loop},
    time::{Duration, Instant},
};

use rayon::prelude::*;
use swiftformer_kernels::Pool;

/// Regions of one round.
const REGIONS: usize = 60;
const ROUNDS: usize = 100;
/// Of the serial piece between two regions.
const GAP: Duration = Duration::from_micros(2);

fn work(length: Duration) {
    let start = Instant::now();
    while start.elapsed() < length {
        spin_loop();
    }
    black_box(());
}

/// Median microseconds a region beyond `ideal`.
fn overhead(ideal: Duration, region: impl Fn()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..REGIONS {
                work(GAP);
                region();
            }
            (start.elapsed().as_secs_f64() / REGIONS as f64 - (GAP + ideal).as_secs_f64()) * 1e6
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    let threads = std::env::args().nth(1).map_or(2, |text| text.parse().expect("a number of threads"));
    let pool = Pool::new(threads);
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a rayon pool");
    println!("{threads} threads; microseconds a region beyond its tasks' own time");
    println!("{:>12} {:>8} {:>10} {:>10}", "tasks", "each, µs", "own pool", "rayon");
    for (tasks, microseconds) in
        [(threads, 5), (threads, 20), (threads, 100), (4 * threads, 5), (4 * threads, 20), (threads, 1000)]
    {
        let length = Duration::from_micros(microseconds);
        let ideal = length * (tasks / threads) as u32;
        let own = overhead(ideal, || pool.for_each(tasks, |_| work(length)));
        // From inside the pool, as a program that lives in it would: entering it costs more than the loop.
        let others = rayon.install(|| overhead(ideal, || (0..tasks).into_par_iter().for_each(|_| work(length))));
        println!("{tasks:>12} {microseconds:>8} {own:>10.1} {others:>10.1}");
    }
}
