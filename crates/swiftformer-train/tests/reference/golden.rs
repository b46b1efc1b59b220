//! Golden files of the repository's `testdata`.

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use safetensors::{Dtype, SafeTensors};
use swiftformer::image::RgbImage;

/// A file under `testdata/`.
pub fn testdata(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(path)
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
