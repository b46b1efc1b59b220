//! Opening, changing and saving models of every kind.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use support::{open, testdata, xs_safetensors};
use swiftformer::{
    arch::{Leaf, Module, TailKind},
    checkpoint::{Checkpoint, CheckpointError, DialectSource, ModelSource, OpenOptions, SaveOptions},
    config::{Dialect, Reading, Variant},
    image::{Preset, RgbImage},
    model::{Model, ModelOptions},
    tensor::{DType, RawTensor},
    weights::{names::Layout, read_file, state::StateDict},
};

fn open_path(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(&ModelSource::Path(path.to_owned()), &OpenOptions::default())
}

fn golden(name: &str) -> Checkpoint {
    open_path(&testdata(name)).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// The whole chain of an error, as the program prints it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn message(path: &Path) -> String {
    chain(&open_path(path).map(|_| ()).unwrap_err())
}

fn copy_folder(from: &str, files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(testdata(from).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn every_folder_and_file_says_its_dialect_and_why() {
    for (name, dialect, source, layout) in [
        ("hf_tiny", Dialect::Sum, DialectSource::Layout(Layout::HuggingFace), Layout::HuggingFace),
        ("timm_tiny", Dialect::L2, DialectSource::Layout(Layout::Timm), Layout::Timm),
        ("tf_tiny", Dialect::Sum, DialectSource::Layout(Layout::HuggingFace), Layout::TensorFlow),
        ("hf_tiny/pytorch_model.bin", Dialect::Sum, DialectSource::Layout(Layout::HuggingFace), Layout::HuggingFace),
        ("timm_tiny/model.safetensors", Dialect::L2, DialectSource::Layout(Layout::Timm), Layout::Timm),
        ("tf_tiny/tf_model.h5", Dialect::Sum, DialectSource::Layout(Layout::TensorFlow), Layout::TensorFlow),
        ("original_tiny/checkpoint.pth", Dialect::L2, DialectSource::Unknown, Layout::Original),
    ] {
        let checkpoint = golden(name);
        assert_eq!(checkpoint.dialect(), (dialect, source), "{name}");
        assert_eq!(checkpoint.layout(), layout, "{name}");
    }
}

#[test]
fn a_loose_original_file_must_be_told_its_dialect() {
    let error = golden("original_tiny/checkpoint.pth").known_dialect().unwrap_err().to_string();
    assert!(error.contains("checkpoint.pth") && error.contains("--dialect sum"), "{error}");
    let told = OpenOptions { dialect: Some(Dialect::Sum), ..OpenOptions::default() };
    let source = ModelSource::Path(testdata("original_tiny/checkpoint_legacy.pth"));
    let checkpoint = Checkpoint::open(&source, &told).unwrap();
    assert_eq!(checkpoint.known_dialect().unwrap(), Dialect::Sum);
    assert_eq!(checkpoint.dialect().1, DialectSource::Told);
}

#[test]
fn preprocessing_comes_from_the_folder_or_the_family() {
    assert_eq!(*golden("timm_tiny/model.safetensors").preprocessor(), Preset::Timm.preprocessor(224, 224));
    assert_eq!(*golden("original_tiny/checkpoint.pth").preprocessor(), Preset::Original.preprocessor(224, 224));
    let described = |name| golden(name).preprocessor().to_string();
    assert!(described("hf_tiny").contains("bilinear") && described("timm_tiny").contains("235"));
    let options = OpenOptions { preset: Some(Preset::Original09), ..OpenOptions::default() };
    let overridden = Checkpoint::open(&ModelSource::Path(testdata("hf_tiny")), &options).unwrap();
    assert_eq!(*overridden.preprocessor(), Preset::Original09.preprocessor(224, 224));
}

#[test]
fn all_files_of_the_tiny_model_hold_the_same_values() {
    let (_, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    for name in ["hf_tiny", "timm_tiny", "tf_tiny", "original_tiny/checkpoint.pth", "original_tiny/weights_views.pth"] {
        let checkpoint = golden(name);
        for param in checkpoint.arch().params() {
            if param.leaf != Leaf::NumBatchesTracked {
                let found = checkpoint.state().get(param.module, param.leaf);
                assert_eq!(found, state.get(param.module, param.leaf), "{name}: {param:?}");
            }
        }
    }
}

#[test]
fn a_round_trip_through_every_layout_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("start")).unwrap();
    fs::write(place("start/model.safetensors"), xs_safetensors()).unwrap();
    fs::copy(testdata("hf_xs/config.json"), place("start/config.json")).unwrap();
    fs::copy(testdata("hf_tiny/preprocessor_config.json"), place("start/preprocessor_config.json")).unwrap();
    let start = open_path(&place("start")).unwrap();
    let mut current = start.clone();
    for (name, layout) in [
        ("timm", Layout::Timm),
        ("original.pth", Layout::Original),
        ("folder", Layout::Original),
        ("tf", Layout::TensorFlow),
        ("end", Layout::HuggingFace),
    ] {
        current.save(&place(name), layout, SaveOptions::default()).unwrap();
        current = open_path(&place(name)).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        assert_eq!(current.layout(), layout, "{name}");
        assert_eq!(current.known_dialect().unwrap(), Dialect::Sum, "the dialect travels with {name}");
        let preprocessor = current.preprocessor().to_string();
        assert!(preprocessor.contains("224x224 (bilinear)"), "{name}: {preprocessor}");
    }
    for param in start.arch().params() {
        let (before, after) =
            (start.state().get(param.module, param.leaf), current.state().get(param.module, param.leaf));
        if param.leaf != Leaf::NumBatchesTracked {
            assert_eq!(before, after, "{param:?}");
        }
    }
    let parts =
        [&start, &current].map(|checkpoint| (checkpoint.config().depths.clone(), checkpoint.config().num_labels));
    assert_eq!(parts[0], parts[1]);
}

#[test]
fn label_names_survive_every_layout() {
    let mut checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap();
    let label = checkpoint.config().label(3);
    assert_eq!(label, "clock");
    let folder = tempfile::tempdir().unwrap();
    for layout in Layout::ALL {
        let place = folder.path().join(layout.name());
        checkpoint.save(&place, layout, SaveOptions::default()).unwrap();
        checkpoint = open_path(&place).unwrap();
        assert_eq!(checkpoint.config().label(3), label, "{layout}");
    }
}

#[test]
fn an_existing_target_is_kept_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("model");
    let checkpoint = golden("hf_tiny");
    checkpoint.save(&place, Layout::HuggingFace, SaveOptions::default()).unwrap();
    let error = checkpoint.save(&place, Layout::Timm, SaveOptions::default()).unwrap_err();
    assert!(matches!(error, CheckpointError::Exists { .. }), "{error}");
    assert_eq!(open_path(&place).unwrap().layout(), Layout::HuggingFace);
    checkpoint.save(&place, Layout::Timm, SaveOptions { overwrite: true, ..SaveOptions::default() }).unwrap();
    assert_eq!(open_path(&place).unwrap().layout(), Layout::Timm);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["model"], "nothing is left beside it");
}

