//! Files that are no files, or far too large: an error that names them, without reading them.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use swiftformer::checkpoint::{Checkpoint, CheckpointError, ModelSource, OpenOptions};
use swiftformer::image::{DecodeLimits, ImageError, Orientation, open};

const HUGE: u64 = 500 << 20;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// The messages of an error and all its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn model_error(source: ModelSource) -> String {
    chain(&Checkpoint::open(&source, &OpenOptions::default()).unwrap_err())
}

fn image_error(path: &Path) -> String {
    chain(&open(path, Orientation::Apply, &DecodeLimits::default()).unwrap_err())
}

/// A file that starts with `start` and takes `length` bytes, most of them only by name.
fn sparse(folder: &Path, name: &str, start: &[u8], length: u64) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, start).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_folders_are_refused_by_name_wherever_a_file_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let own_loop = folder.path().join("loop");
    std::os::unix::fs::symlink(&own_loop, &own_loop).unwrap();
    let pipe_config = folder.path().join("pipe_config");
    fs::create_dir(&pipe_config).unwrap();
    fs::copy(testdata("hf_tiny/model.safetensors"), pipe_config.join("model.safetensors")).unwrap();
    fs::copy(testdata("hf_tiny/config.json"), folder.path().join("config.json")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(pipe_config.join("config.json")).status().unwrap().success());

    let special = "it is not a regular file, but a pipe, a device or a socket";
    for path in [&pipe, Path::new("/dev/zero")] {
        for error in [
            image_error(path),
            model_error(ModelSource::Path(path.to_owned())),
            model_error(ModelSource::RandomConfig(path.to_owned())),
        ] {
            assert!(error.contains(&path.display().to_string()) && error.contains(special), "{error}");
        }
    }
    let error = model_error(ModelSource::Path(pipe_config));
    assert!(error.contains("pipe_config/config.json") && error.contains(special), "{error}");
    let is_folder = "it is a folder, not a file";
    for error in [image_error(folder.path()), model_error(ModelSource::RandomConfig(folder.path().to_owned()))] {
        assert!(error.contains(&folder.path().display().to_string()) && error.contains(is_folder), "{error}");
    }
    for error in [image_error(&own_loop), model_error(ModelSource::Path(own_loop.clone()))] {
        assert!(error.contains("loop") && error.contains("symbolic links"), "{error}");
    }
}

#[test]
fn what_does_not_begin_like_an_image_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "huge.bin", b"not an image", HUGE);
    match open(&path, Orientation::Apply, &DecodeLimits::default()).unwrap_err() {
        ImageError::File { path: named, source } => {
            assert_eq!(named, path);
            assert!(matches!(*source, ImageError::Unknown { .. }), "{source}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_image_file_beyond_the_limit_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = sparse(folder.path(), "huge.jpg", b"\xff\xd8\xff", HUGE);
    let error = image_error(&path);
    assert!(error.contains("huge.jpg") && error.contains("longer than the limit of 167772160 bytes"), "{error}");
    let checker = testdata("images/checker.png");
    let length = fs::metadata(&checker).unwrap().len();
    let limits = |max_file| DecodeLimits { max_file, ..DecodeLimits::default() };
    assert!(open(&checker, Orientation::Apply, &limits(length)).is_ok());
    assert!(open(&checker, Orientation::Apply, &limits(length - 1)).is_err());
}

#[test]
fn huge_files_of_every_weight_format_are_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let starts: [(&str, &[u8]); 7] = [
        ("safetensors", b"\xff\0\0\0\0\0\0\0{"),
        ("large_header", b"\0\xe1\xf5\x05\0\0\0\0{"),
        ("zip", b"PK\x03\x04"),
        ("legacy", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."),
        ("hdf5", b"\x89HDF\r\n\x1a\n"),
        ("json", b"{\"weight_map\":{\""),
        ("zeros", b""),
    ];
    for (name, start) in starts {
        let error = model_error(ModelSource::Path(sparse(folder.path(), name, start, HUGE)));
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_config_that_is_too_large_or_holds_too_much_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let large = sparse(folder.path(), "large.json", b"{", HUGE);
    let error = model_error(ModelSource::RandomConfig(large));
    assert!(error.contains("large.json") && error.contains("longer than the limit of 16777216 bytes"), "{error}");
    let full = folder.path().join("full.json");
    fs::write(&full, format!("{{\"a\":[{}0]}}", "0,".repeat(600_000))).unwrap();
    let error = model_error(ModelSource::RandomConfig(full));
    assert!(error.contains("full.json") && error.contains("more than 524288 values"), "{error}");
    let deep = folder.path().join("deep.json");
    fs::write(&deep, "[".repeat(100_000)).unwrap();
    let error = model_error(ModelSource::RandomConfig(deep));
    assert!(error.contains("deep.json") && error.contains("recursion limit"), "{error}");
}

#[test]
fn a_config_of_an_enormous_network_is_refused_before_weights_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enormous.json");
    for text in [
        r#"{"depths": [4096], "embed_dims": [65536], "mlp_ratio": 1}"#,
        r#"{"depths": [1, 1, 1, 1], "embed_dims": [65536, 65536, 65536, 65536], "mlp_ratio": 1, "down_patch_size": 255}"#,
        r#"{"num_labels": 16777216}"#,
    ] {
        fs::write(&path, text).unwrap();
        let source = ModelSource::RandomConfig(path.clone());
        match Checkpoint::open(&source, &OpenOptions::default()).unwrap_err() {
            CheckpointError::Config { path: named, source } => {
                assert_eq!(named, path);
                assert!(source.to_string().contains("more than the limit of 1073741824"), "{source}");
            }
            other => panic!("{other}"),
        }
    }
}
