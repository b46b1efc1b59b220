//! `swiftformer forward` against the outputs of the reference implementations.

use serde_json::Value;
use swiftformer::tensor::{RawTensor, TensorMap};

use crate::support::{Folder, swiftformer, tensors, testdata, write_pixel_values};

/// Golden outputs of one case, with ten times the reference's own rounding error as tolerance.
struct Golden {
    tensors: TensorMap,
    rounding: Value,
}

impl Golden {
    fn open(case: &str) -> Self {
        let all: Value = serde_json::from_str(&std::fs::read_to_string(testdata("rounding.json")).unwrap()).unwrap();
        let tensors = tensors(testdata(case).join("golden.safetensors"));
        Self { tensors, rounding: all[case].clone() }
    }

    fn check(&self, name: &str, found: &RawTensor) {
        let expected = self.tensors.get(name).unwrap_or_else(|| panic!("no golden {name}"));
        assert_eq!(found.shape(), expected.shape(), "{name}");
        // TensorFlow states no error of its own; its weights and inputs are those of `hf_tiny`.
        let tolerance = self.rounding[name].as_f64().map_or(1e-4, |error| 10.0 * error) as f32;
        let (found, expected) = (found.to_f32(), expected.to_f32());
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{name}: differs by {worst:e}, allowed {tolerance:e}");
    }
}

/// Runs `forward` on the golden input of `size`.
fn forward(size: &str, model: &[&str], outputs: &[&str]) -> TensorMap {
    let folder = Folder::new();
    let pixels = tensors(testdata("hf_tiny/golden.safetensors"))[&format!("{size}.pixel_values")].clone();
    let input = write_pixel_values(&folder, pixels);
    let output = folder.path("out.safetensors");
    swiftformer(&[&["forward", &input, "--output", &output, "--model"], model, outputs].concat()).exits(0);
    tensors(&output)
}

const SIZES: [&str; 2] = ["64x64", "75x107"];

#[test]
fn hugging_face_outputs_are_transformers() {
    let golden = Golden::open("hf_tiny");
    for size in SIZES {
        for model in ["hf_tiny", "hf_tiny/pytorch_model.bin"] {
            let found = forward(size, &[model], &["--hidden-states"]);
            assert_eq!(found.len(), 10);
            golden.check(&format!("{size}.logits"), &found["logits"]);
            golden.check(&format!("{size}.last_hidden_state"), &found["last_hidden_state"]);
            (0..8).for_each(|index| {
                golden.check(&format!("{size}.hidden_states.{index}"), &found[&format!("hidden_states.{index}")]);
            });
        }
    }
}

#[test]
fn timm_outputs_are_timms() {
    let golden = Golden::open("timm_tiny");
    for size in SIZES {
        let found = forward(size, &["timm_tiny"], &["--features", "--batch", "1"]);
        golden.check(&format!("{size}.logits"), &found["logits"]);
        golden.check(&format!("{size}.pre_logits"), &found["pre_logits"]);
        (0..4).for_each(|stage| {
            golden.check(&format!("{size}.features_only.{stage}"), &found[&format!("features.{stage}")]);
        });
    }
}

#[test]
fn the_original_file_runs_in_the_dialect_that_it_is_told() {
    let file = "original_tiny/checkpoint.pth";
    for size in SIZES {
        let sum = forward(size, &[file, "--dialect", "sum"], &[]);
        Golden::open("hf_tiny").check(&format!("{size}.logits"), &sum["logits"]);
        let l2 = forward(size, &[file, "--dialect", "l2"], &[]);
        Golden::open("timm_tiny").check(&format!("{size}.logits"), &l2["logits"]);
    }
}

#[test]
fn tensorflow_weights_give_tensorflows_logits() {
    let golden = Golden::open("tf_tiny");
    for size in SIZES {
        golden.check(&format!("{size}.logits"), &forward(size, &["tf_tiny"], &[])["logits"]);
    }
}

#[test]
fn half_precision_inputs_are_converted() {
    let folder = Folder::new();
    let halves: Vec<u8> = (0..3 * 40 * 33).flat_map(|i| half::f16::from_f32(i as f32 / 4000.0).to_le_bytes()).collect();
    let values: Vec<f32> = (0..3 * 40 * 33).map(|i| half::f16::from_f32(i as f32 / 4000.0).to_f32()).collect();
    let output = folder.path("out.safetensors");
    let mut logits = Vec::new();
    let f16 = RawTensor::new(swiftformer::tensor::DType::F16, [1, 3, 40, 33], halves.into()).unwrap();
    for tensor in [f16, RawTensor::from_f32([1, 3, 40, 33], &values).unwrap()] {
        let input = write_pixel_values(&folder, tensor);
        swiftformer(&["forward", &input, "--output", &output]).exits(0);
        logits.push(tensors(&output)["logits"].to_f32());
    }
    assert_eq!(logits[0], logits[1]);
}

#[test]
fn inputs_that_no_model_takes_are_named() {
    let folder = Folder::new();
    let output = folder.path("out.safetensors");
    let refused = |tensor: RawTensor, parts: &[&str]| {
        let input = write_pixel_values(&folder, tensor);
        swiftformer(&["forward", &input, "--output", &output])
            .exits(2)
            .says(&["in.safetensors", "pixel_values"])
            .says(parts);
    };
    let zeros = |shape: &[usize]| RawTensor::from_f32(shape, &vec![0.0; shape.iter().product()]).unwrap();
    refused(zeros(&[3, 64, 64]), &["[3, 64, 64]", "[N, C, H, W]"]);
    refused(zeros(&[1, 3, 31, 64]), &["31", "32"]);
    refused(zeros(&[1, 4, 64, 64]), &["4 channels", "takes 3"]);
    refused(zeros(&[0, 3, 64, 64]), &["holds no image"]);
    refused(RawTensor::from_i64_scalar(3), &["I64"]);
    swiftformer(&["forward", "hf_tiny/model.safetensors", "--output", &output])
        .exits(2)
        .says(&["no tensor `pixel_values`"]);
    swiftformer(&["forward", "images/china.jpg", "--output", &output]).exits(2).says(&["china.jpg"]);
    assert_eq!(folder.names(""), ["in.safetensors"]);
}
