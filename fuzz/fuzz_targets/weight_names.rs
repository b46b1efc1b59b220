//! Any names and shapes are a network's or an error that stays readable. A line is a name and its sides, with
//! spaces between; all tensors are views into the same zeros.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swiftformer::arch::Arch;
use swiftformer::tensor::{DType, RawTensor, TensorMap, element_count};
use swiftformer::weights::{infer::infer, layout::recognise, names::Layout, state::StateDict};

static ZEROS: LazyLock<Bytes> = LazyLock::new(|| vec![0; 1 << 22].into());

fuzz_target!(|text: &str| {
    let tensors: TensorMap = text.lines().filter_map(tensor).collect();
    let file = match recognise(tensors) {
        Ok(file) => file,
        Err(error) => return readable(&error, text),
    };
    let inferred = match infer(&file) {
        Ok(inferred) => inferred,
        Err(error) => return readable(&error, text),
    };
    let arch = match Arch::build(&inferred.config, inferred.tail) {
        Ok(arch) => arch,
        Err(error) => return readable(&error, text),
    };
    match StateDict::from_tensors(&arch, file) {
        Ok(state) => {
            for layout in Layout::ALL {
                let _ = state.to_tensors(&arch, layout);
            }
        }
        Err(error) => readable(&error, text),
    }
});

fn tensor(line: &str) -> Option<(String, RawTensor)> {
    let mut words = line.split(' ');
    let name = words.next()?.to_owned();
    let shape: Vec<usize> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let bytes = ZEROS.get(..element_count(&shape)?)?.len();
    Some((name, RawTensor::new(DType::U8, shape, ZEROS.slice(..bytes)).ok()?))
}

/// However many tensors are wrong, the message is one that people can read.
fn readable(error: &dyn std::error::Error, text: &str) {
    assert!(error.to_string().len() <= (1 << 16) + 8 * text.len());
}
