//! Images against Pillow, transformers and timm: decoding, resizing, preprocessing, hostile input.

mod config;
mod decode;
mod hostile;
mod jpeg;
mod preprocess;
mod resize;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use swiftformer::image::RgbImage;

/// A file under `testdata/`.
fn testdata(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(path)
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(testdata(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Undoes `reference/pack_golden.py`.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let header = 8 + u64::from_le_bytes(packed[..8].try_into().unwrap()) as usize;
    let mut buffer = packed[..header].to_vec();
    flate2::read::ZlibDecoder::new(&packed[header..]).read_to_end(&mut buffer).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&buffer).unwrap();
    let images = metadata.tensors().into_values().filter(|info| info.dtype == Dtype::U8 && info.shape.len() == 3);
    let images: Vec<_> = images.map(|info| (info.data_offsets, info.shape[1] * 3)).collect();
    for ((start, end), row) in images {
        let image = &mut buffer[header + start..header + end];
        for at in 0..image.len() {
            let left = |at: usize| if at % row < 3 { 0 } else { image[at - 3] };
            let above = |at: usize| if at < row { 0 } else { image[at - row] };
            let corner = if at < row || at % row < 3 { 0 } else { image[at - row - 3] };
            image[at] = image[at].wrapping_add(left(at)).wrapping_add(above(at)).wrapping_sub(corner);
        }
    }
    buffer
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
