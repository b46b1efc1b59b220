//! Weight files written by PyTorch, transformers and timm load, all with the same values; what is written is read
//! back; and damaged files are errors.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use swiftformer::tensor::{DType, RawTensor, TensorMap};
use swiftformer::weights::torch::{WriteOptions, write};
use swiftformer::weights::{
    FileKind, ReadOptions, WeightFile, WeightsError, read_bytes, read_file, safetensors, torch,
};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

fn load(name: &str) -> WeightFile {
    read_file(&testdata(name), &ReadOptions::default()).unwrap()
}

fn load_key(name: &str, key: &str) -> Result<WeightFile, WeightsError> {
    read_file(&testdata(name), &ReadOptions { state_dict: Some(key.into()), ..ReadOptions::default() })
}

/// Shapes and values without names, for files whose names differ.
fn sorted_values(tensors: &TensorMap) -> Vec<(Vec<usize>, Bytes)> {
    let mut values: Vec<_> = tensors.values().map(|t| (t.shape().to_vec(), t.bytes().clone())).collect();
    values.sort();
    values
}

const ORIGINALS: [&str; 3] =
    ["original_tiny/weights_views.pth", "original_tiny/checkpoint.pth", "original_tiny/checkpoint_legacy.pth"];

#[test]
fn the_original_files_hold_the_same_named_tensors() {
    let flat = load(ORIGINALS[0]).tensors;
    assert_eq!(flat.len(), 232);
    assert_eq!(flat["head.weight"].shape(), [10, 48]);
    assert_eq!(flat["patch_embed.1.num_batches_tracked"].dtype(), DType::I64);
    for name in ORIGINALS {
        assert!(load(name).tensors == flat, "{name}");
    }
}

#[test]
fn all_libraries_files_hold_the_same_values() {
    let flat = sorted_values(&load(ORIGINALS[0]).tensors);
    for name in ["hf_tiny/model.safetensors", "hf_tiny/pytorch_model.bin", "timm_tiny/model.safetensors"] {
        assert!(sorted_values(&load(name).tensors) == flat, "{name}");
    }
    let (bin, safetensors) = (load("hf_tiny/pytorch_model.bin"), load("hf_tiny/model.safetensors"));
    assert_eq!(bin.tensors, safetensors.tensors);
    assert_eq!(safetensors.metadata["format"], "pt");
}

#[test]
fn half_precision_weights_are_the_rounded_ones() {
    let half = load("original_tiny/weights_state_dict_module_fp16.pth");
    assert_eq!((half.available.as_slice(), half.selected.as_deref()), (&["state_dict".into()][..], Some("state_dict")));
    let full = load(ORIGINALS[0]).tensors;
    assert_eq!(half.tensors.len(), full.len());
    for (name, tensor) in &full {
        let found = &half.tensors[name];
        if tensor.dtype() == DType::I64 {
            assert_eq!(found, tensor);
            continue;
        }
        assert_eq!(found.dtype(), DType::F16, "{name}");
        for (half, full) in found.to_f32().into_iter().zip(tensor.to_f32()) {
            assert_eq!(half, half::f16::from_f32(full).to_f32(), "{name}");
        }
    }
}

