//! The hub client against a Hub on the loopback interface.

mod faults;
mod layout;
mod model;
mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use swiftformer::hub::{Hub, HubOptions, ModelId};

use server::Server;

/// A port of the loopback interface that nothing listens on: it is privileged, and its service died out.
const NOBODY: &str = "http://127.0.0.1:1";

/// A fresh cache folder and options that lead to `server`.
fn setup(server: &Server) -> (tempfile::TempDir, HubOptions) {
    let cache = tempfile::tempdir().unwrap();
    let options = options_for(server, cache.path());
    (cache, options)
}

fn options_for(server: &Server, cache: &Path) -> HubOptions {
    HubOptions::new(cache)
        .with_endpoint(&server.url)
        .with_timeouts(Duration::from_secs(5), Duration::from_secs(5))
        .with_retries(2, Duration::from_millis(5))
}

fn hub(options: &HubOptions) -> Hub {
    Hub::new(options.clone()).unwrap()
}

fn id() -> ModelId {
    "org/model".parse().unwrap()
}

/// Bytes without a period that a cut could hide in.
fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The repository's folder in the cache.
fn repo_folder(cache: &Path) -> PathBuf {
    cache.join("models--org--model")
}

/// Names in the blobs folder.
fn blobs(cache: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(repo_folder(cache).join("blobs")) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Whether any snapshot or ref exists.
fn has_entries(cache: &Path) -> bool {
    repo_folder(cache).join("snapshots").exists() || repo_folder(cache).join("refs").exists()
}
