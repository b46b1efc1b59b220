//! `--kernels`: what each shape costs on every instruction set of this machine.

use std::{fmt::Write, time::Duration};

use serde::Serialize;
use swiftformer::{
    model::{IsaKind, Kernels},
    plan::StepInfo,
};

use super::measure::Bench;

/// A shape of the network, and the kernels that could compute it.
#[derive(Debug, Serialize)]
pub struct Shape {
    kind: String,
    output: [usize; 3],
    macs: u64,
    /// Steps of the network that have this shape.
    steps: usize,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    isa: &'static str,
    min_us: f64,
    chosen: bool,
}

/// The instruction sets to compare: scalar code only where it is what runs, since it takes a hundred times as long.
pub fn instruction_sets(chosen: IsaKind) -> Vec<IsaKind> {
    Kernels::available().into_iter().filter(|&isa| isa != IsaKind::Scalar || isa == chosen).collect()
}

/// Times all steps on each of `benches`, which run the same network on different instruction sets.
pub fn measure(benches: &[Bench], chosen: IsaKind, time: Duration) -> anyhow::Result<Vec<Shape>> {
    let mut shapes: Vec<Shape> = Vec::new();
    for bench in benches {
        let isa = bench.model.isa();
        for (step, seconds) in bench.layers(time / benches.len().max(1) as u32)? {
            add(&mut shapes, &step, isa, seconds * 1e6, isa == chosen);
        }
    }
    Ok(shapes)
}

fn add(shapes: &mut Vec<Shape>, step: &StepInfo, isa: IsaKind, min_us: f64, chosen: bool) {
    let kind = kind(&step.name);
    let known = shapes.iter().position(|s| s.kind == kind && s.output == step.output && s.macs == step.macs);
    let index = known.unwrap_or_else(|| {
        let (kind, output, macs) = (kind.to_owned(), step.output, step.macs);
        shapes.push(Shape { kind, output, macs, steps: 0, candidates: Vec::new() });
        shapes.len() - 1
    });
    let shape = &mut shapes[index];
    shape.steps += usize::from(chosen);
    match shape.candidates.iter_mut().find(|candidate| candidate.isa == isa.name()) {
        Some(candidate) => candidate.min_us = candidate.min_us.min(min_us),
        None => shape.candidates.push(Candidate { isa: isa.name(), min_us, chosen }),
    }
}

/// A step's name without its place: `stage 1 block 0 conv encoder` is a `conv encoder`.
fn kind(name: &str) -> &str {
    let mut words = name.splitn(5, ' ');
    match (words.next(), words.nth(1), words.nth(1)) {
        (Some("stage"), Some("block"), Some(kind)) => kind,
        _ => name,
    }
}

/// The shapes as a table; the chosen kernel is marked.
pub fn table(shapes: &[Shape]) -> String {
    let mut text = format!("\n{:<24} {:>12} {:>6} {:>10}  best µs", "shape", "output", "steps", "MMAC");
    for shape in shapes {
        let [height, width, channels] = shape.output;
        let output = format!("{height}x{width}x{channels}");
        let macs = shape.macs as f64 / 1e6;
        let _ = write!(text, "\n{:<24} {output:>12} {:>6} {macs:>10.2}", shape.kind, shape.steps);
        for Candidate { isa, min_us, chosen } in &shape.candidates {
            let mark = if *chosen { "*" } else { "" };
            let _ = write!(text, "  {isa}{mark} {min_us:.1}");
        }
    }
    text + "\n(* chosen)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_one_shape_are_one_row_with_their_best_time() {
        let step = |name: &str, macs| StepInfo { name: name.into(), output: [7, 7, 220], macs };
        let mut shapes = Vec::new();
        add(&mut shapes, &step("stage 3 block 0 conv encoder", 5), IsaKind::Avx2, 3.0, true);
        add(&mut shapes, &step("stage 3 block 1 conv encoder", 5), IsaKind::Avx2, 2.0, true);
        add(&mut shapes, &step("stage 3 block 1 conv encoder", 5), IsaKind::Scalar, 9.0, false);
        add(&mut shapes, &step("stem conv 0", 5), IsaKind::Avx2, 1.0, true);
        assert_eq!(shapes.len(), 2);
        assert_eq!((shapes[0].kind.as_str(), shapes[0].steps), ("conv encoder", 2));
        let text = table(&shapes);
        assert!(text.contains("avx2* 2.0  scalar 9.0"), "{text}");
        assert!(text.contains("stem conv 0"), "{text}");
    }
}
