use std::collections::HashSet;

use prost::Message;

use super::{
    super::{Artifact, Batch, ExportError, ExportOptions, FloatType, OutputKind, lower},
    CLASS_LABEL, CLASS_PROBABILITIES, print,
    proto::{Block, Model},
};
use crate::checkpoint::{Checkpoint, ModelSource, OpenOptions};

fn demo() -> Checkpoint {
    Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap()
}

fn small() -> ExportOptions {
    ExportOptions { size: Some([64, 96]), precision: FloatType::F16, ..ExportOptions::default() }
}

fn classifier() -> ExportOptions {
    ExportOptions { outputs: OutputKind::Probabilities, with_preprocessing: true, embed_labels: true, ..small() }
}

fn files(options: &ExportOptions) -> Vec<(String, Vec<u8>)> {
    let Artifact::Folder(files) = print(&lower(&demo(), options).unwrap()).unwrap() else { panic!("a folder") };
    files
}

fn model(options: &ExportOptions) -> Model {
    Model::decode(files(options)[1].1.as_slice()).unwrap()
}

fn block(model: &Model) -> &Block {
    &model.ml_program.as_ref().unwrap().functions["main"].block_specializations["CoreML6"]
}

#[test]
fn a_package_has_a_manifest_that_names_its_files() {
    let files = files(&small());
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["Manifest.json", "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"];
    assert_eq!(names, expected);
    let manifest: serde_json::Value = serde_json::from_slice(&files[0].1).unwrap();
    let root = manifest["rootModelIdentifier"].as_str().unwrap();
    assert_eq!(manifest["itemInfoEntries"][root]["path"], "com.apple.CoreML/model.mlmodel");
}

#[test]
fn values_are_known_before_they_are_used_and_defined_once() {
    for options in [small(), classifier(), ExportOptions { precision: FloatType::F32, ..classifier() }] {
        let model = model(&options);
        let function = &model.ml_program.as_ref().unwrap().functions["main"];
        let mut known: HashSet<&str> = function.inputs.iter().map(|input| input.name.as_str()).collect();
        let block = block(&model);
        for operation in &block.operations {
            for binding in operation.inputs.values().flat_map(|argument| &argument.arguments) {
                let name = binding.name.as_deref();
                assert!(name.is_none_or(|name| known.contains(name)), "{} takes {name:?}", operation.r#type);
            }
            for output in &operation.outputs {
                assert!(known.insert(&output.name), "{} is there twice", output.name);
                let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
                assert!(output.name.chars().all(legal), "{}", output.name);
            }
        }
        assert!(block.outputs.iter().all(|output| known.contains(output.as_str())));
    }
}

#[test]
fn weights_lie_where_the_program_says_and_have_its_type() {
    for (precision, code, width) in [(FloatType::F16, 1, 2), (FloatType::F32, 2, 4)] {
        let files = files(&ExportOptions { precision, ..small() });
        let model = Model::decode(files[1].1.as_slice()).unwrap();
        let blob = &files[2].1;
        let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_le_bytes(blob[at..at + 8].try_into().unwrap()) as usize;
        let mut tensors = 0;
        for value in block(&model).operations.iter().filter_map(|operation| operation.attributes.get("val")) {
            let Some(place) = &value.blob_file_value else { continue };
            let at = place.offset as usize;
            let sides = &value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().dimensions;
            let count: u64 = sides.iter().map(|side| side.constant.as_ref().unwrap().size).product();
            assert_eq!((word(at), word(at + 4)), (0xDEAD_BEEF, code));
            assert_eq!(long(at + 8), count as usize * width);
            assert!(long(at + 16) % 64 == 0 && long(at + 16) + long(at + 8) <= blob.len());
            tensors += 1;
        }
        assert_eq!((word(0), word(4)), (tensors, 2));
        assert!(tensors > 50);
    }
}

#[test]
fn probabilities_with_names_make_a_classifier_of_images() {
    let model = model(&classifier());
    assert_eq!(model.specification_version, 7);
    let description = model.description.as_ref().unwrap();
    let image = description.input[0].r#type.as_ref().unwrap().image_type.as_ref().unwrap();
    assert_eq!((image.width, image.height, image.color_space), (96, 64, 20));
    assert_eq!(description.predicted_feature_name, CLASS_LABEL);
    assert_eq!(block(&model).outputs, [CLASS_LABEL, CLASS_PROBABILITIES]);
    let classify = block(&model).operations.last().unwrap();
    let classes = classify.inputs["classes"].arguments[0].value.as_ref().unwrap();
    let list = classes.immediate_value.as_ref().unwrap().list.as_ref().unwrap();
    assert_eq!(list.values.len(), demo().config().num_labels);
    let metadata = description.metadata.as_ref().unwrap();
    assert_eq!(metadata.user_defined["dialect"], demo().dialect().0.name());
}

#[test]
fn classes_of_one_name_are_told_apart() {
    let mut lowered = lower(&demo(), &classifier()).unwrap();
    lowered.info.labels[2] = lowered.info.labels[1].clone();
    let classes = super::classes(&lowered);
    assert_eq!(classes.iter().collect::<HashSet<_>>().len(), classes.len());
    assert!(classes[2].ends_with(" (2)"), "{}", classes[2]);
}

#[test]
fn batches_that_a_program_cannot_have_are_refused() {
    let dynamic = lower(&demo(), &ExportOptions { batch: Batch::Dynamic, ..small() }).unwrap();
    let message = |error: ExportError| error.to_string();
    assert!(message(print(&dynamic).unwrap_err()).contains("--batch N"));
    let images = lower(&demo(), &ExportOptions { batch: Batch::Fixed(2), ..classifier() }).unwrap();
    assert!(message(print(&images).unwrap_err()).contains("--batch 1"));
}
