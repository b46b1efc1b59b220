//! What a successful download leaves on disk, and when the network is left alone.

use std::fs;
use std::sync::{Arc, Barrier};

use swiftformer::hub::{HubError, NoProgress};

use crate::server::{COMMIT, Server, sha256};
use crate::{blobs, content, hub, id, options_for, repo_folder, setup};

#[test]
fn a_download_fills_blobs_refs_and_snapshots() {
    let server = Server::start();
    let bytes = content(100_000);
    server.add_lfs("onnx/model.onnx", &bytes);
    let (cache, options) = setup(&server);
    let path = hub(&options).get(&id(), "onnx/model.onnx", &mut NoProgress).unwrap();

    let repo = repo_folder(cache.path());
    assert_eq!(path, repo.join("snapshots").join(COMMIT).join("onnx/model.onnx"));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(blobs(cache.path()), [sha256(&bytes)].into());
    #[cfg(unix)]
    assert_eq!(fs::read_link(&path).unwrap().to_str().unwrap(), format!("../../../blobs/{}", sha256(&bytes)));
}

#[test]
fn small_files_take_the_etag_of_the_hub_behind_a_relative_redirect() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (cache, options) = setup(&server);
    let path = hub(&options).get(&id(), "config.json", &mut NoProgress).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"{}");
    assert_eq!(blobs(cache.path()), [sha256(b"{}")[..40].to_owned()].into());
}

#[test]
fn an_empty_file_is_a_file() {
    let server = Server::start();
    server.add("empty.txt", b"");
    let (_cache, options) = setup(&server);
    let path = hub(&options).get(&id(), "empty.txt", &mut NoProgress).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"");
}

#[test]
fn progress_counts_to_the_size_of_the_file() {
    let server = Server::start();
    server.add_lfs("model.safetensors", &content(700_000));
    let (_cache, options) = setup(&server);
    let mut reports = Vec::new();
    let mut note = |file: &str, done: u64, total: u64| reports.push((file.to_owned(), done, total));
    hub(&options).get(&id(), "model.safetensors", &mut note).unwrap();
    assert!(reports.iter().all(|(file, _, total)| file == "model.safetensors" && *total == 700_000));
    assert_eq!(reports.first().unwrap().1, 0);
    assert_eq!(reports.last().unwrap().1, 700_000);
    assert!(reports.is_sorted_by_key(|(_, done, _)| *done));
}

#[test]
fn a_cached_branch_costs_one_question_and_a_cached_commit_none() {
    let server = Server::start();
    server.add_lfs("model.safetensors", &content(1000));
    let (_cache, options) = setup(&server);
    let hub = hub(&options);
    let first = hub.get(&id(), "model.safetensors", &mut NoProgress).unwrap();
    server.take_seen();
    assert_eq!(hub.get(&id(), "model.safetensors", &mut NoProgress).unwrap(), first);
    let seen = server.take_seen();
    assert!(seen.len() == 1 && seen[0].method == "HEAD", "{seen:?}");
    let pinned = format!("org/model@{COMMIT}").parse().unwrap();
    assert_eq!(hub.get(&pinned, "model.safetensors", &mut NoProgress).unwrap(), first);
    assert_eq!(server.take_seen().len(), 0);
}

#[test]
fn offline_mode_reads_the_cache_and_sends_nothing() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (_cache, options) = setup(&server);
    let online = hub(&options);
    let path = online.get(&id(), "config.json", &mut NoProgress).unwrap();
    assert_eq!(online.try_get(&id(), "vocab.json", &mut NoProgress).unwrap(), None);
    server.take_seen();

    let offline = hub(&options.with_offline(true));
    assert_eq!(offline.get(&id(), "config.json", &mut NoProgress).unwrap(), path);
    // Known to be missing, from the question asked online.
    assert_eq!(offline.try_get(&id(), "vocab.json", &mut NoProgress).unwrap(), None);
    let error = offline.get(&id(), "other.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE") && error.to_string().contains("other.json"), "{error}");
    assert_eq!(server.take_seen().len(), 0);
}

#[test]
fn branches_with_slashes_are_refs_in_folders() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (cache, options) = setup(&server);
    hub(&options).get(&"org/model@refs/pr/1".parse().unwrap(), "config.json", &mut NoProgress).unwrap();
    assert_eq!(fs::read_to_string(repo_folder(cache.path()).join("refs/refs/pr/1")).unwrap(), COMMIT);
}

#[test]
fn a_ref_that_is_no_commit_hash_is_ignored() {
    let server = Server::start();
    let (cache, options) = setup(&server);
    let repo = repo_folder(cache.path());
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::create_dir_all(repo.join("snapshots")).unwrap();
    fs::write(repo.join("config.json"), "outside the snapshots").unwrap();
    fs::write(repo.join("refs/main"), "..").unwrap();
    let error = hub(&options.with_offline(true)).get(&id(), "config.json", &mut NoProgress).unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }), "{error}");
}

#[test]
fn concurrent_downloads_of_one_file_fetch_it_once() {
    let server = Server::start();
    let bytes = content(3_000_000);
    server.add_lfs("model.safetensors", &bytes);
    let (cache, options) = setup(&server);
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (barrier, options) = (barrier.clone(), options_for(&server, &options.cache_dir));
            std::thread::spawn(move || {
                barrier.wait();
                hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap()
            })
        })
        .collect();
    for thread in threads {
        assert!(fs::read(thread.join().unwrap()).unwrap() == bytes);
    }
    assert_eq!(blobs(cache.path()), [sha256(&bytes)].into());
    assert_eq!(server.take_seen().iter().filter(|seen| seen.cdn && seen.method == "GET").count(), 1);
}

#[test]
fn a_lock_held_for_too_long_does_not_stop_a_download() {
    let server = Server::start();
    let bytes = content(5000);
    server.add_lfs("model.safetensors", &bytes);
    let (cache, mut options) = setup(&server);
    let locks = cache.path().join(".locks/models--org--model");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{}.lock", sha256(&bytes)))).unwrap();
    lock.lock().unwrap();
    options.lock_timeout = std::time::Duration::from_millis(100);
    let path = hub(&options).get(&id(), "model.safetensors", &mut NoProgress).unwrap();
    assert!(fs::read(path).unwrap() == bytes);
    assert_eq!(blobs(cache.path()), [sha256(&bytes)].into());
}
