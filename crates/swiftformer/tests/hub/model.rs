//! Which files a model consists of.

use std::collections::BTreeSet;
use std::path::Path;

use swiftformer::hub::{HubError, NoProgress};

use crate::server::{COMMIT, Server};
use crate::{NOBODY, content, hub, id, repo_folder, setup};

fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn safetensors_come_before_pickles() {
    let server = Server::start();
    server.add("config.json", b"{}");
    server.add("preprocessor_config.json", b"{ }");
    server.add_lfs("model.safetensors", &content(100));
    server.add_lfs("pytorch_model.bin", &content(200));
    let (cache, options) = setup(&server);
    let folder = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap();
    assert_eq!(folder, repo_folder(cache.path()).join("snapshots").join(COMMIT));
    assert_eq!(names(&folder), set(&["config.json", "preprocessor_config.json", "model.safetensors"]));
    // All but the first question are about the commit, so that a push in between cannot mix two versions.
    let seen = server.take_seen();
    assert_eq!(seen.iter().filter(|seen| seen.path.contains("/resolve/main/")).count(), 1, "{seen:?}");
}

#[test]
fn a_pickle_alone_and_a_keras_file_alone_do() {
    for name in ["pytorch_model.bin", "tf_model.h5"] {
        let server = Server::start();
        server.add("config.json", b"{}");
        server.add_lfs(name, &content(100));
        let (_cache, options) = setup(&server);
        let folder = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap();
        assert_eq!(names(&folder), set(&["config.json", name]));
        server.take_seen();
        assert_eq!(hub(&options.with_offline(true)).fetch_model(&id(), &mut NoProgress).unwrap(), folder);
        assert_eq!(server.take_seen().len(), 0);
    }
}

#[test]
fn all_shards_of_an_index_come_along() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let index =
        br#"{"metadata": {}, "weight_map": {"a": "s-1.safetensors", "b": "s-2.safetensors", "c": "s-1.safetensors"}}"#;
    server.add("model.safetensors.index.json", index);
    server.add_lfs("s-1.safetensors", &content(100));
    let (_cache, options) = setup(&server);
    let error = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap_err();
    assert!(matches!(&error, HubError::FileNotFound { file, .. } if file == "s-2.safetensors"), "{error}");
}

#[test]
fn a_complete_sharded_model_is_fetched() {
    let server = Server::start();
    server.add("config.json", b"{}");
    server.add("pytorch_model.bin.index.json", br#"{"weight_map": {"a": "s-1.bin", "b": "s-2.bin"}}"#);
    server.add_lfs("s-1.bin", &content(100));
    server.add_lfs("s-2.bin", &content(101));
    let (_cache, options) = setup(&server);
    let folder = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap();
    assert_eq!(names(&folder), set(&["config.json", "pytorch_model.bin.index.json", "s-1.bin", "s-2.bin"]));
}

#[test]
fn shard_names_that_climb_are_refused() {
    for shard in ["../../../evil.bin", "/tmp/evil.bin", "a\\\\..\\\\evil.bin", ""] {
        let server = Server::start();
        server.add("config.json", b"{}");
        server.add("model.safetensors.index.json", format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#).as_bytes());
        let (_cache, options) = setup(&server);
        let error = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap_err();
        assert!(matches!(error, HubError::InvalidFileName { .. }), "{error}");
    }
}

#[test]
fn an_index_that_is_none_is_named() {
    for text in ["", "[]", r#"{"weight_map": {}}"#, r#"{"weight_map": {"a": 1}}"#] {
        let server = Server::start();
        server.add("config.json", b"{}");
        server.add("model.safetensors.index.json", text.as_bytes());
        let (_cache, options) = setup(&server);
        let error = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap_err();
        assert!(matches!(error, HubError::BadIndex { .. }), "{error}");
    }
}

#[test]
fn a_repository_without_weights_lists_what_was_looked_for() {
    let server = Server::start();
    server.add("config.json", b"{}");
    let (_cache, options) = setup(&server);
    let message = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap_err().to_string();
    for name in ["org/model", "model.safetensors,", "pytorch_model.bin,", "tf_model.h5"] {
        assert!(message.contains(name), "{name} is not in: {message}");
    }
}

#[test]
fn a_missing_config_is_an_error() {
    let server = Server::start();
    server.add_lfs("model.safetensors", &content(100));
    let (_cache, options) = setup(&server);
    let error = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap_err();
    assert!(matches!(&error, HubError::FileNotFound { file, .. } if file == "config.json"), "{error}");
}

#[test]
fn without_a_network_a_cached_model_serves_as_it_is() {
    let server = Server::start();
    server.add("config.json", b"{}");
    server.add_lfs("pytorch_model.bin", &content(100));
    let (cache, options) = setup(&server);
    let folder = hub(&options).fetch_model(&id(), &mut NoProgress).unwrap();
    // As left by a library that never asked for the optional files.
    std::fs::remove_dir_all(repo_folder(cache.path()).join(".no_exist")).unwrap();
    let cut_off = options.with_endpoint(NOBODY);
    assert_eq!(hub(&cut_off).fetch_model(&id(), &mut NoProgress).unwrap(), folder);
}
