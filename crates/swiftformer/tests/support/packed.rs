//! Golden files as `reference/pack_golden.py` packs them.

use std::{io::Read, path::PathBuf};

use safetensors::{Dtype, SafeTensors};

/// A file under `testdata/`.
pub fn testdata(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(path)
}

/// Undoes `reference/pack_golden.py`.
pub fn unpacked(packed: &[u8]) -> Vec<u8> {
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
