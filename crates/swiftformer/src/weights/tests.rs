use std::error::Error;
use std::path::Path;

use super::sharded::ShardedError;
use super::*;
use crate::tensor::{RawTensor, TensorMap};

#[test]
fn every_kind_is_told_by_its_first_bytes() {
    let mut user_block = vec![0u8; 2048];
    user_block.extend_from_slice(b"\x89HDF\r\n\x1a\n");
    let kinds: [(&[u8], FileKind); 8] = [
        (b"\x02\0\0\0\0\0\0\0{}", FileKind::Safetensors),
        (b"PK\x03\x04rest", FileKind::TorchZip),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", FileKind::TorchLegacy),
        (b"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", FileKind::TorchLegacy),
        (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
        (&user_block, FileKind::Hdf5),
        (b"\n {\"weight_map\": {}}", FileKind::Json),
        (b"\xef\xbb\xbf{}", FileKind::Json),
    ];
    for (bytes, kind) in kinds {
        assert_eq!(detect(bytes), Ok(kind));
    }
}

#[test]
fn what_is_no_weight_file_is_said() {
    let mut tar = vec![b'x'; 257];
    tar.extend_from_slice(b"ustar\0");
    let others: [(&[u8], NotWeights); 12] = [
        (b"", NotWeights::Empty),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", NotWeights::GitLfsPointer),
        (b"<!DOCTYPE html><html>", NotWeights::WebPage),
        (b"\n<HTML>", NotWeights::WebPage),
        (&[0; 5000], NotWeights::Zeros(4096)),
        (b"\x80\x02]q\0.", NotWeights::Pickle),
        (&tar, NotWeights::Tar),
        (b"\x1f\x8b\x08", NotWeights::Compressed("gzip")),
        (b"GGUF\x03", NotWeights::OtherFormat("GGUF")),
        (b"\x1c\0\0\0TFL3", NotWeights::OtherFormat("TensorFlow Lite")),
        (b"hello", NotWeights::Unknown(*b"hello\0\0\0")),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff{", NotWeights::Unknown([0xff; 8])),
    ];
    for (bytes, what) in others {
        assert_eq!(detect(bytes), Err(what));
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing.pth")] {
        let error = read_file(&path, &ReadOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot load weights from {}", path.display()));
        assert_eq!(error.source().unwrap().to_string(), "the file cannot be read");
    }
    let empty = folder.path().join("empty.pth");
    std::fs::write(&empty, b"").unwrap();
    for memory_map in [true, false] {
        let error = read_file(&empty, &ReadOptions { memory_map, ..Default::default() }).unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "the file is empty");
    }
}

#[test]
fn the_bytes_of_an_index_cannot_be_followed() {
    let error = read_bytes(b"{}".to_vec().into(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, WeightsError::Unsupported { kind: FileKind::Json, .. }), "{error:?}");
}

#[test]
fn a_cut_hdf5_file_is_an_error_of_its_format() {
    let error = read_bytes(b"\x89HDF\r\n\x1a\n".to_vec().into(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, WeightsError::Hdf5(_)), "{error:?}");
}

fn safetensors_file(header: &str, data: &[u8]) -> bytes::Bytes {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat().into()
}

#[test]
fn damaged_safetensors_are_errors() {
    let good = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert_eq!(safetensors::read(&safetensors_file(good, &[0; 4])).unwrap().0["w"].shape(), [1]);
    let damaged = [
        (good, 3),
        (good, 5),
        ("{", 0),
        (r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
        (r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
        (
            r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            4,
        ),
        (r#"{"w":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}}"#, 4),
        (r#"{"w":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, 4),
    ];
    for (header, length) in damaged {
        let error = safetensors::read(&safetensors_file(header, &vec![0; length])).unwrap_err();
        assert!(matches!(error, safetensors::SafetensorsError::Header { .. }), "{header}: {error:?}");
    }
    let eight_bits = r#"{"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#;
    let error = safetensors::read(&safetensors_file(eight_bits, &[0; 4])).unwrap_err();
    assert_eq!(error.to_string(), "tensor w holds F8_E4M3, which is not supported");
}

fn tensors(names: &[&str]) -> TensorMap {
    let tensor = |name: &str| RawTensor::from_f32([1], &[name.len() as f32]).unwrap();
    names.iter().map(|name| (name.to_string(), tensor(name))).collect()
}

fn read_index(folder: &Path, map: &str) -> Result<WeightFile, WeightsError> {
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, format!(r#"{{"metadata":{{"total_size":12}},"weight_map":{map}}}"#)).unwrap();
    read_file(&index, &ReadOptions::default())
}

#[test]
fn an_index_gathers_its_tensors_from_shards_of_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    safetensors::write_file(&folder.path().join("1.safetensors"), &tensors(&["a", "unlisted"])).unwrap();
    torch::write_file(&folder.path().join("2.bin"), &tensors(&["bb", "ccc"]), &Default::default()).unwrap();
    let file = read_index(folder.path(), r#"{"ccc":"2.bin","a":"1.safetensors","bb":"2.bin"}"#).unwrap();
    assert!(file.tensors.keys().eq(["ccc", "a", "bb"]));
    assert_eq!(file.tensors, tensors(&["a", "bb", "ccc"]));
    assert_eq!(file.metadata["total_size"], "12");
}

#[test]
fn an_index_that_does_not_hold_together_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    safetensors::write_file(&folder.path().join("1.safetensors"), &tensors(&["a"])).unwrap();
    let error = |map: &str| match read_index(folder.path(), map).unwrap_err() {
        WeightsError::InFile { source, .. } => *source,
        other => panic!("{other:?}"),
    };
    let missing = error(r#"{"a":"1.safetensors","b":"1.safetensors"}"#);
    assert_eq!(missing.to_string(), "tensor b is not in its shard \"1.safetensors\"");
    for shard in
        ["../1.safetensors", "/etc/passwd", "x/1.safetensors", "..", ".", "", "x\\\\y", "C:1", "./1.safetensors"]
    {
        let found = error(&format!(r#"{{"a":"{shard}"}}"#));
        assert!(matches!(found, WeightsError::Sharded(ShardedError::ShardName { .. })), "{shard}: {found:?}");
    }
    let nested = error(r#"{"a":"model.safetensors.index.json"}"#);
    assert!(matches!(nested, WeightsError::Sharded(ShardedError::NestedIndex { .. })), "{nested:?}");
    assert!(matches!(error("[]"), WeightsError::Sharded(ShardedError::Index(_))));
    let no_file = read_index(folder.path(), r#"{"a":"2.safetensors"}"#).unwrap_err();
    assert!(no_file.to_string().ends_with("2.safetensors"), "the shard is named: {no_file}");
}

#[test]
fn safetensors_that_cannot_be_written_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no_such_folder/model.safetensors");
    let error = safetensors::write_file(&path, &tensors(&["a"])).unwrap_err();
    assert!(matches!(error, safetensors::SafetensorsError::Write(_)), "{error:?}");
}

#[test]
fn an_index_larger_than_any_model_needs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_index(folder.path(), &format!("{{{}}}", " ".repeat(16 << 20))).unwrap_err();
    let WeightsError::InFile { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, WeightsError::Sharded(ShardedError::TooLarge { limit: 0x100_0000, .. })), "{source:?}");
}

/// Original's names, with tensors that hold nothing: their sides may be as large as they like.
fn hollow(names: &[(&str, &[usize])]) -> layout::Recognised {
    let tensor = |shape: &[usize]| RawTensor::new(crate::tensor::DType::F32, shape, bytes::Bytes::new()).unwrap();
    let tensors = names.iter().map(|&(name, shape)| (name.to_owned(), tensor(shape))).collect();
    layout::recognise(tensors).unwrap()
}

#[test]
fn sides_near_the_largest_number_are_a_refused_config() {
    let file = hollow(&[
        ("patch_embed.0.weight", &[0, usize::MAX, 3, 3]),
        ("network.0.0.attn.w_g", &[usize::MAX, 0]),
        ("network.0.0.linear.fc1.weight", &[usize::MAX, 0, 1, 1]),
    ]);
    let inferred = infer::infer(&file).unwrap();
    let error = crate::arch::Arch::build(&inferred.config, inferred.tail).unwrap_err();
    assert!(error.to_string().contains("must be between"), "{error}");
}

#[test]
fn a_message_lists_two_hundred_names_of_each_kind() {
    use crate::{arch::Arch, config::SwiftFormerConfig};
    let config = SwiftFormerConfig { depths: vec![1000], embed_dims: vec![2], ..SwiftFormerConfig::default() };
    let arch = Arch::build(&config, crate::arch::TailKind::None).unwrap();
    let file = hollow(&[("patch_embed.0.weight", &[0]), ("nonsense\x1b[2J", &[0])]);
    let error = state::StateDict::from_tensors(&arch, file).unwrap_err();
    assert!(error.missing.len() > 10_000, "{}", error.missing.len());
    let text = error.to_string();
    let rest = error.missing.len() - 200;
    assert!(text.contains(&format!("… and {rest} more")) && text.lines().count() < 220, "{text}");
    assert!(text.contains("nonsense\\u{1b}[2J"), "control characters are escaped: {text}");
}
