//! Many clients, slow clients, and what is written down.

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use crate::support::{Server, file, read_answer, request};

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let server = Server::start(&["--max-connections", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut held {
        stream.write_all(&request("GET", "/healthz", &[], b"")).unwrap();
        read_answer(stream).unwrap().is(200);
    }
    let answer = server.get("/healthz").refuses(503, "connections_full");
    assert_eq!(answer.header("retry-after"), Some("1"));
    held.pop();
    let answered = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(5));
        server.get("/healthz").status == 200
    });
    assert!(answered);
}

#[test]
fn slow_clients_that_claim_much_keep_nobody_out() {
    let server = Server::start(&["--max-body-mb", "1", "--max-bodies-mb", "4"]);
    let claims: Vec<_> = (0..12)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"POST /v1/classify HTTP/1.1\r\ncontent-length: 1000000\r\n\r\nfew bytes").unwrap();
            stream
        })
        .collect();
    thread::sleep(Duration::from_millis(100));
    server.post("/v1/classify", &file("images/gray.png")).is(200);
    drop(claims);
    // What really arrives is counted.
    let sent: Vec<_> = (0..12)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"POST /v1/classify HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n").unwrap();
            stream.write_all(&vec![0; 900_000]).unwrap();
            stream
        })
        .collect();
    let refused = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(5));
        server.metric("swiftformer_rejections_total{reason=\"bodies_full\"}") > 0.0
    });
    assert!(refused);
    drop(sent);
}

#[test]
fn idle_connections_are_closed_and_slow_ones_answered() {
    let server = Server::start(&["--idle-timeout-s", "0.6", "--header-timeout-s", "5"]);
    let mut stream = server.connect();
    let bytes = request("GET", "/healthz", &[], b"");
    // A slow client within its time: a byte now and then.
    for piece in bytes.chunks(bytes.len() / 4 + 1) {
        stream.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    read_answer(&mut stream).unwrap().is(200);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "an idle connection is closed without a word");
}

#[test]
fn the_log_tells_what_happened_and_nothing_of_the_content() {
    let server = Server::start(&[]);
    let secret = "/v1/classify?model=secret-in-query";
    server.send("POST", secret, &[("x-request-id", "trace-1")], &file("images/gray.png")).refuses(404, "unknown_model");
    let answer = server.send("POST", "/v1/classify", &[("x-request-id", "bad id")], &file("images/gray.png")).is(200);
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert!(id.len() >= 8 && id != "bad id");
    let line = server.logged_where(|line| line["request_id"] == "trace-1");
    assert_eq!(
        (&line["status"], &line["path"], &line["code"]),
        (&404.into(), &"/v1/classify".into(), &"unknown_model".into())
    );
    let line = server.logged_where(|line| line["request_id"] == id.as_str());
    assert_eq!((&line["status"], &line["model"], &line["level"]), (&200.into(), &"tiny".into(), &"info".into()));
    assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(answer.json()["request_id"], id.as_str());
}

#[test]
fn nothing_of_a_body_stands_in_the_log_or_in_the_answer() {
    let server = Server::start(&[]);
    let secret = "c2VjcmV0".repeat(500);
    let infer = |rest: &str| format!(r#"{{"inputs": [{{"name": "pixel_values", {rest}}}]}}"#);
    for (target, body) in [
        ("/v1/classify", format!("\"{secret}\"")),
        ("/v1/classify", format!(r#"{{"image": {{"{secret}": "{secret}"}}}}"#)),
        ("/v1/classify", format!(r#"{{"top": ["{secret}"], "image": ""}}"#)),
        ("/v1/classify", format!(r#"{{"image": "{secret}!"}}"#)),
        ("/v2/models/tiny/infer", format!("\"{secret}\"")),
        ("/v2/models/tiny/infer", infer(&format!(r#""shape": "{secret}""#))),
        ("/v2/models/tiny/infer", infer(&format!(r#""shape": [1], "datatype": "FP32", "data": "{secret}""#))),
        ("/v2/models/tiny/infer", infer(&format!(r#""shape": [1], "datatype": "FP32", "data": ["{secret}"]"#))),
    ] {
        let answer = server.send("POST", target, &[("content-type", "application/json")], body.as_bytes()).is(400);
        assert!(!answer.text().contains("c2VjcmV0") && answer.body.len() < 500, "{}", answer.text());
    }
    let (path, method) = (format!("/{}", "long".repeat(2000)), "M".repeat(2000));
    server.send(&method, &path, &[], b"").refuses(404, "not_found");
    let last = server.logged_where(|line| line["status"] == 404);
    assert!(last.to_string().len() < 1000, "{last}");
    let text = format!("{:?}", server.log());
    assert!(!text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn metrics_count_requests_stages_and_batches() {
    let server = Server::start(&[]);
    server.post("/v1/classify?timings=split", &file("images/china.jpg")).is(200);
    server.post("/v1/classify", b"no picture").is(415);
    for invented in ["BREW", "WHEN"] {
        server.send(invented, "/healthz", &[], b"").is(405);
    }
    assert_eq!(server.metric("swiftformer_requests_total{endpoint=\"/healthz\",method=\"other\",status=\"405\"}"), 2.0);
    let answer = server.get("/metrics").is(200);
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for start in [
        "swiftformer_requests_total{endpoint=\"/v1/classify\",method=\"POST\",status=\"200\"}",
        "swiftformer_requests_total{endpoint=\"/v1/classify\",method=\"POST\",status=\"415\"}",
        "swiftformer_stage_seconds_count{stage=\"queue\"}",
        "swiftformer_stage_seconds_count{stage=\"decode\"}",
        "swiftformer_stage_seconds_count{stage=\"resize\"}",
        "swiftformer_stage_seconds_count{stage=\"inference\"}",
        "swiftformer_batch_images_count",
        "swiftformer_in_flight",
    ] {
        assert_eq!(server.metric(start), 1.0, "{start}");
    }
    assert_eq!(server.metric("swiftformer_request_seconds_count{endpoint=\"/v1/classify\"}"), 2.0);
    assert!(server.metric("swiftformer_connections ") >= 1.0);
    assert!(server.metric("swiftformer_process_resident_memory_bytes") > 1e6);
}
