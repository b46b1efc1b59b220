//! Who may ask.

use std::{io::Write, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::support::{Server, file, program, read_answer, request, testdata};

#[test]
fn with_keys_nothing_but_health_and_the_page_is_open() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "# team\nfirst-key\nsecond-key\n").unwrap();
    let server = Server::start(&["--api-key-file", keys.path().to_str().unwrap()]);
    let picture = file("images/gray.png");
    for open in ["/", "/docs", "/openapi.json", "/assets/app.js", "/healthz", "/readyz", "/v2/health/live"] {
        server.get(open).is(200);
    }
    for closed in ["/v1/models", "/metrics", "/v2", "/v2/models/tiny", "/nothing", "/assets", "/healthz/x"] {
        let answer = server.get(closed).is(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{closed}");
    }
    server.post("/v1/classify", &picture).refuses(401, "unauthorized");
    server.post("/v1/models/reload", b"").refuses(401, "unauthorized");
    for (name, value) in [
        ("authorization", "Bearer first-ke"),
        ("authorization", "Bearer first-key2"),
        ("authorization", "Bearer"),
        ("authorization", "Basic first-key"),
        ("x-api-key", ""),
        ("x-api-key", "# team"),
    ] {
        server.send("POST", "/v1/classify", &[(name, value)], &picture).refuses(401, "unauthorized");
    }
    for (name, value) in
        [("authorization", "Bearer first-key"), ("authorization", "bearer second-key"), ("x-api-key", "first-key")]
    {
        server.send("POST", "/v1/classify", &[(name, value)], &picture).is(200);
    }
    let text = format!("{:?}", server.log());
    assert!(!text.contains("first-key"), "a key stands in the log");
}

#[test]
fn addresses_beyond_loopback_need_keys_or_a_clear_word() {
    let output = program(&["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("--api-key-file"), "{text}");
    let mut server = Server::start(&["--listen", "0.0.0.0:0", "--no-auth"]);
    server.address.set_ip([127, 0, 0, 1].into());
    server.get("/v1/models").is(200);
}

#[test]
fn pages_of_other_origins_ask_only_where_that_is_allowed() {
    let picture = file("images/gray.png");
    let ask = |server: &Server, origin: &str| {
        server.send("POST", "/v1/classify", &[("origin", origin), ("sec-fetch-site", "cross-site")], &picture)
    };
    let closed = Server::start(&[]);
    ask(&closed, "https://example.com").refuses(403, "cross_site");
    closed
        .send("POST", "/v1/classify", &[("origin", "http://localhost"), ("sec-fetch-site", "same-origin")], &picture)
        .is(200);
    let open = Server::start(&["--cors", "https://example.com"]);
    let answer = ask(&open, "https://example.com").is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://example.com"));
    ask(&open, "https://example.org").refuses(403, "cross_site");
    let preflight = [("origin", "https://example.com"), ("access-control-request-method", "POST")];
    let answer = open.send("OPTIONS", "/v1/classify", &preflight, b"").is(200);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST"));
    let all = Server::start(&["--cors", "*"]);
    assert_eq!(ask(&all, "https://example.org").is(200).header("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_certificate_serves_https() {
    let (cert, key) = (testdata("tls/cert.pem"), testdata("tls/key.pem"));
    let server = Server::start(&["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, server.connect());
    for _ in 0..2 {
        stream.write_all(&request("POST", "/v1/classify", &[], &file("images/gray.png"))).unwrap();
        read_answer(&mut stream).unwrap().is(200);
    }
    // Plain HTTP to it is refused by TLS and harms nobody.
    let mut plain = server.connect();
    plain.write_all(&request("GET", "/healthz", &[], b"")).unwrap();
    assert!(read_answer(&mut plain).is_err());
    let wrong =
        program(&["serve", "--tls-cert", key.to_str().unwrap(), "--tls-key", cert.to_str().unwrap()]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
