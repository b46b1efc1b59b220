//! `swiftformer eval`: how well a model classifies.

use crate::support::{Folder, swiftformer};

/// `hf_tiny` with other names of its ten labels.
fn model(folder: &Folder, names: &[&str]) -> String {
    folder.copy("hf_tiny/pytorch_model.bin", "model/pytorch_model.bin");
    folder.copy("hf_tiny/preprocessor_config.json", "model/preprocessor_config.json");
    let config = std::fs::read(crate::support::testdata("hf_tiny/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let labels = names.iter().enumerate().map(|(index, name)| (index.to_string(), (*name).into()));
    config["id2label"] = serde_json::Value::Object(labels.collect());
    config.as_object_mut().unwrap().remove("label2id");
    folder.write("model/config.json", config.to_string().as_bytes());
    folder.path("model")
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "Two Words", "f", "g", "h", "i"];

/// Photographs of `testdata` in folders of classes that the model has.
fn data(folder: &Folder) -> String {
    for (class, files) in [("c", ["china.jpg", "rgba.png"]), ("two_words", ["flower.jpg", "tall.png"])] {
        for file in files {
            folder.copy(&format!("images/{file}"), &format!("data/val/{class}/{file}"));
            folder.copy(&format!("images/{file}"), &format!("data/train/{class}/{file}"));
        }
    }
    folder.path("data")
}

#[test]
fn the_report_agrees_with_the_answers_of_classify() {
    let folder = Folder::new();
    let (model, data) = (model(&folder, &NAMES), data(&folder));
    let run = swiftformer(&["eval", &data, "--model", &model, "--format", "json"]).exits(0);
    let report = run.json();
    assert_eq!(report["images"], 4);
    assert_eq!(report["classes"].as_array().unwrap().len(), 10);
    assert_eq!(report["classes"][5]["name"], "Two Words");
    let (mut right, mut matrix) = (0.0, vec![vec![0u64; 10]; 10]);
    for (label, class) in [(2, "c"), (5, "two_words")] {
        let images = format!("{data}/val/{class}");
        let answers = swiftformer(&["classify", &images, "--model", &model, "--top", "1", "--format", "json"]).exits(0);
        for answer in answers.json_lines() {
            let index = answer["top"][0]["index"].as_u64().unwrap() as usize;
            matrix[label][index] += 1;
            right += f64::from(index == label);
        }
    }
    assert_eq!(report["top1"], right / 4.0);
    assert_eq!(report["confusion_matrix"], serde_json::json!(matrix));
    assert!(report["loss"].as_f64().unwrap() > 0.0 && report["images_per_second"].as_f64().unwrap() > 0.0);

    let text = swiftformer(&["eval", &data, "--model", &model, "--batch", "3"]).exits(0);
    let lines = text.lines();
    assert!(lines.contains(&format!("top-1   {:>7.2} %", right / 4.0 * 100.0).as_str()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("Two Words       2")), "{lines:#?}");
    assert!(lines.contains(&"4 images of 2 classes"));
}

#[test]
fn broken_images_are_named_and_left_out() {
    let folder = Folder::new();
    let (model, data) = (model(&folder, &NAMES), data(&folder));
    folder.write("data/val/c/broken.png", b"no image");
    let run = swiftformer(&["eval", &data, "--model", &model, "--format", "json"]).exits(1).says(&["broken.png"]);
    let report = run.json();
    assert_eq!((&report["images"], report["broken"].as_array().unwrap().len()), (&4.into(), 1));
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let folder = Folder::new();
    let (model, data) = (model(&folder, &NAMES), data(&folder));
    folder.copy("images/tall.png", "data/train/unknown/tall.png");
    swiftformer(&["eval", &data, "--model", &model]).exits(2).says(&["3 classes, the model 10", "`unknown`"]);
    swiftformer(&["eval", "no-such-data", "--model", &model]).exits(2).says(&["no-such-data"]);
    swiftformer(&["eval", &data, "--model", &model, "--category", "colour"]).exits(2).says(&["kingdom, phylum"]);
}
