//! Any bytes are an HDF5 file or an error; what was read can be written, and reads the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use swiftformer::weights::hdf5::{keras::KerasWeights, read, write};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = read(data.to_vec().into()) else {
        return;
    };
    let copied: usize = file.tensors.values().map(|tensor| tensor.bytes().len()).sum();
    // Views may overlap; copies are bounded by the file's size, 16 times for deflate.
    assert!(file.tensors.len() <= data.len() && copied <= data.len().saturating_mul(data.len().max(32)) + (1 << 20));
    let _ = KerasWeights::from_hdf5(&file);
    let mut bytes = Vec::new();
    // A few names and lists that read do not fit our writer's form, and are errors.
    if copied < 1 << 22 && write(&file, &mut bytes).is_ok() {
        assert!(read(bytes.into()).is_ok_and(|again| again == file));
    }
});
