//! Golden files of the repository's `testdata`.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use swiftformer::image::RgbImage;

#[path = "../../../swiftformer/tests/support/packed.rs"]
mod packed;

pub use packed::testdata;
use packed::unpacked;

/// The tensors of a golden file: bytes as they are, all numbers as `f64`.
pub struct Golden {
    bytes: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    numbers: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    pub fn open(path: &str) -> Self {
        let buffer = match std::fs::read(testdata(&format!("{path}.packed"))) {
            Ok(packed) => unpacked(&packed),
            Err(_) => std::fs::read(testdata(path)).unwrap(),
        };
        let file = SafeTensors::deserialize(&buffer).unwrap();
        let mut golden = Self { bytes: BTreeMap::new(), numbers: BTreeMap::new() };
        for (name, view) in file.iter() {
            let (name, shape) = (name.to_owned(), view.shape().to_vec());
            let words = view.data().as_chunks::<8>().0;
            let numbers: Vec<f64> = match view.dtype() {
                Dtype::U8 => {
                    golden.bytes.insert(name, (shape, view.data().to_vec()));
                    continue;
                }
                Dtype::F32 => view.data().as_chunks().0.iter().map(|&word| f32::from_le_bytes(word).into()).collect(),
                Dtype::F64 => words.iter().map(|&word| f64::from_le_bytes(word)).collect(),
                Dtype::I64 => words.iter().map(|&word| i64::from_le_bytes(word) as f64).collect(),
                other => panic!("{name} is {other:?}"),
            };
            golden.numbers.insert(name, (shape, numbers));
        }
        golden
    }

    pub fn image(&self, name: &str) -> RgbImage {
        let (shape, data) = self.bytes.get(name).unwrap_or_else(|| panic!("no image {name}"));
        RgbImage::new(shape[1], shape[0], data.clone()).unwrap()
    }

    /// Names of images beginning with `prefix`.
    pub fn images(&self, prefix: &str) -> Vec<String> {
        self.bytes.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    pub fn numbers(&self, name: &str) -> (&[usize], &[f64]) {
        let (shape, values) = self.numbers.get(name).unwrap_or_else(|| panic!("no tensor {name}"));
        (shape, values)
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.numbers(name).1.iter().map(|&value| value as f32).collect()
    }
}
