//! safetensors: what is read must come out of the writer the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swiftformer::weights::{ReadOptions, read_bytes, safetensors};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = read_bytes(data.to_vec().into(), &ReadOptions::default()) else { return };
    let written = safetensors::to_bytes(&file.tensors).expect("what was read can be written");
    let (tensors, _) = safetensors::read(&written.into()).expect("what was written can be read");
    assert_eq!(tensors, file.tensors);
});
