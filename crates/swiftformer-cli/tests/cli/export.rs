//! `swiftformer export`: files for other runtimes.

use crate::support::{Folder, swiftformer};

#[test]
fn a_model_becomes_a_file_that_is_the_same_each_time() {
    let folder = Folder::new();
    let (first, second) = (folder.path("a.onnx"), folder.path("b.onnx"));
    let run = swiftformer(&["export", "hf_tiny", &first, "--size", "64x96"]).exits(0);
    assert!(run.stdout.starts_with(&format!("wrote {first} (onnx, ")), "{}", run.stdout);
    assert!(run.stdout.contains("64x96, batch 1, f32, dialect sum"), "{}", run.stdout);
    swiftformer(&["export", "hf_tiny", &second, "--size", "64x96"]).exits(0);
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
    assert_eq!(folder.names(""), ["a.onnx", "b.onnx"]);
}

#[test]
fn the_report_as_json_has_what_was_written() {
    let folder = Folder::new();
    let target = folder.path("m.onnx");
    let arguments = ["export", "timm_tiny", &target, "--precision", "f16", "--batch", "dynamic", "--report", "json"];
    let report = swiftformer(&arguments).exits(0).json();
    assert_eq!(report["bytes"], std::fs::metadata(&target).unwrap().len());
    assert_eq!((&report["dialect"], &report["batch"]), (&"l2".into(), &"dynamic".into()));
    assert_eq!(report["largest_difference"], serde_json::Value::Null);
}

#[test]
fn litert_is_a_file_and_ncnn_a_folder_of_one_image() {
    let folder = Folder::new();
    let (file, target) = (folder.path("m.tflite"), folder.path("m"));
    swiftformer(&["export", "hf_tiny", &file, "--format", "litert", "--size", "65x95", "--batch", "dynamic"]).exits(0);
    assert_eq!(&std::fs::read(&file).unwrap()[4..8], b"TFL3");
    swiftformer(&["export", "hf_tiny", &target, "--format", "ncnn", "--batch", "2"])
        .exits(2)
        .says(&["leave out --batch"]);
    assert_eq!(folder.names(""), ["m.tflite"]);
    swiftformer(&["export", "hf_tiny", &target, "--format", "ncnn", "--labels", "omit"]).exits(0);
    assert_eq!(folder.names("m"), ["model.json", "model.ncnn.bin", "model.ncnn.param"]);
    swiftformer(&["export", "demo", &folder.path("n"), "--format", "ncnn", "--verify"])
        .exits(2)
        .says(&["ncnn", "--verify"]);
}

#[test]
fn the_end_of_the_name_says_the_format_unless_an_option_does() {
    let folder = Folder::new();
    for (name, option, format) in [
        ("a.onnx", None, "onnx"),
        ("a.tflite", None, "litert"),
        ("a.mlpackage", None, "coreml"),
        ("a", None, "onnx"),
        ("b.tflite", Some("onnx"), "onnx"),
        ("b", Some("coreml"), "coreml"),
    ] {
        let target = folder.path(name);
        let mut arguments = vec!["export", "demo", &target, "--report", "json"];
        arguments.extend(option.into_iter().flat_map(|format| ["--format", format]));
        let run = swiftformer(&arguments).exits(0);
        assert_eq!(run.json()["format"], format, "{name}");
        assert_eq!(run.stderr.contains("call it"), name == "b", "{}", run.stderr);
    }
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let folder = Folder::new();
    let target = folder.write("m.onnx", b"mine");
    swiftformer(&["export", "demo", &target]).exits(2).says(&["exists already", "--force"]);
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    swiftformer(&["export", "demo", &target, "--force"]).exits(0);
    assert_eq!(folder.names(""), ["m.onnx"]);
}

