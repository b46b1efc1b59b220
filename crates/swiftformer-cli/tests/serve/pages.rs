//! The page and the documentation.

use std::collections::BTreeSet;

use crate::support::Server;

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
