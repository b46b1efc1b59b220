//! Names and shapes against the references' own lists.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use swiftformer::{
    arch::{Arch, ParamKind, TailKind},
    config::Variant,
    tensor::{DType, RawTensor, TensorMap},
    weights::{
        infer::infer,
        layout::{LayoutError, recognise},
        names::{Layout, Names},
        state::StateDict,
    },
};

fn json(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/names").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn shape(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize).collect()
}

/// A tensor of one-byte zeros: only its name and shape matter.
fn placeholder(shape: &[usize]) -> RawTensor {
    RawTensor::new(DType::U8, shape, Bytes::from(vec![0; shape.iter().product()])).unwrap()
}

#[test]
fn every_tensor_has_the_references_name_and_shape_in_every_layout() {
    let maps = json("key_maps.json");
    for variant in Variant::ALL {
        let arch = Arch::build(&variant.config(), TailKind::Classifier).unwrap();
        let entries = maps[variant.name()].as_array().unwrap();
        assert_eq!(arch.params().len(), entries.len(), "{variant}");
        for param in arch.params() {
            let hf = Names::new(&arch, Layout::HuggingFace).name(&param).unwrap();
            let entry = entries.iter().find(|entry| entry["hf"] == hf.as_str()).unwrap_or_else(|| panic!("{hf}"));
            assert_eq!(shape(&entry["shape"]), param.shape, "{hf}");
            assert_eq!(entry["kind"] == "parameter", param.kind.is_trainable(), "{hf}");
            for (layout, key) in [(Layout::Timm, "timm"), (Layout::Original, "original"), (Layout::TensorFlow, "tf_h5")]
            {
                if let Some(expected) = entry.get(key) {
                    assert_eq!(Names::new(&arch, layout).name(&param).as_deref(), expected.as_str(), "{hf}");
                }
            }
        }
    }
}

#[test]
fn configs_are_inferred_from_the_names_and_shapes_of_every_variant_and_layout() {
    let maps = json("key_maps.json");
    for variant in Variant::ALL {
        for key in ["hf", "timm", "original", "tf_h5"] {
            let tensors: TensorMap = maps[variant.name()]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|entry| {
                    let side = if key == "tf_h5" { "tf_shape" } else { "shape" };
                    Some((entry.get(key)?.as_str()?.to_owned(), placeholder(&shape(&entry[side]))))
                })
                .collect();
            if tensors.is_empty() {
                continue;
            }
            let file = recognise(tensors).unwrap();
            let inferred = infer(&file).unwrap();
            assert_eq!(inferred.tail, TailKind::Classifier);
            let config = inferred.config;
            assert_eq!(Variant::matching(&config.depths, &config.embed_dims), Some(variant), "{key}");
            assert_eq!((config.num_labels, config.num_channels, config.mlp_ratio), (1000, 3, 4.0));
            let arch = Arch::build(&config, inferred.tail).unwrap();
            StateDict::from_tensors(&arch, file).unwrap();
        }
    }
}

#[test]
fn backbones_without_heads_are_recognised() {
    let lists = json("key_lists_backbones.json");
    for (key, tail) in [
        ("timm_features_only", TailKind::None),
        ("original_fork_feat", TailKind::Features),
        ("hf_SwiftFormerModel", TailKind::None),
    ] {
        for prefix in ["", "backbone."] {
            let names = lists[key].as_object().unwrap();
            let tensors =
                names.iter().map(|(name, side)| (format!("{prefix}{name}"), placeholder(&shape(side)))).collect();
            let file = recognise(tensors).unwrap();
            let inferred = infer(&file).unwrap();
            assert_eq!(inferred.tail, tail, "{key}");
            let arch = Arch::build(&inferred.config, tail).unwrap();
            StateDict::from_tensors(&arch, file).unwrap_or_else(|error| panic!("{prefix}{key}: {error}"));
        }
    }
}

#[test]
fn odd_configs_round_trip_through_every_layout_and_inference() {
    let mut config = Variant::Xs.config();
    config.depths = vec![1, 2, 1];
    config.embed_dims = vec![10, 10, 7];
    config.downsamples = vec![false, true, true];
    config.mlp_ratio = 2.5;
    config.down_patch_size = [5, 5];
    config.down_pad = [2, 2];
    config.num_channels = 4;
    config.num_labels = 3;
    let arch = Arch::build(&config, TailKind::Classifier).unwrap();
    let state = StateDict::from_fn(&arch, |param| placeholder(&param.shape));
    for layout in Layout::ALL {
        let file = recognise(state.to_tensors(&arch, layout)).unwrap();
        let inferred = infer(&file).unwrap().config;
        assert_eq!(inferred.depths, config.depths, "{layout}");
        assert_eq!(inferred.embed_dims, config.embed_dims);
        assert_eq!((inferred.down_patch_size, inferred.down_pad), ([5, 5], [2, 2]));
        assert_eq!((0..3).map(|s| inferred.has_transition_before(s)).collect::<Vec<_>>(), [false, false, true]);
        let again = Arch::build(&inferred, TailKind::Classifier).unwrap();
        for (ours, theirs) in arch.params().iter().zip(again.params()) {
            assert_eq!((ours.module, &ours.shape), (theirs.module, &theirs.shape), "{layout}");
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_listed_by_name() {
    let arch = Arch::build(&Variant::Xs.config(), TailKind::Classifier).unwrap();
    let state = StateDict::from_fn(&arch, |param| placeholder(&param.shape));
    let mut tensors = state.to_tensors(&arch, Layout::Timm);
    tensors.shift_remove("head.bias");
    tensors.insert("neck.weight".into(), placeholder(&[2]));
    tensors.insert("stages.0.blocks.0.norm.bias".into(), placeholder(&[49]));
    let error = StateDict::from_tensors(&arch, recognise(tensors).unwrap()).unwrap_err();
    assert_eq!(error.missing, ["head.bias"]);
    assert_eq!(error.unexpected, ["neck.weight"]);
    let text = error.to_string();
    assert!(text.contains("stages.0.blocks.0.norm.bias: expected [48], found [49]"), "{text}");
}

#[test]
fn batch_counters_may_be_missing() {
    let arch = Arch::build(&Variant::Xs.config(), TailKind::Classifier).unwrap();
    let state = StateDict::from_fn(&arch, |param| placeholder(&param.shape));
    let mut tensors = state.to_tensors(&arch, Layout::HuggingFace);
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let state = StateDict::from_tensors(&arch, recognise(tensors).unwrap()).unwrap();
    let counter = arch.params().into_iter().find(|param| param.kind == ParamKind::NumBatchesTracked).unwrap();
    assert_eq!(state.values(counter.module, counter.leaf), [0.0]);
}

#[test]
fn tensors_of_another_model_are_refused_with_their_names() {
    let tensors = TensorMap::from_iter([("conv1.weight".to_owned(), placeholder(&[1]))]);
    let error = recognise(tensors).unwrap_err();
    assert!(matches!(error, LayoutError::Unknown { count: 1, .. }), "{error}");
    assert!(error.to_string().contains("conv1.weight"));
}
