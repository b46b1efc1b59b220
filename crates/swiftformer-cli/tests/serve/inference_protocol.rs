//! The Open Inference Protocol, as KServe's and Triton's clients speak it.

use bytes::Bytes;
use serde_json::{Value, json};
use swiftformer::weights::safetensors;

use crate::support::{Answer, Server, tensor};

const IMAGE: usize = 3 * 224 * 224;

fn value(index: usize) -> f32 {
    (index % 251) as f32 / 125.0 - 1.0
}

fn infer(server: &Server, request: &Value, bytes: &[u8]) -> Answer {
    let json = request.to_string();
    let length = json.len().to_string();
    let headers = [("inference-header-content-length", length.as_str())];
    let headers = if bytes.is_empty() { &[][..] } else { &headers };
    server.send("POST", "/v2/models/tiny/infer", headers, &[json.as_bytes(), bytes].concat())
}

fn expected(server: &Server) -> Vec<f32> {
    let answer = server.post("/v1/forward", &tensor("pixel_values", &[1, 3, 224, 224], value)).is(200);
    safetensors::read(&Bytes::from(answer.body)).unwrap().0["logits"].to_f32()
}

#[test]
fn metadata_tell_names_types_and_shapes() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/v2").is(200).json()["name"], "swiftformer");
    // KServe's client reads these words.
    assert_eq!(server.get("/v2/health/live").is(200).json(), json!({ "live": true }));
    assert_eq!(server.get("/v2/health/ready").is(200).json(), json!({ "ready": true }));
    let model = server.get("/v2/models/tiny").is(200).json();
    assert_eq!(model["inputs"], json!([{ "name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, 224, 224] }]));
    assert_eq!(model["outputs"][0], json!({ "name": "logits", "datatype": "FP32", "shape": [-1, 10] }));
    for target in ["/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready", "/v2/models/tiny/config"] {
        server.get(target).is(200);
    }
    let index = server.post("/v2/repository/index", b"").is(200).json();
    assert_eq!(index, json!([{ "name": "tiny", "version": "1", "state": "READY" }]));
    server.post("/v2/repository/models/tiny/load", b"{}").is(200);
    for missing in ["/v2/models/other", "/v2/models/tiny/versions/2", "/v2/nothing"] {
        assert!(server.get(missing).is(404).json()["error"].is_string(), "{missing}");
    }
}

#[test]
fn inference_is_the_same_in_json_and_in_bytes() {
    let server = Server::start(&[]);
    let expected = expected(&server);
    let values: Vec<f32> = (0..IMAGE).map(value).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let input = |more: (&str, Value)| {
        let mut input = json!({ "name": "pixel_values", "shape": [1, 3, 224, 224], "datatype": "FP32" });
        input[more.0] = more.1;
        json!({ "id": "seven", "inputs": [input], "outputs": [{ "name": "logits" }] })
    };
    let answer = infer(&server, &input(("data", json!(values))), b"").is(200).json();
    assert_eq!((&answer["id"], &answer["model_name"]), (&json!("seven"), &json!("tiny")));
    let found: Vec<f32> =
        answer["outputs"][0]["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    assert_eq!(found, expected);
    let mut request = input(("parameters", json!({ "binary_data_size": bytes.len() })));
    request["outputs"] = json!([
        { "name": "logits", "parameters": { "binary_data": true } },
        { "name": "pre_logits" },
        { "name": "last_hidden_state", "parameters": { "binary_data": true } },
    ]);
    let answer = infer(&server, &request, &bytes).is(200);
    let length: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    let (head, rest) = answer.body.split_at(length);
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 4 * expected.len());
    assert_eq!(head["outputs"][1]["data"].as_array().unwrap().len(), 48);
    assert_eq!(head["outputs"][2]["shape"], json!([1, 48, 7, 7]));
    let logits: Vec<f32> =
        rest[..4 * expected.len()].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert!(logits.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    assert_eq!(rest.len(), 4 * (expected.len() + 48 * 49));
    request["outputs"] = json!([{ "name": "logits", "parameters": { "classification": 2 } }]);
    let answer = infer(&server, &request, &bytes).is(200).json();
    let best = (0..expected.len()).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
    assert_eq!((&answer["outputs"][0]["datatype"], &answer["outputs"][0]["shape"]), (&json!("BYTES"), &json!([1, 2])));
    // This model's classes have no names.
    assert!(answer["outputs"][0]["data"][0].as_str().unwrap().ends_with(&format!(":{best}")), "{answer}");
}

#[test]
fn requests_that_do_not_add_up_are_refused_with_a_text() {
    let server = Server::start(&[]);
    let input = json!({ "name": "pixel_values", "shape": [1, 3, 2, 2], "datatype": "FP32", "data": [1.0] });
    for (request, status) in [
        (json!({ "inputs": [] }), 400),
        (json!({ "inputs": [input] }), 400),
        (json!({ "inputs": [{ "name": "other", "shape": [1], "datatype": "FP32", "data": [1] }] }), 400),
        (
            json!({ "inputs": [{ "name": "pixel_values", "shape": [1, 1, 1, 1], "datatype": "FP32", "data": [1] }] }),
            422,
        ),
        (json!("text"), 400),
    ] {
        let answer = infer(&server, &request, b"").is(status);
        assert!(answer.json()["error"].is_string(), "{request}");
    }
    let body = b"{\"inputs\": []}";
    for length in ["9999", "-1", "x"] {
        let headers = [("inference-header-content-length", length)];
        server.send("POST", "/v2/models/tiny/infer", &headers, body).is(400);
    }
    server.send("POST", "/v2/models/other/infer", &[], body).is(404);
}
