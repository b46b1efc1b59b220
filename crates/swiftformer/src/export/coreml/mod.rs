//! Core ML packages: an ML Program for iOS 16, macOS 13 and later (specification 7).
//!
//! Input is an image if preprocessing is part of the model, else a multi-array; values inside have the precision asked for,
//! those of the inputs and outputs are 32-bit floats. Probabilities with class names make a classifier, which Vision serves
//! with its label and the probability of each class.
//!
//! There is no Core ML outside Apple's systems: packages are checked by their structure, and were not run.

mod blob;
mod program;
mod proto;

#[cfg(test)]
mod tests;

use self::{
    program::Printer,
    proto::{
        ARRAY_FLOAT32, ArrayFeatureType, ColorSpace, DictionaryFeatureType, FeatureDescription, FeatureType,
        ImageFeatureType, Metadata, Model, ModelDescription, StringFeatureType,
    },
};
use super::{Artifact, Batch, ExportError, Lowered, OutputKind, Shape};
use prost::Message;

/// iOS 16 and macOS 13.
const SPECIFICATION: i32 = 7;
/// Outputs of a classifier.
const CLASS_LABEL: &str = "classLabel";
const CLASS_PROBABILITIES: &str = "classLabel_probs";

/// What a package holds: the list of its parts, and they.
pub const MANIFEST_FILE: &str = "Manifest.json";
/// The folder of the parts.
pub const DATA_FOLDER: &str = "Data";

/// Names inside the package; the identifiers only have to differ.
const MANIFEST: &str = r#"{
    "fileFormatVersion": "1.0.0",
    "itemInfoEntries": {
        "5F0A1C53-4E0B-4C5D-8E9B-2C6C0D9F4B01": {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": "com.apple.CoreML/model.mlmodel"
        },
        "5F0A1C53-4E0B-4C5D-8E9B-2C6C0D9F4B02": {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": "com.apple.CoreML/weights"
        }
    },
    "rootModelIdentifier": "5F0A1C53-4E0B-4C5D-8E9B-2C6C0D9F4B01"
}
"#;

/// Prints a lowered network.
///
/// # Errors
/// When the batch is dynamic, or an image comes with others.
pub fn print(lowered: &Lowered) -> Result<Artifact, ExportError> {
    let refused = |what: &str, change: &str| {
        Err(ExportError::Inexpressible { format: "Core ML", what: what.into(), change: change.into() })
    };
    let is_image = matches!(lowered.values[lowered.input].shape, Shape::Bytes(_));
    match lowered.options.batch {
        Batch::Dynamic => return refused("a dynamic batch in a program of fixed shapes", "use --batch N"),
        Batch::Fixed(count) if is_image && count > 1 => {
            return refused("a batch of images", "use --batch 1, or leave out --with-preprocessing");
        }
        Batch::Fixed(_) => {}
    }
    let classes = classes(lowered);
    if !classes.is_empty() && lowered.options.batch != Batch::Fixed(1) {
        return refused("a classifier of a batch", "use --batch 1 or --labels omit");
    }
    let (program, weights) = Printer::new(lowered, &classes).print();
    let model = Model {
        specification_version: SPECIFICATION,
        description: Some(description(lowered, &classes)),
        ml_program: Some(program),
    };
    Ok(Artifact::Folder(vec![
        (MANIFEST_FILE.into(), MANIFEST.into()),
        (format!("{DATA_FOLDER}/com.apple.CoreML/model.mlmodel"), model.encode_to_vec()),
        (format!("{DATA_FOLDER}/com.apple.CoreML/weights/weight.bin"), weights),
    ]))
}

/// Class names of a classifier, each one once: the dictionary of probabilities has them as keys.
fn classes(lowered: &Lowered) -> Vec<String> {
    if lowered.options.outputs != OutputKind::Probabilities {
        return Vec::new();
    }
    let labels = &lowered.info.labels;
    let mut counts = std::collections::HashMap::new();
    labels.iter().for_each(|label| *counts.entry(label).or_insert(0) += 1);
    let unique = |(index, label): (usize, &String)| match counts[label] {
        1 => label.clone(),
        _ => format!("{label} ({index})"),
    };
    labels.iter().enumerate().map(unique).collect()
}

fn description(lowered: &Lowered, classes: &[String]) -> ModelDescription {
    let feature = |name: &str, doc: &str, r#type| FeatureDescription {
        name: name.to_owned(),
        short_description: doc.to_owned(),
        r#type: Some(r#type),
    };
    let array = |value: usize| {
        let sides = lowered.values[value].shape.sides().iter().map(|&side| side as i64);
        let batch = lowered.fixed_batch().unwrap_or(1) as i64;
        let shape = std::iter::once(batch).chain(sides).collect();
        let array = ArrayFeatureType { shape, data_type: ARRAY_FLOAT32 };
        FeatureType { multi_array_type: Some(array), ..FeatureType::default() }
    };
    let input = &lowered.values[lowered.input];
    let input = match input.shape {
        Shape::Bytes([height, width, channels]) => {
            let color_space = if channels == 1 { ColorSpace::Grayscale } else { ColorSpace::Rgb } as i32;
            let image = ImageFeatureType { width: width as i64, height: height as i64, color_space };
            feature(&input.name, "resized and cropped", FeatureType { image_type: Some(image), ..Default::default() })
        }
        _ => feature(&input.name, "[N, C, H, W], normalised", array(lowered.input)),
    };
    let is_classifier = !classes.is_empty();
    let output = match is_classifier {
        true => {
            let label = FeatureType { string_type: Some(StringFeatureType {}), ..FeatureType::default() };
            let keys = DictionaryFeatureType { string_key_type: Some(StringFeatureType {}) };
            let probabilities = FeatureType { dictionary_type: Some(keys), ..FeatureType::default() };
            vec![
                feature(CLASS_LABEL, "the most probable class", label),
                feature(CLASS_PROBABILITIES, "the probability of each class", probabilities),
            ]
        }
        false => {
            let output = |&value: &usize| feature(&lowered.values[value].name, "", array(value));
            lowered.outputs.iter().map(output).collect()
        }
    };
    let info = &lowered.info;
    let name = |name: &str| if is_classifier { name.to_owned() } else { String::new() };
    ModelDescription {
        input: vec![input],
        output,
        predicted_feature_name: name(CLASS_LABEL),
        predicted_probabilities_name: name(CLASS_PROBABILITIES),
        metadata: Some(Metadata {
            short_description: info.description(),
            version_string: info.version.to_owned(),
            author: "swiftformer".to_owned(),
            user_defined: info.entries().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }),
    }
}
