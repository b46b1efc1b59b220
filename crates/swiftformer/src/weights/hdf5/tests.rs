//! Files of TensorFlow and h5py, and our own read back.

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;

use super::keras::{KerasError, KerasLayer, KerasWeights, TOP_LEVEL};
use super::{Attribute, Attributes, Hdf5Error, Hdf5File, read, write};
use crate::tensor::{DType, RawTensor, TensorMap};

pub(super) fn testdata(path: &str) -> Vec<u8> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"));
    std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("testdata/{path}: {error}"))
}

pub(super) fn written(file: &Hdf5File) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(file, &mut bytes).unwrap();
    bytes
}

fn reread(file: &Hdf5File) -> Hdf5File {
    read(written(file).into()).unwrap()
}

fn without_plain_groups(mut file: Hdf5File) -> Hdf5File {
    file.groups.retain(|_, attributes| !attributes.is_empty());
    file
}

/// `arange(n) * 0.25 - 3`, the values of the variant files.
fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|index| index as f32 * 0.25 - 3.0).collect()
}

fn shape(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize).collect()
}

fn map(path: &str) -> Vec<Value> {
    let mut map: Value = serde_json::from_slice(&testdata(path)).unwrap();
    map["map"].take().as_array().unwrap().clone()
}

#[test]
fn every_value_of_the_tensorflow_file_is_that_of_pytorch() {
    let file = read(testdata("tf_tiny/tf_model.h5").into()).unwrap();
    let safetensors = testdata("hf_tiny/model.safetensors");
    let pytorch = SafeTensors::deserialize(&safetensors).unwrap();
    let map = map("tf_tiny/h5_map.json");
    assert_eq!(map.len(), 213);
    assert_eq!(file.tensors.len(), 213);
    for entry in &map {
        let name = entry["pytorch"].as_str().unwrap();
        let expected = pytorch.tensor(name).unwrap();
        let tensor = &file.tensors[entry["h5"].as_str().unwrap()];
        assert_eq!((tensor.dtype(), tensor.shape()), (DType::F32, &shape(&entry["h5_shape"])[..]), "{name}");
        let turned = match entry["transform"].as_str().unwrap() {
            "transpose(3,2,0,1)" => tensor.transposed(&[3, 2, 0, 1]),
            "transpose(1,0)" => tensor.transposed(&[1, 0]),
            "none" => tensor.clone(),
            "reshape" => tensor.reshaped(expected.shape()).unwrap(),
            other => panic!("{other}"),
        };
        assert_eq!(turned.shape(), expected.shape(), "{name}");
        assert_eq!(&turned.bytes()[..], expected.data(), "{name}");
    }
}

#[test]
fn contiguous_values_are_views_into_the_file() {
    let bytes = bytes::Bytes::from(testdata("tf_tiny/tf_model.h5"));
    let file = read(bytes.clone()).unwrap();
    let range = bytes.as_ptr_range();
    assert!(file.tensors.values().all(|tensor| range.contains(&tensor.bytes().as_ptr())));
}

