//! Images against Pillow, transformers and timm: decoding, resizing, preprocessing, hostile input.

mod config;
mod decode;
mod hostile;
mod jpeg;
#[path = "../support/packed.rs"]
mod packed;
mod preprocess;
mod resize;

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use swiftformer::image::RgbImage;

use packed::{testdata, unpacked};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(testdata(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tensors of a golden file.
struct Golden {
    bytes: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    floats: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Golden {
    fn open(path: &str) -> Self {
        let buffer = unpacked(&read(&format!("{path}.packed")));
        let file = SafeTensors::deserialize(&buffer).unwrap();
        let mut golden = Self { bytes: BTreeMap::new(), floats: BTreeMap::new() };
        for (name, view) in file.iter() {
            let shape = view.shape().to_vec();
            match view.dtype() {
                Dtype::U8 => drop(golden.bytes.insert(name.to_owned(), (shape, view.data().to_vec()))),
                Dtype::F32 => {
                    let values = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
                    golden.floats.insert(name.to_owned(), (shape, values.collect()));
                }
                _ => {}
            }
        }
        golden
    }

    fn rgb(&self, name: &str) -> RgbImage {
        let (shape, data) = self.bytes.get(name).unwrap_or_else(|| panic!("no tensor {name}"));
        RgbImage::new(shape[1], shape[0], data.clone()).unwrap()
    }

    fn names(&self, prefix: &str, suffix: &str) -> Vec<String> {
        let all = self.bytes.keys().chain(self.floats.keys());
        all.filter_map(|name| Some(name.strip_prefix(prefix)?.strip_suffix(suffix)?.to_owned())).collect()
    }
}

/// The largest difference of two byte arrays, and their mean difference.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let each = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (each().max().unwrap_or(0), each().map(f64::from).sum::<f64>() / a.len() as f64)
}
