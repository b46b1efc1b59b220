//! `swiftformer embed`: the same numbers in four formats.

use crate::support::{Folder, swiftformer, tensors, write_pixel_values, write_without};

const INPUTS: [&str; 3] = ["images/china.jpg", "images/README.md", "images/flower.jpg"];

/// Embeddings of the two images among [`INPUTS`], from stdout.
fn expected() -> Vec<Vec<f32>> {
    let run = swiftformer(&[&["embed"], &INPUTS[..]].concat()).exits(1);
    let lines = run.json_lines();
    assert_eq!((lines.len(), &lines[1]["image"]), (3, &INPUTS[1].into()));
    assert!(lines[1]["error"].as_str().unwrap().contains("not an image"));
    let numbers = |line: &serde_json::Value| -> Vec<f32> { serde_json::from_value(line["embedding"].clone()).unwrap() };
    vec![numbers(&lines[0]), numbers(&lines[2])]
}

fn embed_to(path: &str) {
    let arguments = [&["embed", "--output", path], &INPUTS[..]].concat();
    swiftformer(&arguments).exits(1).says(&["images/README.md: not an image"]);
}

#[test]
fn safetensors_hold_the_numbers_and_the_names() {
    let folder = Folder::new();
    let path = folder.path("e.safetensors");
    embed_to(&path);
    let embeddings = &tensors(&path)["embeddings"];
    assert_eq!((embeddings.shape(), embeddings.to_f32()), (&[2, 128][..], expected().concat()));
    let bytes = std::fs::read(&path).unwrap();
    let header = String::from_utf8_lossy(&bytes[8..bytes.len() - 2 * 128 * 4]).into_owned();
    let header: serde_json::Value = serde_json::from_str(&header).unwrap();
    assert_eq!(header["__metadata__"]["images"], r#"["images/china.jpg","images/flower.jpg"]"#);
    assert_eq!(folder.names(""), ["e.safetensors"]);
}

#[test]
fn npy_is_numpys_format() {
    let folder = Folder::new();
    let path = folder.path("e.npy");
    embed_to(&path);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..header]).unwrap();
    assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 128,), }") && text.ends_with('\n'));
    assert_eq!(header % 64, 0);
    let values: Vec<f32> = bytes[header..].as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    assert_eq!(values, expected().concat());
}

#[test]
fn csv_has_a_column_a_number() {
    let folder = Folder::new();
    let path = folder.path("e.csv");
    embed_to(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows[0][0], rows[0][1], rows[0][128], rows.len()), ("image", "e0", "e127", 3));
    let numbers = |row: &Vec<&str>| -> Vec<f32> { row[1..].iter().map(|number| number.parse().unwrap()).collect() };
    assert_eq!(rows[1..].iter().map(numbers).collect::<Vec<_>>(), expected());
}

#[test]
fn the_embedding_is_pre_logits() {
    let folder = Folder::new();
    let run = swiftformer(&["embed", "images/china.jpg", "-m", "timm_tiny"]).exits(0);
    let embedding: Vec<f32> = serde_json::from_value(run.json_lines()[0]["embedding"].clone()).unwrap();
    let pixels = folder.path("pixels.safetensors");
    swiftformer(&["preprocess", "images/china.jpg", "-m", "timm_tiny", "--output", &pixels]).exits(0);
    let input = write_pixel_values(&folder, tensors(&pixels)["pixel_values"].clone());
    let output = folder.path("out.safetensors");
    swiftformer(&["forward", &input, "-m", "timm_tiny", "--output", &output, "--features"]).exits(0);
    assert_eq!(tensors(&output)["pre_logits"].to_f32(), embedding);
}

#[test]
fn an_unknown_ending_is_refused_before_any_work() {
    let run = swiftformer(&["embed", "images/china.jpg", "--output", "e.xyz"]).exits(2);
    run.says(&["e.xyz", ".safetensors, .npy or .csv"]);
}

#[test]
fn no_file_appears_when_every_image_fails() {
    let folder = Folder::new();
    swiftformer(&["embed", "images/README.md", "--output", &folder.path("e.npy")])
        .exits(1)
        .says(&["no file is written"]);
    swiftformer(&["embed", "images/china.jpg", "-m", "nowhere.pth", "--output", &folder.path("e.npy")]).exits(2);
    assert_eq!(folder.names("").len(), 0);
}

#[test]
fn a_bare_backbone_gives_the_mean_of_its_last_hidden_state() {
    let folder = Folder::new();
    let model = write_without(&folder, &["head", "norm"]);
    let run = swiftformer(&["embed", "images/china.jpg", "-m", &model, "--preprocess", "hf"]).exits(0);
    let run = run.says(&["mean of its last hidden state"]);
    let embedding: Vec<f32> = serde_json::from_value(run.json_lines()[0]["embedding"].clone()).unwrap();
    let output = folder.path("out.safetensors");
    let pixels = folder.path("pixels.safetensors");
    swiftformer(&["preprocess", "images/china.jpg", "--preprocess", "hf", "--output", &pixels]).exits(0);
    swiftformer(&["forward", &pixels, "-m", &model, "--output", &output]).exits(0);
    let outputs = tensors(&output);
    assert!(!outputs.contains_key("logits"));
    let maps = outputs["last_hidden_state"].to_f32();
    let means = maps.chunks_exact(49).map(|map| map.iter().sum::<f32>() / 49.0);
    assert!(embedding.iter().zip(means).all(|(a, b)| (a - b).abs() < 1e-4));
}