#[test]
fn nothing_is_left_behind_when_a_layout_cannot_say_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Variant::Xs.config();
    config.batch_norm_eps = 1e-3;
    fs::write(folder.path().join("config.json"), config.to_hf_json().unwrap()).unwrap();
    let source = ModelSource::RandomConfig(folder.path().join("config.json"));
    let checkpoint = Checkpoint::open(&source, &OpenOptions::default()).unwrap();
    let error = checkpoint.save(&folder.path().join("timm"), Layout::Timm, SaveOptions::default()).unwrap_err();
    assert!(chain(&error).contains("batch_norm_eps"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn sharded_and_half_precision_weights_are_read() {
    let folder = copy_folder("hf_tiny", &["config.json"]);
    let tensors = read_file(&testdata("hf_tiny/model.safetensors"), &Default::default()).unwrap().tensors;
    let halves: swiftformer::tensor::TensorMap = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes: Vec<u8> = tensor.to_f32().iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
            let counter = tensor.dtype() == DType::I64;
            let half = RawTensor::new(DType::F16, tensor.shape(), bytes.into()).unwrap();
            (name.clone(), if counter { tensor.clone() } else { half })
        })
        .collect();
    let (first, second): (Vec<_>, Vec<_>) = halves.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
    let mut map = serde_json::Map::new();
    for (name, part) in [("a.safetensors", first), ("b.safetensors", second)] {
        part.iter().for_each(|(_, (tensor, _))| drop(map.insert(tensor.clone(), name.into())));
        let part = part.into_iter().map(|(_, pair)| pair).collect();
        swiftformer::weights::safetensors::write_file(&folder.path().join(name), &part).unwrap();
    }
    let index = serde_json::json!({"weight_map": map}).to_string();
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let checkpoint = open_path(folder.path()).unwrap();
    let (found, expected) = (checkpoint.state(), golden("hf_tiny"));
    let head = found.values(Module::Head, Leaf::Weight);
    let exact = expected.state().values(Module::Head, Leaf::Weight);
    assert!(head.iter().zip(&exact).all(|(a, b)| (a - b).abs() <= b.abs() / 1024.0));
}

