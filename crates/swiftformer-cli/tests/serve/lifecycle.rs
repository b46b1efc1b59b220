//! Beginning, changing models, ending: no request is lost.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Server, connect, file, program, read_answer, request, testdata};

/// Asks on kept connections until `done`; every request that is sent must be answered with 200 unless its connection was
/// closed before a byte of it was answered, which only the end of the server may do.
fn load(server: &Server, threads: usize, during: impl FnOnce(), may_end: bool) -> usize {
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let bytes = request("POST", "/v1/classify", &[], &file("images/gray.png"));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut stream = None;
                while !done.load(Ordering::Relaxed) {
                    let mut open = match stream.take().map_or_else(|| connect(server.address), Ok) {
                        Ok(open) => open,
                        Err(error) => {
                            assert!(may_end, "no connection: {error}");
                            return;
                        }
                    };
                    open.write_all(&bytes).unwrap();
                    let answer =
                        read_answer(&mut open).unwrap_or_else(|error| panic!("a request was lost: {error}")).is(200);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.header("connection") != Some("close") {
                        stream = Some(open);
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 2 * threads {
            thread::sleep(Duration::from_millis(2));
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        done.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    answered.into_inner()
}

#[test]
fn sigterm_answers_what_was_accepted() {
    let mut server = Server::start(&[]);
    load(
        &server,
        6,
        || {
            server.signal("TERM");
            server.logged("ended");
        },
        true,
    );
    assert_eq!(server.wait().code(), Some(0));
    assert!(connect(server.address).is_err());
}

#[test]
fn the_server_is_not_ready_while_it_drains_and_still_answers() {
    let mut server = Server::start(&["--drain-delay-s", "2"]);
    server.signal("TERM");
    server.logged("ending");
    server.get("/readyz").refuses(503, "draining");
    server.get("/healthz").is(200);
    let answer = server.post("/v1/classify", &file("images/gray.png")).is(200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn ctrl_c_ends_with_130() {
    let mut server = Server::start(&[]);
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(130));
}

fn put(from: &str, folder: &Path, weights: &[u8]) {
    for name in ["config.json", "preprocessor_config.json"] {
        fs::copy(testdata(from).join(name), folder.join(name)).unwrap();
    }
    // Beside it, then into its place.
    fs::write(folder.join("new"), weights).unwrap();
    fs::rename(folder.join("new"), folder.join("model.safetensors")).unwrap();
}

#[test]
fn a_model_is_exchanged_under_load_and_a_bad_file_keeps_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let good = file("hf_tiny/model.safetensors");
    put("hf_tiny", folder.path(), &good);
    let server = Server::start_with(&format!("m={}", folder.path().display()), &[]);
    let generation = || server.get("/v1/models").is(200).json()["models"][0]["generation"].clone();
    assert_eq!(generation(), 1);
    load(
        &server,
        3,
        || {
            let answer = server.post("/v1/models/reload", b"").is(200).json();
            assert_eq!((&answer["reloaded"][0]["ok"], generation()), (&json!(true), json!(2)));
            for bad in [&b""[..], b"no weights", &good[..good.len() / 2]] {
                put("hf_tiny", folder.path(), bad);
                let answer = server.post("/v1/models/reload?model=m", b"").is(422).json();
                assert_eq!((&answer["error"]["code"], generation()), (&json!("reload_failed"), json!(2)));
                assert!(answer["reloaded"][0]["error"].as_str().unwrap().contains("model.safetensors"), "{answer}");
            }
            // Weights that are numbers no more: found by running the model once.
            let mut damaged = good.clone();
            let end = damaged.len();
            damaged[end - 4000..].fill(0xff);
            put("hf_tiny", folder.path(), &damaged);
            server.post("/v1/models/reload", b"").is(422);
            put("hf_tiny", folder.path(), &good);
            server.signal("HUP");
            server.logged_where(|line| line["message"] == "reloaded" && line["generation"] == 3);
        },
        false,
    );
    assert_eq!(generation(), 3);
    assert_eq!(server.metric("swiftformer_reloads_total{model=\"m\",result=\"failed\"}"), 4.0);
    server.post("/v1/models/reload?model=other", b"").refuses(404, "unknown_model");
}

/// An address that the system gives nobody who asks for any: while no server listens there, neither another test's server
/// nor a client, not even one of those that try to reach it, takes its place.
fn own_address() -> String {
    let first = 20_000 + std::process::id() as u16 % 10_000;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    format!("127.0.0.1:{}", (first..first + 1000).find(free).unwrap())
}

#[test]
fn a_killed_server_comes_back_and_clients_that_retry_lose_nothing() {
    let address = own_address();
    let mut first = Server::start(&["--listen", &address]);
    let done = AtomicBool::new(false);
    // When the second server does not start, the clients end too.
    let until = Instant::now() + Duration::from_secs(60);
    let picture = file("images/gray.png");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while Instant::now() < until && (!done.load(Ordering::Relaxed) || answered < 5) {
                        match crate::support::send(address.parse().unwrap(), "POST", "/v1/classify", &[], &picture) {
                            Ok(answer) if answer.status == 200 => answered += 1,
                            Ok(answer) => assert_eq!(answer.status, 503),
                            Err(_) => thread::sleep(Duration::from_millis(5)),
                        }
                    }
                    answered
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(100));
        first.signal("KILL");
        // Its address is free when it has ended, not when it is told to.
        first.wait();
        let second = Server::start(&["--listen", &address]);
        let before = second.metric("swiftformer_images_total");
        while second.metric("swiftformer_images_total") < before + 20.0 {
            assert!(Instant::now() < until, "the second server is not asked");
            thread::sleep(Duration::from_millis(5));
        }
        done.store(true, Ordering::Relaxed);
        assert!(clients.into_iter().all(|client| client.join().unwrap() >= 5));
    });
}

#[test]
fn a_model_or_address_that_cannot_be_had_ends_the_program() {
    let run = |arguments: &[&str]| {
        let output = program(&[&["serve"], arguments].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["--model", "nowhere/at/all.pth", "--listen", "127.0.0.1:0"]);
    assert!(code == Some(2) && text.contains("cannot serve nowhere/at/all.pth"), "{text}");
    let (code, text) = run(&["--model", "a=demo", "--model", "a=demo", "--listen", "127.0.0.1:0"]);
    assert!(code == Some(2) && text.contains("two models are called a"), "{text}");
    let taken = Server::start(&[]);
    let (code, text) = run(&["--listen", &taken.address.to_string()]);
    assert!(code == Some(2) && text.contains("cannot listen"), "{text}");
}
