use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use ureq::http::Uri;

use super::cache::RepoCache;
use super::client::{parse_content_range, resolve, same_origin};
use super::id::{check_relative_path, normalize_etag, percent_encode};
use super::{DEFAULT_ENDPOINT, HubError, HubOptions, ModelId};

fn options(variables: &[(&str, &str)]) -> HubOptions {
    let variables: HashMap<_, _> = variables.iter().map(|&(name, value)| (name, OsString::from(value))).collect();
    HubOptions::from_lookup(&|name| variables.get(name).cloned(), Path::new("/home/ann"))
}

#[test]
fn ids_split_at_the_first_at_sign_and_print_back() {
    for (text, repo, revision) in [
        ("timm/swiftformer_xs.dist_in1k", "timm/swiftformer_xs.dist_in1k", "main"),
        ("gpt2", "gpt2", "main"),
        ("a/b@v1.0", "a/b", "v1.0"),
        ("a/b@refs/pr/1", "a/b", "refs/pr/1"),
    ] {
        let id: ModelId = text.parse().unwrap();
        assert_eq!((id.repo.as_str(), id.revision.as_str()), (repo, revision));
        assert_eq!(id.to_string(), text);
    }
}

#[test]
fn ids_that_could_leave_the_cache_folder_are_refused() {
    for text in [
        "",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "../x",
        "a/..",
        "a/b@",
        "a/b@..",
        "a/b@../../x",
        "a/b@/etc",
        "a/b@x//y",
        "a--b/c",
        "a\\b/c",
        "a/b c",
        "a/b?x",
        "ä/b",
        "a/b@x\\y",
        "a/b@c:d",
        "a/.b",
        "-a/b",
        "a/b@x\0",
        "a/b@x/./y",
    ] {
        assert!(matches!(text.parse::<ModelId>(), Err(HubError::InvalidId { .. })), "{text:?} was taken");
    }
}

#[test]
fn file_names_may_have_folders_but_not_climb() {
    for name in ["config.json", "onnx/model.onnx", "a b.txt", "..a", "ünï.bin"] {
        assert_eq!(check_relative_path(name), Ok(()), "{name}");
    }
    for name in ["", "..", "a/../b", "/a", "a/", "a\\b", "C:a", "a\n", "a.", "./a", &"x".repeat(300)] {
        assert!(check_relative_path(name).is_err(), "{name}");
    }
}

#[test]
fn etags_lose_quotes_and_weak_mark_and_stay_plain() {
    assert_eq!(normalize_etag("\"ab12\""), Some("ab12"));
    assert_eq!(normalize_etag("W/\"ab12-3\""), Some("ab12-3"));
    for etag in ["", "\"\"", "../x", "a/b", "a.incomplete", "a b", &"f".repeat(129)] {
        assert_eq!(normalize_etag(etag), None, "{etag}");
    }
}

#[test]
fn urls_encode_slashes_of_revisions_and_keep_those_of_files() {
    assert_eq!(percent_encode("refs/pr/1", b""), "refs%2Fpr%2F1");
    assert_eq!(percent_encode("a b/ü?#%.json", b"/"), "a%20b/%C3%BC%3F%23%25.json");
}

#[test]
fn redirects_resolve_against_the_url_that_sent_them() {
    let base: Uri = "https://hub.example:8443/a/b/resolve/main/f?x=1".parse().unwrap();
    for (location, expected) in [
        ("https://cdn.example/x?sig=1#frag", Some("https://cdn.example/x?sig=1")),
        ("/y?to=http://z", Some("https://hub.example:8443/y?to=http://z")),
        ("//cdn.example/x", Some("https://cdn.example/x")),
        ("g", Some("https://hub.example:8443/a/b/resolve/main/g")),
        ("ftp://cdn.example/x", None),
        ("https:///x", None),
    ] {
        assert_eq!(resolve(&base, location).map(|url| url.to_string()).as_deref(), expected, "{location}");
    }
}

#[test]
fn origins_differ_by_scheme_host_or_port() {
    let same = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
    assert!(same("https://Hub.example/x", "https://hub.example:443/y"));
    assert!(!same("https://hub.example/", "http://hub.example/"));
    assert!(!same("http://hub.example:1/", "http://hub.example:2/"));
    assert!(!same("https://hub.example/", "https://hub.example.evil/"));
    assert!(!same("https://hub.example@evil/", "https://hub.example/"));
}

#[test]
fn content_ranges_give_start_and_total() {
    assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, None)));
    for value in ["", "bytes */10", "items 0-1/2", "bytes 5-9/x", "bytes -1-9/10"] {
        assert_eq!(parse_content_range(value), None, "{value}");
    }
}

#[test]
fn an_empty_environment_means_the_public_hub_and_the_home_cache() {
    let options = options(&[("HF_HOME", ""), ("HF_TOKEN", "")]);
    assert_eq!(options.endpoint, DEFAULT_ENDPOINT);
    assert_eq!(options.cache_dir, Path::new("/home/ann/.cache/huggingface/hub"));
    assert_eq!((options.token, options.offline), (None, false));
}

#[test]
fn cache_variables_take_precedence_like_pythons() {
    let folder = |variables: &[(&str, &str)]| options(variables).cache_dir;
    assert_eq!(folder(&[("XDG_CACHE_HOME", "/xdg")]), Path::new("/xdg/huggingface/hub"));
    assert_eq!(folder(&[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "~/hf")]), Path::new("/home/ann/hf/hub"));
    assert_eq!(folder(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
    assert_eq!(folder(&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/new"));
}

#[test]
fn tokens_come_from_the_variable_else_from_the_file() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), " from-file\n").unwrap();
    let hf_home = home.path().to_str().unwrap();
    assert_eq!(options(&[("HF_HOME", hf_home)]).token.as_deref(), Some("from-file"));
    assert_eq!(options(&[("HF_HOME", hf_home), ("HF_TOKEN", "direct")]).token.as_deref(), Some("direct"));
}

#[test]
fn endpoint_and_offline_mode_come_from_the_environment() {
    let options_given = options(&[("HF_ENDPOINT", "https://mirror.example/"), ("HF_HUB_OFFLINE", "True")]);
    assert_eq!((options_given.endpoint.as_str(), options_given.offline), ("https://mirror.example", true));
    assert!(!options(&[("HF_HUB_OFFLINE", "0")]).offline);
}

#[test]
fn debug_output_hides_the_token() {
    let text = format!("{:?}", HubOptions::new("/c").with_token(Some("hf_secret".to_owned())));
    assert!(!text.contains("hf_secret") && text.contains("hidden"), "{text}");
}

#[test]
fn where_links_are_not_allowed_a_snapshot_holds_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let cache = RepoCache::new(folder.path(), "org/model");
    let (commit, blob) = ("0".repeat(40), cache.blob("ab12"));
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(&blob, "content").unwrap();
    let no_links = |_: &Path, _: &Path| Err(std::io::ErrorKind::PermissionDenied.into());
    let path = cache.link_by(no_links, "ab12", &commit, "onnx/model.onnx").unwrap();
    assert_eq!(cache.cached(&commit, "onnx/model.onnx").as_ref(), Some(&path));
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(std::fs::read(path).unwrap(), b"content");
}