#[test]
fn a_training_checkpoint_lists_its_state_dicts_and_plain_values() {
    for name in ["original_tiny/checkpoint.pth", "original_tiny/checkpoint_legacy.pth"] {
        let file = load(name);
        assert_eq!(file.available, ["model", "model_ema"]);
        assert_eq!(file.selected.as_deref(), Some("model"));
        assert!(file.metadata.contains_key("epoch"), "{:?}", file.metadata);
        assert!(file.metadata.keys().any(|key| key.starts_with("args.")), "{:?}", file.metadata);
        let ema = load_key(name, "model_ema").unwrap();
        for (name, tensor) in &file.tensors {
            for (ema, value) in ema.tensors[name].to_f32().into_iter().zip(tensor.to_f32()) {
                // 0.999 x the weights, rounded once to f32.
                assert!((ema - 0.999 * value).abs() <= 1.2e-7 * value.abs() || tensor.dtype() == DType::I64, "{name}");
            }
        }
        match load_key(name, "ema").unwrap_err() {
            WeightsError::InFile { source, path } => {
                assert!(path.ends_with(name));
                assert_eq!(source.to_string(), "no state dict under `ema`; the checkpoint has these: model, model_ema");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_flat_file_has_no_named_state_dicts() {
    let flat = "hf_tiny/pytorch_model.bin";
    let file = load(flat);
    assert_eq!((file.kind, file.available.len(), file.selected), (FileKind::TorchZip, 0, None));
    assert!(load_key(flat, "model").is_err());
    assert!(load_key("hf_tiny/model.safetensors", "model").is_err());
}

#[test]
fn contiguous_tensors_are_views_into_the_file() {
    for name in ["original_tiny/weights_views.pth", "original_tiny/checkpoint_legacy.pth", "hf_tiny/model.safetensors"]
    {
        let bytes = Bytes::from(std::fs::read(testdata(name)).unwrap());
        let file = read_bytes(bytes.clone(), &ReadOptions::default()).unwrap();
        let outside = |tensor: &RawTensor| !bytes.as_ptr_range().contains(&tensor.bytes().as_ptr());
        let copied: Vec<_> = file.tensors.iter().filter(|(_, tensor)| outside(tensor)).map(|(name, _)| name).collect();
        // One weight of the views file has transposed strides.
        assert_eq!(copied.len(), usize::from(name.contains("views")), "{name}: {copied:?}");
    }
}

#[test]
fn reading_without_a_map_gives_the_same() {
    let path = testdata("original_tiny/weights_views.pth");
    let read = read_file(&path, &ReadOptions { memory_map: false, ..ReadOptions::default() }).unwrap();
    assert_eq!(read.tensors, load("original_tiny/weights_views.pth").tensors);
}

fn all_dtypes() -> TensorMap {
    let dtypes = [DType::F32, DType::F16, DType::BF16, DType::F64, DType::I64, DType::I32, DType::U8];
    let mut tensors: TensorMap = dtypes
        .into_iter()
        .map(|dtype| {
            let bytes: Vec<u8> = (0..6 * dtype.size()).map(|byte| byte as u8).collect();
            (format!("of.{}", dtype.name()), RawTensor::new(dtype, [2, 3], bytes.into()).unwrap())
        })
        .collect();
    tensors.insert("scalar".into(), RawTensor::from_i64_scalar(-7));
    tensors.insert("empty".into(), RawTensor::from_f32([2, 0, 3], &[]).unwrap());
    tensors.insert("large side".into(), RawTensor::from_f32([1, 70_000], &[0.5; 70_000]).unwrap());
    tensors
}

fn written(tensors: &TensorMap, key: Option<&str>) -> Vec<u8> {
    let options = WriteOptions { key: key.map(Into::into), ..WriteOptions::default() };
    write(std::io::Cursor::new(Vec::new()), tensors, &options).unwrap().into_inner()
}

#[test]
fn a_written_checkpoint_reads_back_with_every_type() {
    let tensors = all_dtypes();
    for key in [None, Some("model"), Some("weights")] {
        let file = read_bytes(written(&tensors, key).into(), &ReadOptions::default()).unwrap();
        assert_eq!(file.tensors, tensors);
        assert_eq!(file.selected.as_deref(), key);
        assert!(file.tensors.keys().eq(tensors.keys()), "the order is kept");
    }
}

#[test]
fn written_storages_are_aligned_to_64_bytes() {
    let bytes = Bytes::from(written(&all_dtypes(), None));
    let file = read_bytes(bytes.clone(), &ReadOptions::default()).unwrap();
    for (name, tensor) in file.tensors.iter().filter(|(_, tensor)| !tensor.bytes().is_empty()) {
        assert_eq!((tensor.bytes().as_ptr() as usize - bytes.as_ptr() as usize) % 64, 0, "{name}");
    }
}

#[test]
fn written_safetensors_read_back_and_can_replace_the_file_they_view() {
    let mut tensors = all_dtypes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for _ in 0..2 {
        // The second time the tensors are views into the very file.
        safetensors::write_file(&path, &tensors).unwrap();
        tensors = read_file(&path, &ReadOptions::default()).unwrap().tensors;
        assert_eq!(tensors, all_dtypes());
    }
    assert_eq!(std::fs::read(&path).unwrap(), safetensors::to_bytes(&tensors).unwrap());
    torch::write_file(&path, &tensors, &WriteOptions::default()).unwrap();
    assert_eq!(read_file(&path, &ReadOptions::default()).unwrap().kind, FileKind::TorchZip);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn hf_files_come_out_of_the_writers_as_they_went_in() {
    let tensors = load("hf_tiny/model.safetensors").tensors;
    assert_eq!(safetensors::to_bytes(&tensors).unwrap(), std::fs::read(testdata("hf_tiny/model.safetensors")).unwrap());
    let file = read_bytes(written(&tensors, Some("model")).into(), &ReadOptions::default()).unwrap();
    assert_eq!(file.tensors, tensors);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let names = ["original_tiny/weights_views.pth", "original_tiny/checkpoint_legacy.pth", "hf_tiny/model.safetensors"];
    for name in names {
        let bytes = Bytes::from(std::fs::read(testdata(name)).unwrap());
        for length in (0..bytes.len()).step_by(97) {
            let cut = read_bytes(bytes.slice(..length), &ReadOptions::default());
            assert!(cut.is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn a_file_with_changed_bytes_never_panics() {
    for name in ["original_tiny/weights_views.pth", "original_tiny/checkpoint_legacy.pth"] {
        let bytes = std::fs::read(testdata(name)).unwrap();
        // The pickle lies at the start of both.
        for (index, flip) in (0..26_000).step_by(13).zip((0..8).cycle()) {
            let mut changed = bytes.clone();
            changed[index] ^= 1 << flip;
            let _ = read_bytes(changed.into(), &ReadOptions::default());
        }
    }
}
