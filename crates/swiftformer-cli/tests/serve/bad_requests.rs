//! Requests that are wrong in every way: each gets its own refusal, and its neighbours their answers.

use std::{
    io::Write,
    net::Shutdown,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::support::{Answer, Server, file, read_answer, request, tensor};

/// Runs `bad` while good requests of the same kind go on; all of those must be answered.
fn among_neighbours(server: &Server, bad: impl FnOnce()) {
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let picture = file("images/gray.png");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    server.post("/v1/classify", &picture).is(200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Ends the neighbours also when an assertion fails.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(bad));
        while answered.load(Ordering::Relaxed) < 4 && result.is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    server.get("/readyz").is(200);
}

fn post(server: &Server, target: &str, kind: &str, body: &[u8]) -> Answer {
    server.send("POST", target, &[("content-type", kind)], body)
}

#[test]
fn pictures_that_are_none() {
    let server = Server::start(&["--max-wait-ms", "2"]);
    let jpeg = file("images/china.jpg");
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0".to_vec();
    bomb.extend([0; 64]);
    let mut broken = file("images/rgba.png");
    let middle = broken.len() / 2;
    broken[middle..middle + 40].fill(0x55);
    among_neighbours(&server, || {
        for (body, status, code) in [
            (&b"no picture at all"[..], 415, "not_an_image"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not_an_image"),
            (b"", 400, "no_image"),
            (&jpeg[..3], 422, "image_truncated"),
            (&jpeg[..jpeg.len() / 2], 422, "image_truncated"),
            (&broken, 422, "image_broken"),
            (&bomb, 413, "too_large"),
        ] {
            post(&server, "/v1/classify", "image/jpeg", body).refuses(status, code);
            post(&server, "/v1/embed?timings=split", "application/octet-stream", body).refuses(status, code);
        }
    });
}

#[test]
fn forms_and_json_that_are_none() {
    let server = Server::start(&[]);
    let form = "multipart/form-data; boundary=cut";
    let field = |name: &str| format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n");
    among_neighbours(&server, || {
        for (kind, body, status, code) in [
            ("text/plain", "x".to_owned(), 415, "unsupported_media_type"),
            ("application/x-www-form-urlencoded", "image=x".to_owned(), 415, "unsupported_media_type"),
            ("multipart/form-data", field("image"), 400, "bad_multipart"),
            (form, "no form".to_owned(), 400, "bad_multipart"),
            (form, field("image"), 400, "bad_multipart"),
            (form, format!("{}--cut--\r\n", field("top")), 400, "bad_parameter"),
            (form, format!("{}--cut--\r\n", field("tip")), 400, "unknown_parameter"),
            (form, "--cut--\r\n".to_owned(), 400, "no_image"),
            (form, format!("{0}{0}--cut--\r\n", field("image")), 400, "several_images"),
            ("application/json", "{\"image\": ".to_owned(), 400, "bad_json"),
            ("application/json", "[1, 2]".to_owned(), 400, "bad_json"),
            ("application/json", "{\"image\": [1, 2]}".to_owned(), 400, "bad_json"),
            ("application/json", "{\"image\": \"/9j/\"} {}".to_owned(), 400, "bad_json"),
            ("application/json", "{\"top\": 3}".to_owned(), 400, "no_image"),
            ("application/json", "{\"top\": 0, \"image\": \"\"}".to_owned(), 400, "bad_parameter"),
            ("application/json", "{\"other\": 1}".to_owned(), 400, "unknown_parameter"),
            ("application/json", "{\"image\": \"%%%%\"}".to_owned(), 400, "bad_base64"),
            ("application/json", "{\"image\": \"\"}".to_owned(), 400, "no_image"),
            ("application/json", format!("{}1{}", "[".repeat(9000), "]".repeat(9000)), 400, "bad_json"),
        ] {
            post(&server, "/v1/classify", kind, body.as_bytes()).refuses(status, code);
        }
    });
}

#[test]
fn tensors_that_are_none() {
    let server = Server::start(&[]);
    let good = tensor("pixel_values", &[1, 3, 224, 224], |_| 0.5);
    let mut long = good.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let integers =
        b"@\0\0\0\0\0\0\0{\"pixel_values\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}12345678";
    let integers = [&(integers.len() as u64 - 16).to_le_bytes()[..], &integers[8..]].concat();
    among_neighbours(&server, || {
        for (body, status, code) in [
            (b"x".to_vec(), 400, "bad_safetensors"),
            (Vec::new(), 400, "bad_safetensors"),
            (good[..good.len() - 1].to_vec(), 400, "bad_safetensors"),
            (long, 400, "bad_safetensors"),
            (tensor("pixels", &[1, 3, 224, 224], |_| 0.5), 422, "no_tensor"),
            (integers, 422, "bad_shape"),
            (tensor("pixel_values", &[3, 224, 224], |_| 0.5), 422, "bad_shape"),
            (tensor("pixel_values", &[0, 3, 224, 224], |_| 0.5), 422, "bad_shape"),
            (tensor("pixel_values", &[1, 4, 224, 224], |_| 0.5), 422, "bad_shape"),
            (tensor("pixel_values", &[1, 3, 64, 96], |_| 0.5), 422, "bad_shape"),
            (tensor("pixel_values", &[1, 3, 1, 1], |_| 0.5), 422, "bad_shape"),
        ] {
            post(&server, "/v1/forward", "application/octet-stream", &body).refuses(status, code);
        }
        post(&server, "/v1/forward", "image/jpeg", &good).refuses(415, "unsupported_media_type");
        post(&server, "/v1/forward?outputs=logits,nothing", "", &good).is(415);
        server.post("/v1/forward?outputs=logits,nothing", &good).refuses(400, "unknown_output");
        // Values that are no numbers are the client's own, and nobody else's.
        let not_numbers = tensor("pixel_values", &[1, 3, 224, 224], |_| f32::NAN);
        server.post("/v1/forward", &not_numbers).is(200);
    });
}

#[test]
fn paths_models_methods_and_parameters_that_there_are_not() {
    let server = Server::start(&[]);
    let picture = file("images/gray.png");
    among_neighbours(&server, || {
        for target in [
            "/nothing",
            "/v1/classify/",
            "//v1/classify",
            "/../../../etc/passwd",
            "/assets/../Cargo.toml",
            "/assets/..%2f..%2fCargo.toml",
            "/assets/%2e%2e/%2e%2e/etc/passwd",
            "/assets/app.js%00.html",
            "/%ff%fe",
        ] {
            server.get(target).refuses(404, "not_found");
        }
        // Paths that are no text are refused by the router, in our form all the same.
        for target in ["/assets/%ff", "/v2/models/%ff%fe/ready"] {
            let answer = server.get(target).is(400);
            assert!(!answer.json()["error"].is_null());
        }
        server.post("/v1/classify?model=../../etc/passwd", &picture).refuses(404, "unknown_model");
        server.post("/v1/classify?model=", &picture).refuses(404, "unknown_model");
        for (method, target) in
            [("GET", "/v1/classify"), ("POST", "/healthz"), ("DELETE", "/v1/models"), ("TRACE", "/"), ("X", "/")]
        {
            server.send(method, target, &[], b"").refuses(405, "method_not_allowed");
        }
        for query in
            ["top=0", "top=99999999999999999999", "top=3%20", "heatmap=yes", "class=-1", "class=10", "timings=no"]
        {
            server.post(&format!("/v1/classify?{query}"), &picture).refuses(400, "bad_parameter");
        }
        server.post("/v1/classify?url=http://example.com/cat.jpg", &picture).refuses(400, "unknown_parameter");
        server.send("POST", "/v1/classify", &[("x-timeout-ms", "soon")], &picture).refuses(400, "bad_parameter");
        server.send("POST", "/v1/classify", &[("x-timeout-ms", "0")], &picture).refuses(504, "timeout");
        server
            .send("POST", "/v1/classify", &[("content-encoding", "gzip")], &picture)
            .refuses(415, "unsupported_media_type");
    });
}

#[test]
fn what_is_no_http() {
    let server = Server::start(&["--header-timeout-s", "0.5", "--body-timeout-s", "0.5", "--max-body-mb", "1"]);
    let picture = file("images/gray.png");
    among_neighbours(&server, || {
        for (bytes, status, code) in [
            (b"hello\r\n\r\n".to_vec(), 400, "bad_http"),
            (b"GET / HTTP/1.1\r\nno header\r\n\r\n".to_vec(), 400, "bad_http"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400, "bad_http"),
            (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000)).into_bytes(), 431, "large_headers"),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200)).into_bytes(), 431, "large_headers"),
            (
                b"POST /v1/classify HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(),
                400,
                "bad_http",
            ),
            (b"POST /v1/classify HTTP/1.1\r\ncontent-length: -5\r\n\r\nhello".to_vec(), 400, "bad_http"),
            (
                b"POST /v1/classify HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nhello\r\n".to_vec(),
                400,
                "body_incomplete",
            ),
        ] {
            server.raw(&bytes).refuses(status, code);
        }
        let long = server.raw(format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(70_000)).as_bytes());
        assert!(matches!(long.status, 414 | 431), "{long:?}");
        // Slow: half the headers, half the body.
        server.raw(b"POST /v1/classify HTTP/1.1\r\nhost: x\r\n").refuses(408, "slow_headers");
        server.raw(b"POST /v1/classify HTTP/1.1\r\ncontent-length: 500\r\n\r\nhalf").refuses(408, "slow_body");
        // Too large: told before the end is sent, and the answer arrives although the client still sends.
        let large = vec![0xff; 3 << 20];
        post(&server, "/v1/classify", "image/jpeg", &large).refuses(413, "too_large");
        let mut chunked = b"POST /v1/classify HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for piece in large.chunks(1 << 16) {
            chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
            chunked.extend(piece);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        server.raw(&chunked).refuses(413, "too_large");
        // A client that goes away in the middle.
        let mut stream = server.connect();
        let whole = request("POST", "/v1/classify", &[], &picture);
        stream.write_all(&whole[..whole.len() - 9]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        drop(read_answer(&mut stream));
    });
}

#[test]
fn a_connection_goes_on_behind_a_refusal() {
    let server = Server::start(&["--max-body-mb", "1"]);
    let picture = file("images/gray.png");
    let mut stream = server.connect();
    for _ in 0..3 {
        stream
            .write_all(&request("POST", "/v1/classify", &[("content-type", "image/png")], &vec![7; 2 << 20]))
            .unwrap();
        read_answer(&mut stream).unwrap().refuses(413, "too_large");
        stream.write_all(&request("POST", "/v1/classify", &[("content-type", "text/plain")], &picture)).unwrap();
        read_answer(&mut stream).unwrap().refuses(415, "unsupported_media_type");
        stream.write_all(&request("POST", "/v1/classify", &[], &picture)).unwrap();
        read_answer(&mut stream).unwrap().is(200);
    }
}
