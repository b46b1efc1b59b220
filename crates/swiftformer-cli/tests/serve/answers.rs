//! What the server says is what the program says.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use swiftformer::weights::safetensors;

use crate::support::{Server, file, program, tensor};

fn printed(mut command: Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn multipart(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n").bytes(),
        );
        body.extend(*value);
        body.extend(b"\r\n");
    }
    body.extend(b"--cut--\r\n");
    body
}

/// The classes of an answer: index, label and score without the last digit, where threads could differ.
fn classes(answer: &Value) -> Vec<(u64, String, i64)> {
    let class = |class: &Value| {
        let score = (class["score"].as_f64().unwrap() * 1e5).round() as i64;
        (class["index"].as_u64().unwrap(), class["label"].as_str().unwrap().to_owned(), score)
    };
    answer["top"].as_array().unwrap().iter().map(class).collect()
}

#[test]
fn classes_are_those_of_the_command_in_every_form() {
    let server = Server::start(&[]);
    let picture = file("images/china.jpg");
    let expected =
        printed(program(&["classify", "images/china.jpg", "-m", "hf_tiny", "--top", "3", "--format", "json"]));
    let expected = classes(&expected);
    assert_eq!(expected.len(), 3);
    let json = json!({ "image": STANDARD.encode(&picture), "top": 3 }).to_string();
    let url =
        json!({ "image": format!("data:image/jpeg;base64,{}", STANDARD.encode(&picture)), "top": "3" }).to_string();
    let form = multipart(&[("top", b"3"), ("image", &picture)]);
    for (target, kind, body) in [
        ("/v1/classify?top=3", "image/jpeg", &picture),
        ("/v1/classify?top=3&model=tiny", "application/octet-stream", &picture),
        ("/v1/classify?top=3&timings=split", "image/jpeg", &picture),
        ("/v1/classify?top=3&heatmap=grid", "image/jpeg", &picture),
        ("/v1/classify", "application/json", &json.into_bytes()),
        ("/v1/classify", "application/json; charset=utf-8", &url.into_bytes()),
        ("/v1/classify", "multipart/form-data; boundary=cut", &form),
    ] {
        let answer = server.send("POST", target, &[("content-type", kind)], body).is(200);
        assert_eq!(classes(&answer.json()), expected, "{target} {kind}");
        assert!(answer.header("server-timing").unwrap().contains("inference;dur="));
    }
}

#[test]
fn odd_pictures_are_answered() {
    let server = Server::start(&[]);
    let wide = swiftformer::image::RgbImage::filled(20_000, 1, [200, 100, 0]);
    let mut png = Vec::new();
    swiftformer::image::encode_png(&wide, &mut png).unwrap();
    server.post("/v1/classify", &png).is(200);
    for name in ["one_pixel.png", "cmyk.jpg", "gray16.png", "rgba.png", "animated.gif", "exif_6.jpg", "small.bmp"] {
        let answer = server.post("/v1/classify?timings=split", &file(&format!("images/{name}"))).is(200).json();
        assert_eq!(answer["top"].as_array().unwrap().len(), 5, "{name}");
        assert!(answer["image"]["width"].as_u64().unwrap() >= 1, "{name}");
        assert!(answer["timings_ms"]["resize"].as_f64().unwrap() > 0.0, "{name}");
    }
}

#[test]
fn heat_maps_come_as_values_and_as_a_picture() {
    let server = Server::start(&[]);
    let answer = server.post("/v1/classify?heatmap=grid&top=2&class=7", &file("images/china.jpg")).is(200).json();
    assert_eq!((&answer["heatmap"]["rows"], &answer["heatmap"]["columns"]), (&json!(7), &json!(7)));
    assert_eq!(answer["heatmap"]["area"], json!({ "left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0 }));
    let top = answer["top"].as_array().unwrap();
    assert!(top.len() >= 2 && top.iter().any(|class| class["index"] == 7));
    for class in top {
        let values: Vec<f64> =
            class["heatmap"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(values.len(), 49);
        assert!(values.contains(&0.0) && values.contains(&1.0), "{values:?}");
    }
    let answer = server.post("/v1/classify?heatmap=png", &file("images/china.jpg")).is(200).json();
    assert_eq!(answer["heatmap"]["class"], answer["top"][0]["index"]);
    let png = STANDARD.decode(answer["heatmap"]["png"].as_str().unwrap()).unwrap();
    let picture =
        swiftformer::image::decode(&png, swiftformer::image::Orientation::Ignore, &Default::default()).unwrap();
    assert_eq!((picture.width(), picture.height()), (640, 427));
}

#[test]
fn embeddings_are_those_of_the_command() {
    let server = Server::start(&[]);
    let expected = printed(program(&["embed", "images/china.jpg", "-m", "hf_tiny"]));
    let expected: Vec<f64> =
        expected["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let picture = file("images/china.jpg");
    let answer = server.post("/v1/embed", &picture).is(200).json();
    let found: Vec<f64> = answer["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(answer["dimensions"], expected.len());
    let bytes = server.post("/v1/embed?encoding=base64", &picture).is(200).json();
    let bytes = STANDARD.decode(bytes["embedding"].as_str().unwrap()).unwrap();
    let decoded = bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
    for ((found, decoded), expected) in found.iter().zip(decoded).zip(&expected) {
        assert!((found - expected).abs() < 1e-5 && (found - decoded).abs() < 1e-6);
    }
}

#[test]
fn tensors_are_those_of_the_command() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let images = tensor("pixel_values", &[3, 3, 224, 224], |index| (index % 997) as f32 / 500.0 - 1.0);
    let (input, output) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    std::fs::write(&input, &images).unwrap();
    let arguments =
        ["forward", input.to_str().unwrap(), "-m", "hf_tiny", "--output", output.to_str().unwrap(), "--hidden-states"];
    assert!(program(&arguments).status().unwrap().success());
    let expected = safetensors::read(&std::fs::read(&output).unwrap().into()).unwrap().0;
    let answer = server.post("/v1/forward?outputs=logits,last_hidden_state,hidden_states", &images).is(200);
    let found = safetensors::read(&Bytes::from(answer.body)).unwrap().0;
    assert_eq!(found.len(), expected.len());
    for (name, tensor) in &expected {
        assert_eq!(found[name].shape(), tensor.shape(), "{name}");
        let pairs = found[name].to_f32().into_iter().zip(tensor.to_f32());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0)), "{name}");
    }
    let logits = server.post("/v1/forward", &images).is(200);
    let logits = safetensors::read(&Bytes::from(logits.body)).unwrap().0;
    assert_eq!(logits.keys().collect::<Vec<_>>(), ["logits"]);
    assert_eq!(logits["logits"].shape(), expected["logits"].shape());
}

#[test]
fn two_models_answer_by_name_and_the_first_by_default() {
    let server = Server::start(&["--model", "other=timm_tiny"]);
    let models = server.get("/v1/models").is(200).json();
    let names: Vec<&str> =
        models["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tiny", "other"]);
    assert_eq!((&models["models"][0]["default"], &models["models"][1]["dialect"]), (&json!(true), &json!("l2")));
    let picture = file("images/flower.jpg");
    assert_eq!(server.post("/v1/classify", &picture).is(200).json()["model"], "tiny");
    assert_eq!(server.post("/v1/classify?model=other", &picture).is(200).json()["model"], "other");
}
