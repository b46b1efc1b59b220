use std::collections::HashMap;

use super::{DIALECTS, at, of_channels, print, tiny};
use swiftformer::{
    checkpoint::Checkpoint,
    config::Dialect,
    export::{Artifact, ExportOptions, FloatType, Format, NormForm, OutputKind},
};

struct Layer {
    kind: String,
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    params: HashMap<i32, String>,
}

impl Layer {
    fn int(&self, key: i32) -> usize {
        self.params.get(&key).map_or(0, |value| value.parse().unwrap())
    }

    /// Numbers of weights: those with a flag before them, and those without.
    fn weights(&self) -> (Option<usize>, usize) {
        match self.kind.as_str() {
            "Convolution" | "ConvolutionDepthWise" => (Some(self.int(6)), self.int(0)),
            "InnerProduct" => (Some(self.int(2)), self.int(0)),
            "Scale" => (None, 2 * self.int(0)),
            "Normalize" => (None, self.int(3)),
            _ => (None, 0),
        }
    }
}

fn files(checkpoint: &Checkpoint, options: &ExportOptions) -> HashMap<String, Vec<u8>> {
    match print(Format::Ncnn, checkpoint, options).unwrap() {
        Artifact::File(_) => panic!("one file"),
        Artifact::Folder(files) => files.into_iter().collect(),
    }
}

/// Reads the layers, and checks what every network has to keep.
fn read(files: &HashMap<String, Vec<u8>>) -> Vec<Layer> {
    let text = std::str::from_utf8(&files["model.ncnn.param"]).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("7767517"));
    let counts: Vec<usize> = lines.next().unwrap().split(' ').map(|count| count.parse().unwrap()).collect();
    let layers: Vec<Layer> = lines.map(layer).collect();
    let blobs: usize = layers.iter().map(|layer| layer.outputs.len()).sum();
    assert_eq!(counts, [layers.len(), blobs]);
    let mut unread = HashMap::new();
    for layer in &layers {
        assert!(layer.name.len() < 256 && !layer.name.is_empty());
        for blob in &layer.inputs {
            assert!(unread.remove(blob).is_some(), "{}: {blob} is not there, or has a reader already", layer.name);
        }
        for blob in &layer.outputs {
            assert!(unread.insert(blob, &layer.name).is_none(), "{blob} is written twice");
        }
    }
    let info: serde_json::Value = serde_json::from_slice(&files["model.json"]).unwrap();
    let mut outputs: Vec<&str> =
        info["outputs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut left: Vec<&str> = unread.keys().map(|blob| blob.as_str()).collect();
    outputs.sort_unstable();
    left.sort_unstable();
    assert_eq!(left, outputs, "blobs that nothing reads are the outputs");
    check_weights(&layers, &files["model.ncnn.bin"]);
    layers
}

fn layer(line: &str) -> Layer {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (kind, name) = (words.next().unwrap(), words.next().unwrap());
    let [inputs, outputs] = [0; 2].map(|_: i32| words.next().unwrap().parse::<usize>().unwrap());
    let inputs = words.by_ref().take(inputs).collect();
    let outputs = words.by_ref().take(outputs).collect();
    let params = words.map(|word| {
        let (key, value) = word.split_once('=').unwrap();
        (key.parse().unwrap(), value.to_owned())
    });
    Layer { kind, name, inputs, outputs, params: params.collect() }
}

fn check_weights(layers: &[Layer], mut bytes: &[u8]) {
    for layer in layers {
        let (flagged, plain) = layer.weights();
        if let Some(count) = flagged {
            let length = match bytes[..4].try_into().map(u32::from_le_bytes).unwrap() {
                0 => 4 * count,
                0x0130_6B47 => (2 * count).next_multiple_of(4),
                flag => panic!("{}: flag {flag:#x}", layer.name),
            };
            bytes = &bytes[4 + length..];
        }
        bytes = &bytes[4 * plain..];
    }
    assert!(bytes.is_empty(), "{} bytes that no layer takes", bytes.len());
}

#[test]
fn every_dialect_size_and_output_is_a_whole_network() {
    for dialect in DIALECTS {
        for size in [[64, 64], [65, 95], [33, 47]] {
            for outputs in [OutputKind::Logits, OutputKind::Probabilities, OutputKind::Embedding, OutputKind::Features]
            {
                read(&files(&tiny(dialect), &ExportOptions { outputs, ..at(size) }));
            }
        }
    }
}

#[test]
fn halves_are_aligned_to_words() {
    let layers = read(&files(&tiny(Dialect::L2), &ExportOptions { precision: FloatType::F16, ..at([64, 64]) }));
    assert!(layers.iter().any(|layer| layer.kind == "Convolution"));
}

#[test]
fn a_norm_over_the_channels_is_one_layer() {
    let kinds = |norm| {
        let layers = read(&files(&tiny(Dialect::Sum), &ExportOptions { norm, ..at([64, 64]) }));
        let count = |kind: &str| layers.iter().filter(|layer| layer.kind == kind).count();
        // Beside the norms of queries and keys, the global query of each of the four stages is a reduction.
        (count("Normalize"), count("Reduction"))
    };
    assert_eq!(kinds(NormForm::Portable), (8, 4));
    assert_eq!(kinds(NormForm::Qnn), (0, 12));
}

#[test]
fn the_input_is_width_height_and_channels() {
    for (with_preprocessing, blob) in [(false, "pixel_values"), (true, "image")] {
        let files = files(&tiny(Dialect::Sum), &ExportOptions { with_preprocessing, ..at([65, 95]) });
        let layers = read(&files);
        let input = &layers[0];
        assert_eq!((input.kind.as_str(), [0, 1, 2].map(|key| input.int(key))), ("Input", [95, 65, 3]));
        let info: serde_json::Value = serde_json::from_slice(&files["model.json"]).unwrap();
        assert_eq!(info["input"]["blob"], blob);
        // Pixels are normalised by the network or by the program, never by both.
        assert_eq!(info["substract_mean_normalize"].is_null(), with_preprocessing);
        assert_eq!(layers.iter().any(|layer| layer.kind == "Scale"), with_preprocessing);
    }
}

#[test]
fn a_model_of_one_channel_takes_gray_pixels() {
    for (channels, pixels) in [(1, "GRAY".into()), (3, "RGB".into()), (5, serde_json::Value::Null)] {
        let files = files(&of_channels(channels), &at([64, 64]));
        read(&files);
        let info: serde_json::Value = serde_json::from_slice(&files["model.json"]).unwrap();
        assert_eq!(info["input"]["pixels"], pixels);
    }
}

#[test]
fn labels_are_a_file_of_their_own() {
    let checkpoint = tiny(Dialect::Sum);
    let files = files(&checkpoint, &ExportOptions { embed_labels: true, ..at([64, 64]) });
    let text = std::str::from_utf8(&files["labels.txt"]).unwrap();
    assert_eq!(text.lines().count(), checkpoint.config().num_labels);
    assert_eq!(text.lines().next(), Some(checkpoint.config().label(0).as_str()));
}
