//! What loading a model takes, as the system counts it.

#![cfg(target_os = "linux")]

use std::{env, fs, process::Command};

use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions, SaveOptions},
    model::{Model, ModelOptions},
    weights::names::Layout,
};

/// Tells the process that is measured which model to load.
const MODEL: &str = "SWIFTFORMER_TEST_MODEL";
const TEST: &str = "loading_a_model_takes_less_than_twice_its_file";

/// A value of this process in bytes.
fn memory(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() * 1024
}

/// Every layer's file pages and copies are gone before the next is packed; what grows are the packed weights.
///
/// The packed weights take at most one and a half times the file, layers in flight and a plan a few megabytes. The file's
/// pages, or copies of all tensors, would take the file's size once more.
#[test]
fn loading_a_model_takes_less_than_twice_its_file() {
    if let Ok(model) = env::var(MODEL) {
        let before = memory("VmRSS:");
        let checkpoint = Checkpoint::open(&model.parse().unwrap(), &OpenOptions::default()).unwrap();
        let model = Model::new(&checkpoint, &ModelOptions { threads: 1, ..ModelOptions::default() }).unwrap();
        println!("grown by {} bytes", memory("VmHWM:") - before);
        drop((checkpoint, model));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fresh = Checkpoint::open(&ModelSource::RandomVariant("l1".parse().unwrap()), &OpenOptions::default()).unwrap();
    for (layout, file) in [(Layout::HuggingFace, "model.safetensors"), (Layout::TensorFlow, "tf_model.h5")] {
        let path = folder.path().join(layout.name());
        fresh.save(&path, layout, SaveOptions::default()).unwrap();
        let size = fs::metadata(path.join(file)).unwrap().len() as usize;
        // A process of its own, whose peak nothing else has raised.
        let mut measured = Command::new(env::current_exe().unwrap());
        let output = measured.args(["--exact", TEST, "--nocapture"]).env(MODEL, &path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let grown = text.lines().find_map(|line| line.strip_prefix("grown by ")?.strip_suffix(" bytes"));
        let grown: usize = grown.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
        assert!(grown < 2 * size, "{file} of {size} bytes: {grown} more");
        assert!(grown > size / 2, "{file} of {size} bytes: {grown} more, which no network fits in");
    }
}
