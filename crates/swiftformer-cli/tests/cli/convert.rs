//! `swiftformer convert`: every layout and back.

use crate::support::{Folder, swiftformer, tensors};

#[test]
fn a_round_through_all_layouts_is_bit_exact() {
    let folder = Folder::new();
    let steps = [("timm", "1"), ("original", "2.pth"), ("tf", "3"), ("hf", "4")];
    let mut from = "hf_tiny".to_owned();
    for (layout, name) in steps {
        let to = folder.path(name);
        let run = swiftformer(&["convert", &from, &to, "--to", layout]).exits(0);
        assert!(run.stdout.starts_with(&format!("wrote {to} ({layout} layout")), "{}", run.stdout);
        assert!(run.stdout.contains("dialect sum"), "{}", run.stdout);
        from = to;
    }
    let before = tensors(crate::support::testdata("hf_tiny/model.safetensors"));
    let after = tensors(folder.path("4/model.safetensors"));
    assert_eq!(before.len(), after.len());
    for (name, tensor) in &before {
        // TensorFlow keeps no batch counters.
        if !name.ends_with("num_batches_tracked") {
            assert!(after[name] == *tensor, "{name} changed");
        }
    }
}

#[test]
fn weights_are_rounded_to_the_type_asked_for() {
    let folder = Folder::new();
    let read = |dtype: &str| {
        let target = folder.path(dtype);
        swiftformer(&["convert", "hf_tiny", &target, "--to", "hf", "--dtype", dtype]).exits(0);
        tensors(format!("{target}/model.safetensors"))
    };
    let (full, half, brain) = (read("f32"), read("f16"), read("bf16"));
    for (name, tensor) in &full {
        if name.ends_with("num_batches_tracked") {
            assert!(half[name] == *tensor && brain[name] == *tensor, "{name}");
            continue;
        }
        let (f16, bf16) = (half[name].to_f32(), brain[name].to_f32());
        for ((value, f16), bf16) in tensor.to_f32().into_iter().zip(f16).zip(bf16) {
            assert_eq!(
                (f16, bf16),
                (half::f16::from_f32(value).to_f32(), half::bf16::from_f32(value).to_f32()),
                "{name}"
            );
        }
    }
    let size = |dtype: &str| std::fs::metadata(format!("{}/model.safetensors", folder.path(dtype))).unwrap().len();
    // 132 948 values and the statistics of the norms, half of four bytes each.
    assert!(size("f32") - size("f16") > 2 * 132_948 && size("f32") - size("bf16") > 2 * 132_948);
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let folder = Folder::new();
    let target = folder.write("m.pth", b"mine");
    let run = swiftformer(&["convert", "hf_tiny", &target, "--to", "original"]).exits(2);
    run.says(&["exists already", "--force"]);
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    swiftformer(&["convert", "hf_tiny", &target, "--to", "original", "--force"]).exits(0);
    assert_eq!(tensors(&target).len(), 232);
    assert_eq!(folder.names(""), ["m.pth"]);
}

#[test]
fn a_dialect_that_the_other_library_does_not_compute_is_a_warning() {
    let folder = Folder::new();
    let convert = |model, name: &str, layout| {
        swiftformer(&["convert", model, &folder.path(name), "--to", layout]).exits(0).stderr
    };
    assert!(convert("hf_tiny", "a", "timm").contains("timm computes `l2`"));
    assert!(convert("timm_tiny", "b", "hf").contains("transformers computes `sum`"));
    assert_eq!(convert("timm_tiny", "c", "timm"), "");
    assert_eq!(convert("hf_tiny", "d", "tf"), "");
}

#[test]
fn loose_weights_need_their_dialect() {
    let folder = Folder::new();
    let run = swiftformer(&["convert", "original_tiny/checkpoint.pth", &folder.path("x"), "--to", "hf"]).exits(2);
    run.says(&["--dialect sum", "--dialect l2"]);
    assert_eq!(folder.names("").len(), 0);
}

#[cfg(unix)]
#[test]
fn others_may_read_what_is_written_as_any_other_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let plain = folder.write("plain", b"");
    swiftformer(&["convert", "demo", &folder.path("m"), "--to", "hf"]).exits(0);
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder.path("m/model.safetensors")), mode(&plain));
}
