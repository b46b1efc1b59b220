//! PyTorch checkpoints, both containers, and bare pickles wrapped in a zip archive so that the pickle machine is
//! reached without first guessing an archive. Every tensor that is read must be as long as its shape says.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swiftformer::tensor::TensorMap;
use swiftformer::weights::torch::{WriteOptions, write};
use swiftformer::weights::{ReadOptions, read_bytes};

fuzz_target!(|data: &[u8]| {
    check(data.to_vec().into());
    check(with_pickle(data));
});

fn check(bytes: Bytes) {
    let Ok(file) = read_bytes(bytes, &ReadOptions::default()) else { return };
    let written = write(std::io::Cursor::new(Vec::new()), &file.tensors, &WriteOptions::default());
    let again = read_bytes(written.expect("memory takes all").into_inner().into(), &ReadOptions::default());
    // Stripping a wrapper's prefix twice, or writing nothing, is the only way to differ.
    if let Ok(again) = again {
        assert_eq!(again.tensors.len(), file.tensors.len());
    } else {
        assert_eq!(file.tensors, TensorMap::new());
    }
}

/// A stored zip archive of `a/data.pkl` and one storage, `a/data/0`. Readers take checksums as they are.
fn with_pickle(pickle: &[u8]) -> Bytes {
    let entries: [(&[u8], &[u8]); 2] = [(b"a/data.pkl", pickle), (b"a/data/0", &[7; 64])];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let start = file.len() as u32;
        let size = bytes.len() as u32;
        let mut common = Vec::new();
        // Version, flags, method, time, date, checksum, both sizes, lengths of name and extra field.
        common.extend_from_slice(&[10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        common.extend_from_slice(&0u32.to_le_bytes());
        common.extend_from_slice(&size.to_le_bytes());
        common.extend_from_slice(&size.to_le_bytes());
        common.extend_from_slice(&(name.len() as u16).to_le_bytes());
        common.extend_from_slice(&[0, 0]);
        file.extend_from_slice(b"PK\x03\x04");
        file.extend_from_slice(&common);
        file.extend_from_slice(name);
        file.extend_from_slice(bytes);
        directory.extend_from_slice(b"PK\x01\x02\x0a\0");
        directory.extend_from_slice(&common);
        // Comment, disk, attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&start.to_le_bytes());
        directory.extend_from_slice(name);
    }
    let start = file.len() as u32;
    file.extend_from_slice(&directory);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
    file.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    file.extend_from_slice(&start.to_le_bytes());
    file.extend_from_slice(&[0, 0]);
    file.into()
}
