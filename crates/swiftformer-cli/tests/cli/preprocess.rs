//! `swiftformer preprocess`: pixel values as the references make them.

use std::io::Read;

use crate::support::{Folder, swiftformer, tensors, testdata};

/// A tensor of floats from a packed golden file: the header as it is, then everything else compressed.
fn packed(file: &str, name: &str) -> Vec<f32> {
    let packed = std::fs::read(testdata(file)).unwrap();
    let header = 8 + u64::from_le_bytes(packed[..8].try_into().unwrap()) as usize;
    let mut data = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[header..]).read_to_end(&mut data).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&packed[8..header]).unwrap();
    let (start, end): (usize, usize) = serde_json::from_value(header[name]["data_offsets"].clone()).unwrap();
    data[start..end].as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn pixel_values_are_those_of_the_references() {
    let folder = Folder::new();
    for (preparation, name) in [(["--preprocess", "hf"], "hf_bilinear"), (["--model", "timm_tiny"], "timm_095")] {
        let output = folder.path("out.safetensors");
        swiftformer(&["preprocess", "images/china.jpg", "--output", &output, preparation[0], preparation[1]]).exits(0);
        let found = &tensors(&output)["pixel_values"];
        assert_eq!(found.shape(), [1, 3, 224, 224]);
        let expected = packed("images/preprocessed.safetensors.packed", &format!("china.jpg.{name}.pixel_values"));
        let differences = found.to_f32().iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect::<Vec<f32>>();
        // JPEG decoders differ by a few of 255 levels; a level is 0.0175 after normalisation.
        let mean = differences.iter().sum::<f32>() / differences.len() as f32;
        assert!(mean < 0.01 && differences.iter().all(|&difference| difference < 0.09), "{name}: {mean}");
    }
}

#[test]
fn a_model_or_a_preset_is_needed() {
    swiftformer(&["preprocess", "images/china.jpg", "--output", "x.safetensors"]).exits(2).says(&["--model"]);
}

#[test]
fn images_of_different_sizes_are_refused_by_name() {
    let folder = Folder::new();
    folder.copy("hf_tiny/config.json", "m/config.json");
    folder.copy("hf_tiny/model.safetensors", "m/model.safetensors");
    folder.write("m/preprocessor_config.json", br#"{"do_resize": false, "image_processor_type": "ViTImageProcessor"}"#);
    let output = folder.path("out.safetensors");
    let inputs = ["preprocess", "images/china.jpg", "images/flower.jpg", "images/tall.png"];
    let run = swiftformer(&[&inputs[..], &["-m", &folder.path("m"), "--output", &output]].concat()).exits(2);
    run.says(&["images/tall.png", "same size"]);
    assert_eq!(folder.names(""), ["m"]);
}
