//! `swiftformer synth`: data sets drawn by rule.

use crate::support::{Folder, command, swiftformer};

#[test]
fn a_data_set_lies_where_it_was_asked_for() {
    let folder = Folder::new();
    let run = |name: &str, more: &[&str]| {
        let output = folder.path(name);
        let run = swiftformer(&[&["synth", &output, "--images", "24", "--size", "16"], more].concat()).exits(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
        folder.names(name)
    };
    std::fs::create_dir(folder.path("classify")).unwrap();
    assert_eq!(run("classify", &[]), ["synth.json", "train", "val"]);
    assert_eq!(folder.names("classify/val")[..3], ["apple", "banana", "brick wall"]);
    assert_eq!(run("detect", &["--task", "detect"]), ["annotations", "synth.json", "train2017", "val2017"]);
    let parts = ["annotations", "images", "objectInfo.txt", "synth.json"];
    assert_eq!(run("segment", &["--task", "segment", "--seed", "3"]), parts);
    assert_eq!(folder.names(""), ["classify", "detect", "segment"]);
}

#[test]
fn what_is_there_already_stays_untouched() {
    let folder = Folder::new();
    folder.write("full/photo.jpg", b"precious");
    let file = folder.write("file", b"precious");
    swiftformer(&["synth", &folder.path("full")]).exits(2).says(&["full", "not empty"]);
    swiftformer(&["synth", &file]).exits(2).says(&["a file at that place"]);
    swiftformer(&["synth", &folder.path("no/such/place")]).exits(2).says(&["no/such/place"]);
    assert_eq!(
        (folder.names(""), folder.names("full")),
        (vec!["file".into(), "full".into()], vec!["photo.jpg".into()])
    );
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let folder = Folder::new();
    let output = folder.path("out");
    swiftformer(&["synth", &output, "--images", "5"]).exits(2).says(&["out", "24 are the fewest"]);
    swiftformer(&["synth", &output, "--size", "5000"]).exits(2).says(&["16 to 2048"]);
    swiftformer(&["synth", &output, "--task", "guess"]).exits(2).says(&["classify", "segment"]);
    assert_eq!(folder.names(""), [""; 0]);
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_nothing_behind() {
    let folder = Folder::new();
    let output = folder.path("out");
    let mut child = command(&["synth", &output, "--images", "900000"]).spawn().unwrap();
    // The folder under way is there once work has begun.
    while folder.names("").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(folder.names(""), [""; 0]);
}
