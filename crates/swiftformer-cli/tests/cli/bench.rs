//! `swiftformer bench`.

use crate::support::{Folder, swiftformer};

#[test]
fn json_has_every_figure_and_the_layers_their_macs() {
    let arguments = ["bench", "--model", "demo", "--seconds", "0", "--threads", "1", "--size", "64x96", "--layers"];
    let report = swiftformer(&[&arguments[..], &["--format", "json"]].concat()).exits(0).json();
    for key in ["median_ms", "min_ms", "p95_ms", "images_per_second", "peak_fraction", "ceiling_gflops", "load_ms"] {
        assert!(report[key].as_f64().is_some_and(|figure| figure > 0.0), "{key}: {}", report[key]);
    }
    assert_eq!((&report["threads"], &report["batch"]), (&1.into(), &1.into()));
    assert_eq!((&report["precision"], &report["size"]), (&"f32".into(), &serde_json::json!([64, 96])));
    let layers = report["layers"].as_array().unwrap();
    let sum: u64 = layers.iter().map(|layer| layer["macs"].as_u64().unwrap()).sum();
    // The engine merges both heads and does not compute `q · w_g` where the dialect ignores it.
    let macs = report["macs"].as_u64().unwrap();
    assert!(sum < macs && sum * 100 > macs * 99, "{sum} of {macs}");
}

#[test]
fn every_instruction_set_of_the_machine_can_be_chosen() {
    let base = ["bench", "--model", "demo", "--seconds", "0", "--size", "32x32", "--format", "json", "--isa"];
    assert_eq!(swiftformer(&[&base[..], &["scalar"]].concat()).exits(0).json()["isa"], "scalar");
    let run = swiftformer(&[&base[..], &["mmx"]].concat()).exits(2);
    assert!(run.stderr.contains("this machine has") && run.stderr.contains("scalar"), "{}", run.stderr);
}

#[test]
fn a_size_that_the_network_cannot_take_is_an_error() {
    let run = swiftformer(&["bench", "--model", "demo", "--size", "31x64"]).exits(2);
    assert!(run.stderr.contains("31×64"), "{}", run.stderr);
    let run = swiftformer(&["bench", "--size", "big"]).exits(2);
    assert!(run.stderr.contains("HEIGHTxWIDTH"), "{}", run.stderr);
}

#[test]
fn shapes_have_a_time_on_every_instruction_set_and_one_is_chosen() {
    let arguments = ["bench", "--model", "demo", "--seconds", "0", "--size", "64x64", "--isa", "scalar", "--kernels"];
    let report = swiftformer(&[&arguments[..], &["--precision", "bf16", "--format", "json"]].concat()).exits(0).json();
    assert_eq!(report["precision"], "bf16");
    let shapes = report["kernels"].as_array().unwrap();
    assert!(shapes.len() > 10, "{shapes:?}");
    for shape in shapes {
        let candidates = shape["candidates"].as_array().unwrap();
        let chosen: Vec<_> = candidates.iter().filter(|candidate| candidate["chosen"] == true).collect();
        assert_eq!((chosen.len(), &chosen[0]["isa"]), (1, &"scalar".into()), "{shape}");
        assert!(candidates.iter().all(|candidate| candidate["min_us"].as_f64().unwrap() > 0.0), "{shape}");
    }
}

#[test]
fn bf16_changes_the_scores_a_little() {
    let photograph = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/china.jpg");
    let scores = |precision: &str| {
        let run = swiftformer(&["classify", photograph, "--precision", precision, "--format", "json"]).exits(0);
        run.stdout
    };
    assert_ne!(scores("f32"), scores("bf16"));
}

#[test]
fn a_photograph_is_measured_from_its_bytes_to_its_best_classes() {
    let folder = Folder::new();
    let model = folder.model_of_small_images();
    let base = ["--model", &model, "--threads", "1", "--format", "json"];
    let photograph = ["bench", "--image", "images/china.jpg", "--seconds", "0"];
    let full = swiftformer(&[&photograph[..], &base].concat()).exits(0).json();
    let fast = swiftformer(&[&photograph[..], &["--fast-decode"], &base].concat()).exits(0).json();
    for (report, is_fast) in [(&full, false), (&fast, true)] {
        let stages = report["stages"].as_array().unwrap();
        let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["decode_resize", "normalise", "inference", "total"]);
        let least = |at: usize| stages[at]["min_ms"].as_f64().unwrap();
        assert!((0..4).all(|at| least(at) > 0.0 && least(at) <= stages[at]["median_ms"].as_f64().unwrap()));
        assert!(least(0) + least(1) + least(2) <= least(3), "{stages:?}");
        assert_eq!(report["fast_decode"], is_fast);
    }
    // The classes are those that classify prints for the same pixels, and scaled decoding changes these.
    let classify = |options: &[&str]| {
        let base = ["classify", "images/china.jpg", "--model", &model, "--format", "json"];
        let run = swiftformer(&[&base[..], options].concat()).exits(0);
        run.json_lines().remove(0)["top"].clone()
    };
    assert_eq!(full["top"], classify(&[]));
    assert_eq!(fast["top"], classify(&["--fast-decode"]));
    assert_ne!(full["top"], fast["top"]);
}

#[test]
fn options_of_a_photograph_and_of_batches_do_not_mix() {
    swiftformer(&["bench", "--fast-decode"]).exits(2);
    swiftformer(&["bench", "--image", "images/china.jpg", "--batch", "2"]).exits(2);
    let run = swiftformer(&["bench", "--model", "demo", "--image", "images/README.md"]).exits(2);
    assert!(run.stderr.contains("images/README.md") && run.stderr.contains("text"), "{}", run.stderr);
}