#[test]
fn options_that_cannot_be_met_say_what_to_change() {
    let folder = Folder::new();
    let target = folder.path("m.onnx");
    let refused = |arguments: &[&str], parts: &[&str]| {
        swiftformer(&[&["export", "demo", &target], arguments].concat()).exits(2).says(parts);
    };
    refused(&["--size", "8x64"], &["8×64", "at least 32"]);
    refused(&["--batch", "0"], &["1 to 65536"]);
    refused(&["--format", "tnn"], &["`tnn` is no format", "onnx"]);
    refused(&["--labels", "embed", "--outputs", "features"], &["--outputs features"]);
    refused(&["--source-size", "any"], &["--with-preprocessing"]);
    refused(&["--source-size", "0x5", "--with-preprocessing"], &["such as 480x640, or any"]);
    let source = ["--with-preprocessing", "--preprocess", "hf", "--source-size", "any"];
    refused(&[&source[..], &["--format", "litert"]].concat(), &["litert", "leave out --source-size"]);
    refused(&[&source[..], &["--batch", "dynamic"]].concat(), &["--batch N"]);
    refused(&["--with-preprocessing", "--preprocess", "timm", "--source-size", "any"], &["--source-size HxW"]);
    swiftformer(&["export", "original_tiny/checkpoint.pth", &target]).exits(2).says(&["--dialect sum"]);
    let taken = folder.write("file", b"");
    swiftformer(&["export", "demo", &format!("{taken}/m.onnx")]).exits(2).says(&["cannot write", "m.onnx"]);
    assert_eq!(folder.names(""), ["file"]);
}

#[test]
fn force_replaces_no_folder_of_other_things() {
    let folder = Folder::new();
    folder.write("photos/cat.jpg", b"cat");
    for format in ["onnx", "ncnn", "coreml"] {
        swiftformer(&["export", "demo", &folder.path("photos"), "--format", format, "--force"])
            .exits(2)
            .says(&["photos is not replaced", "choose another place"]);
    }
    assert_eq!(folder.names("photos"), ["cat.jpg"]);
}

#[test]
fn a_source_size_goes_into_the_file() {
    let folder = Folder::new();
    let target = folder.path("m.onnx");
    let arguments =
        ["export", "hf_tiny", &target, "--with-preprocessing", "--source-size", "480x640", "--report", "json"];
    let report = swiftformer(&arguments).exits(0).json();
    assert_eq!(report["source_size"], "480x640");
    let bytes = std::fs::read(&target).unwrap();
    assert!(bytes.windows(6).any(|window| window == b"Resize"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    // No process may write a file longer than its limit, here half a mebibyte; the demo's is longer.
    let folder = Folder::new();
    let target = folder.path("m.onnx");
    let program = env!("CARGO_BIN_EXE_swiftformer");
    let script = format!("trap '' XFSZ; ulimit -f 100; exec '{program}' export demo '{target}'");
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot write") && stderr.contains("m.onnx"), "{stderr}");
    assert_eq!(folder.names("").len(), 0);
}

#[cfg(not(feature = "verify"))]
#[test]
fn a_build_without_the_engine_refuses_to_verify_before_it_works() {
    let folder = Folder::new();
    let run = swiftformer(&["export", "demo", &folder.path("m.onnx"), "--verify"]).exits(2);
    run.says(&["--features verify"]);
    assert_eq!(folder.names("").len(), 0);
}

#[cfg(feature = "verify")]
#[test]
fn another_engine_gives_the_same_from_every_kind_of_file() {
    let folder = Folder::new();
    for (index, arguments) in [
        &["hf_tiny", "--size", "64x96"][..],
        &["timm_tiny", "--size", "75x107", "--gelu", "op", "--batch", "dynamic"],
        &["timm_tiny", "--size", "64x64", "--outputs", "features", "--batch", "3"],
        &["timm_tiny", "--size", "64x64", "--outputs", "embedding", "--dialect", "softmax"],
        &["hf_tiny", "--outputs", "probabilities", "--with-preprocessing"],
    ]
    .into_iter()
    .enumerate()
    {
        let target = folder.path(&format!("{index}.onnx"));
        let run = [&["export", arguments[0], &target, "--verify", "--report", "json"], &arguments[1..]].concat();
        let report = swiftformer(&run).exits(0).json();
        let difference = report["largest_difference"].as_f64().unwrap();
        assert!(difference < 1e-4, "{arguments:?}: {difference}");
    }
}
