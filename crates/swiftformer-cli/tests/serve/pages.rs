//! The page and the documentation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Server, file};

#[test]
fn pages_come_from_the_program_and_load_nothing_from_elsewhere() {
    let server = Server::start(&[]);
    for (target, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/docs.js", "text/javascript; charset=utf-8"),
        ("/assets/heatmap.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/favicon.ico", "image/svg+xml"),
    ] {
        let answer = server.get(target).is(200);
        assert_eq!(answer.header("content-type"), Some(kind), "{target}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let text = answer.text().replace("http://www.w3.org/", "");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("src=\"//"), "{target}");
        // The policy forbids scripts and styles within the page.
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("onclick="), "{target}");
    }
    server.get("/assets/nothing.js").refuses(404, "not_found");
}

/// Every path that is described is answered, and not with 404 or 405.
#[test]
fn the_description_is_that_of_the_server() {
    let server = Server::start(&[]);
    let api = server.get("/openapi.json").is(200).json();
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut described = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(described.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            let target = path.replace("{model}", "tiny").replace("{version}", "1");
            let answer = server.send(&method.to_uppercase(), &target, &[], b"");
            assert!(!matches!(answer.status, 404 | 405 | 500), "{method} {path}: {answer:?}");
        }
    }
    for route in
        ["classify", "embed", "forward", "models", "reload", "live", "ready", "metrics", "infer", "inferOfVersion"]
    {
        assert!(described.contains(route), "{route}");
    }
}

/// What of `value` is not as `schema`, of the few words that the description uses, has it.
fn differences(api: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(path) = schema["$ref"].as_str() {
        let schema = api.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} leads nowhere"));
        return differences(api, schema, value, place);
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{place}: type {other}"),
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let mut found = Vec::new();
    if !kinds.iter().any(|kind| is(kind)) {
        found.push(format!("{place} is {value}, described as {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        found.push(format!("{place} is {value}, which is not listed"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value[name].is_null() && value.get(name).is_none() {
            found.push(format!("{place}.{name} is missing"));
        }
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        match &schema["properties"][name] {
            Value::Null if schema["additionalProperties"] == json!(false) => {
                found.push(format!("{place}.{name} is not described"));
            }
            Value::Null => {}
            inner => found.extend(differences(api, inner, part, &format!("{place}.{name}"))),
        }
    }
    for part in value.as_array().into_iter().flatten() {
        found.extend(differences(api, &schema["items"], part, &format!("{place}[]")));
    }
    found
}

#[test]
fn answers_are_as_they_are_described() {
    let server = Server::start(&[]);
    let api = server.get("/openapi.json").is(200).json();
    let picture = file("images/china.jpg");
    let values: Vec<f32> = vec![0.5; 3 * 224 * 224];
    let infer = json!({ "id": "7", "inputs": [
        { "name": "pixel_values", "shape": [1, 3, 224, 224], "datatype": "FP32", "data": values }
    ] });
    let infer = infer.to_string().into_bytes();
    for (method, target, path, body) in [
        ("POST", "/v1/classify", "/v1/classify", &picture[..]),
        ("POST", "/v1/classify?timings=split&top=2", "/v1/classify", &picture),
        ("POST", "/v1/classify?heatmap=png", "/v1/classify", &picture),
        ("POST", "/v1/classify", "/v1/classify", b"no picture"),
        ("POST", "/v1/embed", "/v1/embed", &picture),
        ("POST", "/v1/embed?encoding=base64", "/v1/embed", &picture),
        ("GET", "/v1/models", "/v1/models", b""),
        ("POST", "/v1/models/reload", "/v1/models/reload", b""),
        ("GET", "/healthz", "/healthz", b""),
        ("GET", "/readyz", "/readyz", b""),
        ("GET", "/v2", "/v2", b""),
        ("GET", "/v2/health/live", "/v2/health/live", b""),
        ("GET", "/v2/health/ready", "/v2/health/ready", b""),
        ("GET", "/v2/models/tiny", "/v2/models/{model}", b""),
        ("GET", "/v2/models/other", "/v2/models/{model}", b""),
        ("GET", "/v2/models/tiny/ready", "/v2/models/{model}/ready", b""),
        ("POST", "/v2/models/tiny/infer", "/v2/models/{model}/infer", &infer),
        ("POST", "/v2/repository/index", "/v2/repository/index", b""),
    ] {
        let answer = server.send(method, target, &[], body);
        let responses = &api["paths"][path][method.to_lowercase()]["responses"];
        let status = answer.status.to_string();
        let response = responses.get(&status).unwrap_or(&responses["4XX"]);
        let response = match response["$ref"].as_str() {
            Some(path) => api.pointer(path.trim_start_matches('#')).unwrap(),
            None => response,
        };
        let schema = &response["content"]["application/json"]["schema"];
        let found = differences(&api, schema, &answer.json(), target);
        assert!(found.is_empty(), "{found:#?}");
        if answer.status == 200 && !response["content"]["application/json"]["example"].is_null() {
            let example = &response["content"]["application/json"]["example"];
            let found = differences(&api, schema, example, &format!("the example of {path}"));
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}
