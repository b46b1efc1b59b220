//! Golden files for the tests of this crate.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod processes;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::Value;
use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    tensor::TensorMap,
    weights::{ReadOptions, read_file},
};
use swiftformer_train::{
    loss::Targets,
    model::{Network, NetworkOptions},
    trainer::Batch,
};

/// A file of the repository's `testdata`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

pub fn tensors(name: &str) -> TensorMap {
    read_file(&testdata(name), &ReadOptions::default()).unwrap().tensors
}

pub fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(testdata(name)).unwrap()).unwrap()
}

pub fn checkpoint(case: &str) -> Checkpoint {
    Checkpoint::open(&ModelSource::Path(testdata(case)), &OpenOptions::default()).unwrap()
}

pub fn network(checkpoint: &Checkpoint, fused: bool) -> Network {
    let options = NetworkOptions { fused, ..NetworkOptions::default() };
    Network::new(checkpoint.arch().clone(), checkpoint.state(), &options, &Device::flex()).unwrap()
}

/// Batch `step` of the training fixtures.
pub fn batch(inputs: &TensorMap, step: usize) -> Batch {
    let values = |name: &str| inputs[&format!("{name}.{step}")].to_f32();
    Batch {
        images: values("x"),
        shape: [4, 3, 64, 64],
        targets: Targets::Soft(values("soft_targets")),
        teacher: Some(values("teacher_logits")),
    }
}

/// Golden values: whole tensors where they are small, else every so many values and signed sums (see
/// `testdata/training/README.md`).
pub struct Golden {
    pub tensors: TensorMap,
    pub facts: Value,
}

/// Signed sums kept of a large tensor.
const SUMS: u64 = 24;

/// How far found values are from golden ones.
pub struct Difference {
    /// The largest of the values that are kept.
    pub largest: f64,
    /// The L2 norm; for a large tensor estimated from its signed sums.
    pub norm: f64,
    /// The golden tensor's L2 norm.
    pub golden_norm: f64,
}

impl Golden {
    pub fn open(case: &str) -> Self {
        let facts = json("training/training.json")[case].clone();
        Self { tensors: tensors(&format!("training/{case}.safetensors")), facts }
    }

    pub fn scalar(&self, name: &str) -> f64 {
        f64::from(self.tensors[name].to_f32()[0])
    }

    pub fn compare(&self, name: &str, found: &[f32]) -> Difference {
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        if let Some(golden) = self.tensors.get(name) {
            let golden = golden.to_f32();
            assert_eq!(golden.len(), found.len(), "{name}");
            let difference = || golden.iter().zip(found).map(|(a, b)| f64::from(a - b));
            return Difference {
                largest: difference().map(f64::abs).fold(0.0, f64::max),
                norm: squares(&mut difference()).sqrt(),
                golden_norm: squares(&mut golden.iter().map(|&v| f64::from(v))).sqrt(),
            };
        }
        let sketch = self.tensors.get(&format!("{name}~")).unwrap_or_else(|| panic!("no golden {name}")).to_f32();
        let (sums, samples) = sketch[1..].split_at(SUMS as usize);
        let stride = found.len() / 32;
        let differences = samples.iter().enumerate().map(|(at, v)| f64::from((v - found[at * stride]).abs()));
        let found_sums = (0..SUMS).map(|row| {
            let signed = found.iter().enumerate().map(|(at, &v)| sign(row, at as u64) * f64::from(v));
            signed.sum::<f64>()
        });
        let errors = sums.iter().zip(found_sums).map(|(&golden, found)| (f64::from(golden) - found).powi(2));
        Difference {
            largest: differences.fold(0.0, f64::max),
            norm: (errors.sum::<f64>() / SUMS as f64).sqrt(),
            golden_norm: f64::from(sketch[0]),
        }
    }

    /// Whether the exact gradient of a tensor is zero, so that only rounding noise can be seen.
    pub fn is_noise(&self, name: &str) -> bool {
        self.facts["zero_gradient_parameters"].as_array().unwrap().iter().any(|noise| noise == name)
    }

    /// The float error that the fixtures state for a tensor.
    pub fn error(&self, section: &str, name: &str) -> f64 {
        let error = self.facts["errors"][section][name].as_f64();
        error.unwrap_or_else(|| panic!("no error for {section} {name}"))
    }
}

/// +1 or −1 for value `at` in signed sum `row`.
fn sign(row: u64, at: u64) -> f64 {
    let mut mixed = (row << 32 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if (mixed ^ (mixed >> 31)) & 1 == 0 { 1.0 } else { -1.0 }
}
