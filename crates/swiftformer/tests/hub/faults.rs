//! Refusals, broken connections and lying servers.

use std::fs;
use std::time::{Duration, Instant};

use swiftformer::hub::{Hub, HubError, HubOptions, NoProgress};

use crate::server::{COMMIT, Fault, FileSpec, Server, raw_server, sha256};
use crate::{NOBODY, blobs, content, has_entries, hub, id, repo_folder, setup};

#[test]
fn the_token_goes_to_the_endpoint_and_not_to_the_other_host() {
    let server = Server::start();
    let bytes = content(1000);
    server.add_lfs("model.safetensors", &bytes);
    server.gate("hf_abc");
    let (_cache, options) = setup(&server);
    let options = options.with_token(Some("hf_abc\n".to_owned()));
    hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap();
    let seen = server.take_seen();
    assert!(seen.iter().any(|seen| seen.cdn) && seen.iter().any(|seen| !seen.cdn));
    for request in seen {
        let expected = if request.cdn { None } else { Some("Bearer hf_abc") };
        assert_eq!(request.authorization.as_deref(), expected, "{request:?}");
    }
}

#[test]
fn refusals_speak_of_the_token() {
    let server = Server::start();
    server.add("config.json", b"{}");
    server.gate("hf_right");
    let (cache, options) = setup(&server);
    let error = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::AccessDenied { status: 401, gated: true, had_token: false, .. }), "{error:?}");
    assert!(error.to_string().contains("Set HF_TOKEN") && error.to_string().contains("org/model"), "{error}");

    let options = options.with_token(Some("hf_wrong".to_owned()));
    let error = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::AccessDenied { status: 403, had_token: true, .. }), "{error:?}");
    assert!(!error.to_string().contains("hf_wrong"), "{error}");
    assert!(!has_entries(cache.path()));
}

#[test]
fn a_missing_repository_revision_and_file_are_told_apart() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (_cache, options) = setup(&server);
    let hub = hub(&options);
    let get = |id: &str, file: &str| hub.get(&id.parse().unwrap(), file, &mut NoProgress).unwrap_err();
    let error = get("org/nothing", "config.json");
    assert!(matches!(&error, HubError::RepoNotFound { repo, .. } if repo == "org/nothing"), "{error}");
    let error = get("org/model@v9", "config.json");
    assert!(matches!(&error, HubError::RevisionNotFound { revision, .. } if revision == "v9"), "{error}");
    let error = get("org/model@v1", "nothing.bin");
    assert!(matches!(&error, HubError::FileNotFound { file, .. } if file == "nothing.bin"), "{error}");
    assert_eq!(hub.try_get(&id(), "nothing.bin", &mut NoProgress).unwrap(), None);
    assert!(hub.try_get(&"org/nothing".parse().unwrap(), "x", &mut NoProgress).is_err());
}

