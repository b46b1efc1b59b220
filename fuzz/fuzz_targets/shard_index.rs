//! Any bytes are an index of the two shards beside it, or an error, and nothing outside their folder is read.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use swiftformer::tensor::{RawTensor, TensorMap};
use swiftformer::weights::{ReadOptions, safetensors, sharded, torch};

/// `1.safetensors` with `w` and `2.bin` with `b`.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = |name: &str| TensorMap::from([(name.to_owned(), RawTensor::from_i64_scalar(1))]);
    safetensors::write_file(&folder.path().join("1.safetensors"), &tensors("w")).expect("a shard");
    torch::write_file(&folder.path().join("2.bin"), &tensors("b"), &Default::default()).expect("a shard");
    folder
});

fuzz_target!(|index: &[u8]| {
    if let Ok(file) = sharded::read(index, FOLDER.path(), &ReadOptions::default()) {
        assert!(file.tensors.keys().all(|name| name == "w" || name == "b"));
    }
});
