//! Golden files for the tests of this crate.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use swiftformer::{
    arch::Arch,
    config::{Dialect, SwiftFormerConfig},
    tensor::{RawTensor, Tensor, TensorMap},
    weights::{ReadOptions, infer::infer, layout::recognise, read_bytes, read_file, state::StateDict},
};

/// A file of the repository's `testdata`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// The tensors of a golden file.
pub struct Golden {
    pub tensors: TensorMap,
    rounding: serde_json::Map<String, serde_json::Value>,
}

impl Golden {
    /// Reads `testdata/CASE/golden.safetensors` and the rounding errors stated for it.
    pub fn open(case: &str) -> Self {
        let file = read_file(&testdata(case).join("golden.safetensors"), &ReadOptions::default()).unwrap();
        let text = std::fs::read_to_string(testdata("rounding.json")).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rounding = all.get(case).and_then(|case| case.as_object()).cloned().unwrap_or_default();
        Self { tensors: file.tensors, rounding }
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        let raw = self.tensors.get(name).unwrap_or_else(|| panic!("no golden tensor {name}"));
        Tensor::new(raw.shape(), raw.to_f32()).unwrap()
    }

    /// Ten times the reference's own difference between `f32` and `f64`.
    pub fn tolerance(&self, name: &str) -> f32 {
        let error = self.rounding.get(name).and_then(|error| error.as_f64());
        10.0 * error.unwrap_or_else(|| panic!("no rounding error for {name}")) as f32
    }

    /// Asserts that `found` is the golden tensor within the stated tolerance.
    pub fn check(&self, name: &str, found: &Tensor) {
        self.check_within(name, found, self.tolerance(name));
    }

    pub fn check_within(&self, name: &str, found: &Tensor, tolerance: f32) {
        let expected = self.tensor(name);
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let worst = worst_difference(found.data(), expected.data());
        assert!(worst <= tolerance, "{name}: differs by {worst:e}, allowed {tolerance:e}");
    }
}

pub fn worst_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst })
}

/// Reads any weight file and builds its network with what the names and shapes say.
pub fn open(file: &str, dialect: Dialect) -> (Arch, StateDict) {
    network(read_file(&testdata(file), &ReadOptions::default()).unwrap().tensors, dialect)
}

/// The network of a set of tensors.
pub fn network(tensors: TensorMap, dialect: Dialect) -> (Arch, StateDict) {
    let file = recognise(tensors).unwrap();
    let inferred = infer(&file).unwrap();
    let config = SwiftFormerConfig { dialect: Some(dialect), ..inferred.config };
    let arch = Arch::build(&config, inferred.tail).unwrap();
    let state = StateDict::from_tensors(&arch, file).unwrap();
    (arch, state)
}

/// The bytes of XS's `model.safetensors`; see the README beside the packed file.
pub fn xs_safetensors() -> Vec<u8> {
    let packed = std::fs::read(testdata("hf_xs/model.safetensors.planes")).unwrap();
    let header = 8 + u64::from_le_bytes(packed[..8].try_into().unwrap()) as usize;
    let mut planes = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[header..]).read_to_end(&mut planes).unwrap();
    let count = planes.len() / 4;
    let mut bytes = packed[..header].to_vec();
    bytes.extend((0..count).flat_map(|index| [0, 1, 2, 3].map(|plane| planes[plane * count + index])));
    bytes
}

/// XS with random weights.
pub fn xs(dialect: Dialect) -> (Arch, StateDict) {
    network(read_bytes(xs_safetensors().into(), &ReadOptions::default()).unwrap().tensors, dialect)
}

/// Weights that keep activations near one, so that errors show.
pub fn lively(arch: &Arch, seed: u32) -> StateDict {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
    };
    StateDict::from_fn(arch, |param| {
        use swiftformer::arch::ParamKind::{ActivationValue, NormWeight, NumBatchesTracked, RunningVar, TokenWeights};
        let fan_in: usize = param.shape.iter().skip(1).product();
        let values: Vec<f32> = (0..param.len())
            .map(|_| match param.kind {
                NumBatchesTracked => 0.0,
                NormWeight | RunningVar => 1.0 + 0.4 * next(),
                ActivationValue => 0.3 + 0.2 * next(),
                TokenWeights => 1.7 * next(),
                _ if fan_in > 1 => next() * (3.0 / fan_in as f32).sqrt(),
                _ => 0.3 * next(),
            })
            .collect();
        RawTensor::from_f32(param.shape.clone(), &values).unwrap()
    })
}