#[test]
fn a_body_that_breaks_off_is_resumed_where_it_ended() {
    let server = Server::start();
    let bytes = content(500_000);
    server.add_lfs("model.safetensors", &bytes);
    server.fault(Fault::CutAfter(vec![200_000, 100_000]));
    let (cache, options) = setup(&server);
    let path = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap();
    assert!(fs::read(path).unwrap() == bytes);
    let seen = server.take_seen();
    let ranges: Vec<_> = seen.iter().filter(|seen| seen.cdn).map(|seen| seen.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=200000-"), Some("bytes=300000-")]);
    assert_eq!(blobs(cache.path()), [sha256(&bytes)].into());
}

#[test]
fn a_small_file_that_breaks_off_is_resumed_within_the_call() {
    let server = Server::start();
    server.add("config.json", &content(2000));
    server.fault(Fault::CutAfter(vec![700]));
    let (cache, options) = setup(&server);
    let path = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap();
    assert_eq!(fs::read(path).unwrap(), content(2000));
    assert_eq!(blobs(cache.path()).len(), 1);
}

#[test]
fn a_server_without_ranges_makes_the_download_start_over() {
    let server = Server::start();
    let bytes = content(300_000);
    server.add_lfs("model.safetensors", &bytes);
    let (cache, options) = setup(&server);
    let incomplete = repo_folder(cache.path()).join("blobs").join(format!("{}.incomplete", sha256(&bytes)));
    fs::create_dir_all(incomplete.parent().unwrap()).unwrap();
    fs::write(&incomplete, &bytes[..100_000]).unwrap();
    server.fault(Fault::IgnoreRange);
    let path = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap();
    assert!(fs::read(path).unwrap() == bytes);
}

#[test]
fn what_an_earlier_process_left_is_continued_and_if_damaged_replaced() {
    let bytes = content(300_000);
    for (left, ranges) in [
        (bytes[..100_000].to_vec(), vec![Some("bytes=100000-".to_owned())]),
        (vec![0; 100_000], vec![Some("bytes=100000-".to_owned()), None]),
        (bytes.clone(), vec![]),
        (vec![0; 400_000], vec![None]),
    ] {
        let server = Server::start();
        server.add_lfs("model.safetensors", &bytes);
        let (cache, options) = setup(&server);
        let incomplete = repo_folder(cache.path()).join("blobs").join(format!("{}.incomplete", sha256(&bytes)));
        fs::create_dir_all(incomplete.parent().unwrap()).unwrap();
        fs::write(&incomplete, left).unwrap();
        let path = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap();
        assert!(fs::read(path).unwrap() == bytes);
        let seen: Vec<_> = server.take_seen().into_iter().filter(|seen| seen.cdn).map(|seen| seen.range).collect();
        assert_eq!(seen, ranges);
        assert!(!incomplete.exists());
    }
}

#[test]
fn a_body_that_never_arrives_is_an_error_and_no_entry() {
    let server = Server::start();
    let bytes = content(1000);
    server.add_lfs("model.safetensors", &bytes);
    server.add("config.json", &bytes);
    let (cache, options) = setup(&server);
    server.fault(Fault::CutAfter(vec![400, 0, 0, 0]));
    let error = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::Truncated { got: 400, expected: 1000, attempts: 3, .. }), "{error:?}");
    // What arrived waits for the next call.
    assert_eq!(blobs(cache.path()), [format!("{}.incomplete", sha256(&bytes))].into());
    server.fault(Fault::CutAlways);
    assert!(hub(&options).get(&id(), "config.json", &mut NoProgress).is_err());
    assert_eq!(blobs(cache.path()).len(), 1);
    assert!(!has_entries(cache.path()));
    server.fault(Fault::None);
    let path = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_wrong_hash_is_an_error_and_leaves_nothing() {
    let server = Server::start();
    server.add_lfs("model.safetensors", &content(1000));
    server.fault(Fault::Corrupt);
    let (cache, options) = setup(&server);
    let error = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::HashMismatch { .. }), "{error}");
    assert!(blobs(cache.path()).is_empty() && !has_entries(cache.path()));
}

#[test]
fn a_body_of_another_size_than_announced_is_refused() {
    for fault in [Fault::Overrun(1), Fault::Overrun(1_000_000), Fault::OtherLength(5)] {
        let server = Server::start();
        server.add_lfs("model.safetensors", &content(1000));
        server.add("config.json", &content(1000));
        server.fault(fault);
        let (cache, options) = setup(&server);
        for file in ["model.safetensors", "config.json"] {
            let error = hub(&options).get(&id(), file, &mut NoProgress).unwrap_err();
            assert!(matches!(error, HubError::SizeMismatch { expected: 1000, .. }), "{error}");
        }
        assert!(blobs(cache.path()).is_empty() && !has_entries(cache.path()));
    }
}

#[test]
fn a_file_above_the_limit_is_not_downloaded() {
    let server = Server::start();
    server.add_lfs("model.safetensors", &content(1000));
    let (_cache, mut options) = setup(&server);
    options.max_file_size = 999;
    let error = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::TooLarge { size: 1000, limit: 999, .. }), "{error}");
    assert!(server.take_seen().iter().all(|seen| seen.method == "HEAD"));
}