#[test]
fn what_is_wrong_with_a_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(message(folder.path()).contains("model.safetensors, "), "looked for files are listed");
    assert!(message(&folder.path().join("gone")).contains("gone"));

    let bad_config = copy_folder("hf_tiny", &["model.safetensors"]);
    fs::write(bad_config.path().join("config.json"), r#"{"depths": [2, 2, 3, 0]}"#).unwrap();
    let text = message(bad_config.path());
    assert!(text.contains("config.json") && text.contains("depths[3]"), "{text}");

    let other_config = copy_folder("hf_tiny", &["model.safetensors"]);
    fs::write(other_config.path().join("config.json"), Variant::Xs.config().to_hf_json().unwrap()).unwrap();
    let text = message(other_config.path());
    assert!(text.contains("head.weight: expected [1000, 220], found [10, 48]"), "{text}");
    assert!(text.contains("missing (") && text.contains("network.0.blocks.2"), "{text}");

    let integers = tempfile::tempdir().unwrap();
    let (arch, _) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let state = StateDict::from_fn(&arch, |param| {
        RawTensor::new(DType::U8, param.shape.clone(), vec![0; param.len()].into()).unwrap()
    });
    let path = integers.path().join("bytes.safetensors");
    swiftformer::weights::safetensors::write_file(&path, &state.to_tensors(&arch, Layout::Timm)).unwrap();
    let text = message(&path);
    assert!(text.contains("bytes.safetensors") && text.contains("U8"), "{text}");
}

#[test]
fn sources_are_understood() {
    let parse = |text: &str| text.parse::<ModelSource>();
    assert_eq!(parse("demo"), Ok(ModelSource::Demo));
    assert_eq!(parse("l1"), Ok(ModelSource::Hub("MBZUAI/swiftformer-l1".into())));
    assert_eq!(parse("xs@main"), Ok(ModelSource::Hub("MBZUAI/swiftformer-xs@main".into())));
    let timm = "timm/swiftformer_xs.dist_in1k";
    assert_eq!(parse(timm), Ok(ModelSource::Hub(timm.into())));
    assert_eq!(parse("random:l3"), Ok(ModelSource::RandomVariant(Variant::L3)));
    assert_eq!(parse("models/gone/file.pth"), Ok(ModelSource::Path(PathBuf::from("models/gone/file.pth"))));
    assert_eq!(parse("/gone"), Ok(ModelSource::Path(PathBuf::from("/gone"))));
    assert!(parse("xxl").unwrap_err().to_string().contains("`xxl` is not a model"));
    assert!(parse("random:xxl").is_err());
}

#[test]
fn a_classifier_can_be_replaced_and_taken_away() {
    let mut checkpoint = golden("timm_tiny");
    let body = checkpoint.state().values(Module::Norm, Leaf::Weight);
    checkpoint.reset_classifier(7, 1).unwrap();
    assert_eq!(checkpoint.state().get(Module::DistHead, Leaf::Weight).unwrap().shape(), [7, 48]);
    assert_eq!(checkpoint.state().values(Module::Norm, Leaf::Weight), body);
    checkpoint.reset_classifier(0, 1).unwrap();
    assert!(!checkpoint.has_classifier());
    let backbone = checkpoint.into_backbone().unwrap();
    assert_eq!(backbone.arch().tail_kind(), TailKind::None);
    let folder = tempfile::tempdir().unwrap();
    for layout in [Layout::HuggingFace, Layout::Timm, Layout::Original] {
        let place = folder.path().join(layout.name());
        backbone.save(&place, layout, SaveOptions::default()).unwrap();
        assert_eq!(open_path(&place).unwrap().arch().tail_kind(), TailKind::None, "{layout}");
    }
    let error = backbone.save(&folder.path().join("tf"), Layout::TensorFlow, SaveOptions::default()).unwrap_err();
    assert!(error.to_string().contains("needs a classifier"));
}

#[test]
fn fresh_weights_follow_their_config_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::copy(testdata("timm_tiny/config.json"), &path).unwrap();
    let source = format!("random:{}", path.display()).parse().unwrap();
    let checkpoint = Checkpoint::open(&source, &OpenOptions { seed: 5, ..OpenOptions::default() }).unwrap();
    assert_eq!(checkpoint.config().reading, Reading::Timm);
    assert_eq!(checkpoint.known_dialect().unwrap(), Dialect::L2);
    let same = Checkpoint::open(&source, &OpenOptions { seed: 5, ..OpenOptions::default() }).unwrap();
    assert_eq!(checkpoint.state(), same.state());
}

#[test]
fn a_file_of_the_original_layout_keeps_its_preprocessing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    let mut checkpoint = golden("hf_tiny");
    checkpoint.set_preprocessor(Preset::Original09.preprocessor(96, 96));
    checkpoint.save(&path, Layout::Original, SaveOptions::default()).unwrap();
    let again = Checkpoint::open(&ModelSource::Path(path), &OpenOptions::default()).unwrap();
    assert_eq!(again.preprocessor().resize, checkpoint.preprocessor().resize);
    let sides = |checkpoint: &Checkpoint| checkpoint.preprocessor().crop.map(|crop| (crop.height, crop.width));
    assert_eq!(sides(&again), Some((96, 96)));
}

#[test]
fn a_picture_for_a_model_of_four_channels_is_refused() {
    let mut checkpoint = golden("hf_tiny");
    checkpoint.adapt_input_channels(4).unwrap();
    let model = Model::new(&checkpoint, &ModelOptions::default()).unwrap();
    let error = model.classify(&RgbImage::filled(40, 40, [1, 2, 3])).unwrap_err();
    assert!(error.to_string().contains("a model of 4 input channels"), "{error}");
}