#[test]
fn the_tensorflow_file_lists_layers_and_weights_in_keras_order() {
    let file = read(testdata("tf_tiny/tf_model.h5").into()).unwrap();
    let weights = KerasWeights::from_hdf5(&file).unwrap();
    assert_eq!(weights.backend.as_deref(), Some("tensorflow"));
    assert_eq!(weights.keras_version.as_deref(), Some("2.17.0"));
    let names: Vec<_> = weights.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["swiftformer", "norm", "head", "dist_head"]);
    let lists: Value = serde_json::from_slice(&testdata("tf_tiny/h5_map.json")).unwrap();
    for layer in &weights.layers {
        let expected: Vec<_> = lists["h5_groups"][&layer.name].as_array().unwrap().iter().collect();
        assert_eq!(layer.weights.keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn keras_weights_become_the_file_that_keras_wrote() {
    let file = read(testdata("tf_tiny/tf_model.h5").into()).unwrap();
    let weights = KerasWeights::from_hdf5(&file).unwrap();
    let flat: Vec<_> = weights.flat().map(|(path, tensor)| (path, tensor.clone())).collect();
    assert_eq!(KerasWeights::from_flat(flat), weights);
    let ours = weights.to_hdf5().unwrap();
    assert_eq!(ours, without_plain_groups(file.clone()));
    assert_eq!(reread(&ours), file);
}

#[test]
fn writing_is_deterministic_and_sorts_what_it_must() {
    let mut file = Hdf5File::default();
    for name in ["b/y", "a", "b/x"] {
        file.tensors.insert(name.to_owned(), RawTensor::from_f32([1], &[1.0]).unwrap());
    }
    assert_eq!(written(&file), written(&file.clone()));
    let again = reread(&file);
    assert_eq!(again.tensors.keys().collect::<Vec<_>>(), ["a", "b/x", "b/y"]);
    assert_eq!(again.groups.keys().collect::<Vec<_>>(), ["", "b"]);
}

#[test]
fn all_names_and_shapes_of_the_xs_model_survive_writing() {
    let tensors = map("tf_tiny/xs_h5_map.json").into_iter().enumerate().map(|(index, entry)| {
        let shape = shape(&entry["h5_shape"]);
        let values = vec![index as f32; shape.iter().product()];
        (entry["h5"].as_str().unwrap().to_owned(), RawTensor::from_f32(shape, &values).unwrap())
    });
    let weights = KerasWeights::from_flat(tensors);
    let file = reread(&weights.to_hdf5().unwrap());
    assert_eq!(file.tensors.len(), 290);
    assert_eq!(KerasWeights::from_hdf5(&file).unwrap(), weights);
}

#[test]
fn a_group_of_thousands_needs_a_tree_of_several_levels() {
    let mut file = Hdf5File::default();
    for index in 0..10_000 {
        file.tensors.insert(format!("group/weight_{index}:0"), RawTensor::from_i64_scalar(index));
    }
    let again = reread(&file);
    assert_eq!(again.tensors, file.tensors);
}

#[test]
fn long_lists_of_names_are_split_as_keras_splits_them() {
    let names: Vec<String> = (0..2000).map(|index| format!("{}/{index:04}", "a".repeat(95))).collect();
    let weights = names.iter().map(|name| (name.clone(), RawTensor::from_i64_scalar(1))).collect();
    let layers = vec![KerasLayer { name: "layer".to_owned(), weights }];
    let weights = KerasWeights { layers, ..KerasWeights::default() };
    let file = reread(&weights.to_hdf5().unwrap());
    // 2000 names of 100 bytes: three parts of 66 700 bytes are too long, four of 50 000 are not.
    let attributes = &file.groups["layer"];
    assert_eq!(
        attributes.keys().collect::<Vec<_>>(),
        ["weight_names0", "weight_names1", "weight_names2", "weight_names3"]
    );
    assert!(attributes.values().all(|part| matches!(part, Attribute::FixedStrings(part) if part.len() == 500)));
    assert_eq!(KerasWeights::from_hdf5(&file).unwrap(), weights);
}

#[test]
fn every_type_and_shape_survives_writing() {
    let mut file = Hdf5File::default();
    let types = [DType::F32, DType::F16, DType::BF16, DType::F64, DType::I64, DType::I32, DType::U8];
    for dtype in types {
        let bytes: Vec<u8> = (0..3 * dtype.size() as u8).collect();
        file.tensors.insert(dtype.name().to_owned(), RawTensor::new(dtype, [3, 1], bytes.into()).unwrap());
    }
    file.tensors.insert("empty".to_owned(), RawTensor::from_f32([0, 4], &[]).unwrap());
    file.tensors.insert("scalar".to_owned(), RawTensor::from_f32([], &[2.5]).unwrap());
    let text = |strings: &[&str]| strings.iter().map(|string| (*string).to_owned()).collect::<Vec<_>>();
    let attributes = Attributes::from([
        ("one".to_owned(), Attribute::String("größe".to_owned())),
        ("none".to_owned(), Attribute::String(String::new())),
        ("list".to_owned(), Attribute::Strings(text(&["a", "", "longer than sixteen bytes"]))),
        ("padded".to_owned(), Attribute::FixedStrings(text(&["a", "", "bcd"]))),
        ("nothing".to_owned(), Attribute::Strings(Vec::new())),
    ]);
    file.groups.insert(String::new(), attributes);
    file.groups.insert("deep/empty".to_owned(), Attributes::new());
    file.groups.insert("deep".to_owned(), Attributes::new());
    assert_eq!(reread(&file), file);
}

#[test]
fn files_of_the_latest_format_are_read() {
    let file = read(testdata("hdf5_variants/latest.h5").into()).unwrap();
    assert_eq!(file.tensors["head/model/kernel:0"].shape(), [3, 5]);
    assert_eq!(file.tensors["head/model/kernel:0"].to_f32(), ramp(15));
    assert_eq!(file.tensors["head/model/bias:0"].dtype(), DType::F16);
    assert_eq!(file.tensors["head/model/bias:0"].to_f32(), ramp(5));
    assert_eq!(file.tensors["norm/gamma:0"].to_f32(), ramp(4));
    assert_eq!(file.tensors["norm/count:0"], RawTensor::from_i64_scalar(1000));
    assert_eq!(file.tensors["norm/single:0"].shape(), [6, 7]);
    assert_eq!(file.tensors["norm/single:0"].to_f32(), ramp(42));
    assert!(matches!(&file.groups[""]["layer_names"], Attribute::FixedStrings(names) if *names == ["head", "norm"]));
    let weights = KerasWeights::from_hdf5(&file).unwrap();
    let order: Vec<_> = weights.flat().map(|(path, _)| path).collect();
    let expected = ["head/model/kernel:0", "head/model/bias:0", "norm/gamma:0", "norm/single:0", "norm/count:0"];
    assert_eq!(order, expected);
}

#[test]
fn chunks_filters_fill_values_and_user_blocks_are_read() {
    let file = read(testdata("hdf5_variants/chunked.h5").into()).unwrap();
    assert_eq!(file.tensors["gzip_shuffle"].dtype(), DType::F64);
    assert_eq!(file.tensors["gzip_shuffle"].shape(), [50, 3]);
    assert_eq!(file.tensors["gzip_shuffle"].to_f32(), ramp(150));
    let mut expected = vec![1.5; 25];
    for (index, value) in ramp(12).into_iter().enumerate() {
        expected[(2 + index / 4) * 5 + 1 + index % 4] = value;
    }
    assert_eq!(file.tensors["partly_filled"].to_f32(), expected);
    assert_eq!(file.tensors["never_written"].to_f32(), [-1.0; 6]);
    let root = &file.groups[""];
    assert_eq!(root.keys().collect::<Vec<_>>(), ["empty", "unicode", "list"]);
    assert_eq!(root["empty"], Attribute::String(String::new()));
    assert_eq!(root["unicode"], Attribute::String("größe".to_owned()));
    assert_eq!(root["list"].strings(), ["", "a", "été"]);
}

#[test]
fn big_endian_values_are_turned_around() {
    let file = read(testdata("hdf5_variants/big_endian.h5").into()).unwrap();
    let of = |name: &str| (file.tensors[name].dtype(), file.tensors[name].to_f32());
    assert_eq!(of("f4"), (DType::F32, ramp(6)));
    assert_eq!(of("f8"), (DType::F64, ramp(3)));
    assert_eq!(of("f2"), (DType::F16, ramp(2)));
    assert_eq!(of("i8"), (DType::I64, vec![0.0, 1.0, 2.0]));
    assert_eq!(of("i4"), (DType::I32, vec![-1.0, 0.0, 1.0]));
    assert_eq!(of("u1"), (DType::U8, vec![0.0, 1.0, 2.0]));
    assert_eq!(of("scalar"), (DType::F32, vec![7.5]));
    assert_eq!(file.tensors["empty"].shape(), [0, 4]);
}

#[test]
fn paths_that_hdf5_cannot_hold_are_not_written() {
    for paths in [&["a", "a/b"][..], &["a/b", "a"], &[""], &["a//b"], &["/a"], &["a/."], &["nul\0"]] {
        let tensors = paths.iter().map(|&path| (path.to_owned(), RawTensor::from_i64_scalar(0)));
        let file = Hdf5File { tensors: tensors.collect(), ..Hdf5File::default() };
        let error = write(&file, Vec::new()).unwrap_err();
        assert!(matches!(error, Hdf5Error::BadPath { .. }), "{paths:?}: {error}");
    }
}

#[test]
fn an_attribute_over_64_kib_is_not_written() {
    let attributes = Attributes::from([("list".to_owned(), Attribute::Strings(vec![String::new(); 4096]))]);
    let file = Hdf5File { groups: [("group".to_owned(), attributes)].into_iter().collect(), ..Hdf5File::default() };
    let error = write(&file, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "in `group`");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "attribute `list` takes 65600 bytes, an object header message holds 65528");
}

#[test]
fn keras_lists_that_do_not_fit_the_datasets_are_errors_with_names() {
    let weights: TensorMap = [("kernel:0".to_owned(), RawTensor::from_i64_scalar(0))].into_iter().collect();
    let layers = vec![KerasLayer { name: "head".to_owned(), weights }];
    let whole = KerasWeights { layers, ..KerasWeights::default() }.to_hdf5().unwrap();

    let mut file = whole.clone();
    let moved = file.tensors.swap_remove("head/kernel:0").unwrap();
    file.tensors.insert("head/bias:0".to_owned(), moved);
    let (missing, unlisted) = (vec!["head/kernel:0".to_owned()], vec!["head/bias:0".to_owned()]);
    assert_eq!(KerasWeights::from_hdf5(&file), Err(KerasError::Weights { missing, unlisted }));

    let mut file = whole.clone();
    file.groups.swap_remove("head");
    assert_eq!(KerasWeights::from_hdf5(&file), Err(KerasError::NoWeightNames("head".to_owned())));

    let mut file = whole;
    file.groups.swap_remove("");
    assert_eq!(KerasWeights::from_hdf5(&file), Err(KerasError::NoLayerNames));
}

#[test]
fn weights_outside_of_layers_are_kept_apart() {
    let weights = KerasWeights::from_flat([("scale".to_owned(), RawTensor::from_i64_scalar(3))]);
    let file = weights.to_hdf5().unwrap();
    assert_eq!(file.groups[""]["layer_names"], Attribute::Strings(Vec::new()));
    assert_eq!(file.groups[TOP_LEVEL]["weight_names"].strings(), ["scale"]);
    assert_eq!(KerasWeights::from_hdf5(&file).unwrap(), weights);
}

#[test]
fn a_whole_saved_model_gives_its_weights() {
    let weights = KerasWeights::from_flat([("head/kernel:0".to_owned(), RawTensor::from_i64_scalar(3))]);
    let saved = weights.to_hdf5().unwrap();
    let under = |path: &str| format!("model_weights/{path}").trim_end_matches('/').to_owned();
    let mut file = Hdf5File::default();
    file.tensors.extend(saved.tensors.iter().map(|(path, tensor)| (under(path), tensor.clone())));
    file.tensors.insert("optimizer_weights/iteration:0".to_owned(), RawTensor::from_i64_scalar(9));
    file.groups.extend(saved.groups.iter().map(|(path, attributes)| (under(path), attributes.clone())));
    assert_eq!(KerasWeights::from_hdf5(&reread(&file)).unwrap(), weights);
}