#[test]
fn a_refused_connection_names_model_endpoint_and_ways_out() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubOptions::new(cache.path()).with_endpoint(NOBODY)).unwrap();
    let error = hub.get(&id(), "config.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::Network { .. }), "{error:?}");
    for part in ["org/model", NOBODY, "HF_HUB_OFFLINE", "local folder"] {
        assert!(error.to_string().contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn without_a_network_the_cached_copy_serves() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (_cache, options) = setup(&server);
    let path = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap();
    let cut_off = hub(&options.with_endpoint(NOBODY));
    assert_eq!(cut_off.get(&id(), "config.json", &mut NoProgress).unwrap(), path);
}

#[test]
fn a_silent_server_runs_into_the_timeout() {
    let server = Server::start();
    server.add_lfs("model.safetensors", &content(1000));
    let (_cache, options) = setup(&server);
    let options = options.with_timeouts(Duration::from_millis(300), Duration::from_millis(300));
    for fault in [Fault::Hang, Fault::StallAfter(0), Fault::StallAfter(10)] {
        server.fault(fault);
        let start = Instant::now();
        let error = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap_err();
        assert!(matches!(error, HubError::Timeout { .. } | HubError::Truncated { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

#[test]
fn a_server_that_stumbles_is_asked_again() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (_cache, options) = setup(&server);
    server.fault(Fault::Status(503, 2));
    assert!(hub(&options).get(&id(), "config.json", &mut NoProgress).is_ok());
    let (_cache, options) = setup(&server);
    server.fault(Fault::Status(503, 3));
    let error = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::Status { status: 503, .. }), "{error}");
}

#[test]
fn an_etag_that_would_climb_out_of_the_blobs_is_refused() {
    let server = Server::start();
    server.insert("config.json", FileSpec { bytes: b"{}".to_vec(), etag: "../../evil".to_owned(), lfs: false });
    let (cache, options) = setup(&server);
    let error = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::BadResponse { .. }), "{error}");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn names_that_climb_are_refused_before_any_request() {
    let server = Server::start();
    let (_cache, options) = setup(&server);
    let hub = hub(&options);
    for file in ["../config.json", "/etc/passwd", "a/../../b", ""] {
        let error = hub.get(&id(), file, &mut NoProgress).unwrap_err();
        assert!(matches!(error, HubError::InvalidFileName { .. }), "{error}");
    }
    let mut climbing = id();
    climbing.revision = "../../../x".to_owned();
    assert!(matches!(hub.get(&climbing, "f", &mut NoProgress), Err(HubError::InvalidId { .. })));
    assert_eq!(server.take_seen().len(), 0);
}

#[test]
fn options_that_cannot_work_are_named() {
    let refused = |options: HubOptions| Hub::new(options).unwrap_err().to_string();
    for endpoint in ["", "hub.example", "ftp://hub.example", "http://", "https://h/?q"] {
        assert!(refused(HubOptions::new("c").with_endpoint(endpoint)).contains("HF_ENDPOINT"));
    }
    let message = refused(HubOptions::new("c").with_token(Some("a\r\nX: b".to_owned())));
    assert!(message.contains("HF_TOKEN") && !message.contains("X: b"), "{message}");
    assert!(HubOptions::new("c").with_proxy("::").is_err());
}

#[test]
fn a_server_that_is_no_hub_is_recognised() {
    let moved =
        |place: &str| format!("HTTP/1.1 307 X\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n".to_owned();
    for (answer, expected) in [
        (page, "X-Repo-Commit"),
        (moved("/again"), "redirects"),
        (moved("ftp://elsewhere.example/x"), "no http(s) URL"),
        ("HTTP/1.1 307 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(), "without Location"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let url = raw_server(move |_| answer.clone());
        let hub = Hub::new(HubOptions::new(cache.path()).with_endpoint(&url)).unwrap();
        let error = hub.get(&format!("org/model@{COMMIT}").parse().unwrap(), "f", &mut NoProgress).unwrap_err();
        assert!(matches!(error, HubError::BadResponse { .. }) && error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_mirror_may_pass_questions_on_but_not_the_token() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let bytes = content(1000);
    server.add_lfs("pytorch_model.bin", &bytes);
    let target = server.url.clone();
    let mirror = raw_server(move |path| {
        format!("HTTP/1.1 307 X\r\nLocation: {target}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    let (cache, options) = setup(&server);
    let options = options.with_endpoint(&mirror).with_token(Some("hf_abc".to_owned()));
    let folder = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap();
    assert_eq!(fs::read(folder.join("pytorch_model.bin")).unwrap(), bytes);
    assert!(blobs(cache.path()).contains(&sha256(&bytes)));
    assert!(server.take_seen().iter().all(|seen| seen.authorization.is_none()));
}
