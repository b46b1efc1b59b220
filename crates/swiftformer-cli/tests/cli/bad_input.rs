//! Models and images that are not what they should be.

use std::time::{Duration, Instant};

use crate::support::{Folder, Run, swiftformer, testdata};

/// A second is what a failure may take; tests run side by side on a slow build.
const PATIENCE: Duration = Duration::from_secs(5);

fn quick(arguments: &[&str]) -> Run {
    let started = Instant::now();
    let run = swiftformer(arguments);
    assert!(started.elapsed() < PATIENCE, "{arguments:?} took {:?}", started.elapsed());
    run
}

#[test]
fn a_model_that_is_nowhere_is_named() {
    quick(&["classify", "images/china.jpg", "-m", "nowhere/at/all.pth"]).exits(2).says(&["nowhere/at/all.pth"]);
    quick(&["classify", "images/china.jpg", "-m", "xxs"]).exits(2).says(&["`xxs` is not a model", "random:VARIANT"]);
    quick(&["classify", "images/china.jpg", "-m", "nobody/nothing"])
        .exits(2)
        .says(&["nobody/nothing", "HF_HUB_OFFLINE"]);
    quick(&["classify", "images/china.jpg", "-m", "images"]).exits(2).says(&["images has no weights"]);
}

#[test]
fn cut_off_weights_of_every_format_are_errors_with_the_file() {
    let folder = Folder::new();
    for file in [
        "hf_tiny/model.safetensors",
        "hf_tiny/pytorch_model.bin",
        "original_tiny/checkpoint_legacy.pth",
        "tf_tiny/tf_model.h5",
    ] {
        let bytes = std::fs::read(testdata(file)).unwrap();
        for length in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
            let path = folder.write("cut.bin", &bytes[..length]);
            for command in ["info", "classify"] {
                let arguments = match command {
                    "info" => vec!["info", &path],
                    _ => vec!["classify", "images/one_pixel.png", "--dialect", "l2", "-m", &path],
                };
                quick(&arguments).exits(2).says(&["error: ", "cut.bin"]);
            }
        }
    }
}

#[test]
fn a_git_lfs_pointer_is_recognised() {
    let folder = Folder::new();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 13974184\n";
    folder.copy("hf_tiny/config.json", "m/config.json");
    folder.write("m/model.safetensors", pointer);
    quick(&["info", &folder.path("m")]).exits(2).says(&["model.safetensors", "LFS"]);
    let image = folder.write("photo.jpg", pointer);
    let run = quick(&["classify", &image]).exits(1);
    run.says(&["photo.jpg", "LFS"]);
}

#[test]
fn weights_that_do_not_fit_the_config_are_listed() {
    let folder = Folder::new();
    folder.copy("hf_tiny/model.safetensors", "m/model.safetensors");
    let config = std::fs::read_to_string(testdata("hf_tiny/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["depths"] = serde_json::json!([2, 2, 4, 2]);
    folder.write("m/config.json", config.to_string().as_bytes());
    quick(&["info", &folder.path("m")]).exits(2).says(&["missing", "swiftformer.encoder.network.4.blocks.3."]);
}

#[test]
fn a_config_that_is_no_json_or_lies_is_named() {
    let folder = Folder::new();
    folder.copy("hf_tiny/model.safetensors", "m/model.safetensors");
    for text in ["", "{", "[]", "{\"depths\": [1e99]}", "{\"model_type\": \"swiftformer\", \"embed_dims\": -1}"] {
        folder.write("m/config.json", text.as_bytes());
        quick(&["info", &folder.path("m")]).exits(2).says(&["config.json"]);
    }
}

#[test]
fn truncated_images_fail_alone() {
    let folder = Folder::new();
    for name in ["china.jpg", "rgba.png", "lossless.webp", "small.bmp", "animated.gif"] {
        let bytes = std::fs::read(testdata("images").join(name)).unwrap();
        folder.write(&format!("bad/{name}"), &bytes[..bytes.len() / 3]);
    }
    folder.copy("images/gray.png", "bad/good.png");
    let run = quick(&["classify", &folder.path("bad"), "--format", "json"]).exits(1);
    let failed: Vec<bool> = run.json_lines().iter().map(|line| line["error"].is_string()).collect();
    assert_eq!(failed, [true, true, false, true, true, true], "{}", run.stdout);
}

#[test]
fn a_decompression_bomb_is_refused_by_its_pixel_count() {
    let folder = Folder::new();
    // The header of a PNG of 65535 × 65535 pixels.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0".to_vec();
    png.extend([0; 64]);
    let bomb = folder.write("bomb.png", &png);
    let run = quick(&["classify", &bomb, "--format", "json"]).exits(1);
    assert!(run.json_lines()[0]["error"].as_str().unwrap().contains("65535x65535"), "{}", run.stdout);
}

#[test]
fn enormous_files_are_refused_unread() {
    let folder = Folder::new();
    for (name, start) in [("huge.jpg", &b"\xff\xd8\xff\xe0"[..]), ("huge.png", b"no image")] {
        let path = folder.write(name, start);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
        quick(&["classify", &path]).exits(1).says(&[name]);
    }
    let weights = folder.write("huge.safetensors", &[255; 8]);
    std::fs::OpenOptions::new().write(true).open(&weights).unwrap().set_len(8 << 30).unwrap();
    quick(&["info", &weights]).exits(2).says(&["huge.safetensors"]);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let place = folder.path("no/such/folder/e.npy");
    quick(&["embed", "images/one_pixel.png", "--output", &place]).exits(2).says(&["cannot write", &place]);
    let taken = folder.path("taken.npy");
    std::fs::create_dir(&taken).unwrap();
    quick(&["embed", "images/one_pixel.png", "--output", &taken]).exits(2).says(&["cannot write", &taken]);
}
