//! What counts as an image to look at.

use crate::support::{Folder, Run, swiftformer, swiftformer_with};

/// Names of the images that a run answered, without the folder.
fn names(run: &Run, folder: &Folder) -> Vec<String> {
    let prefix = folder.path("");
    let name = |answer: serde_json::Value| answer["image"].as_str().unwrap().replace(&prefix, "");
    run.json_lines().into_iter().map(name).collect()
}

fn classify(inputs: &[&str]) -> Run {
    swiftformer(&[&["classify", "--format", "json", "--quiet"], inputs].concat())
}

fn album() -> Folder {
    let folder = Folder::new();
    for name in ["b/2.PNG", "b/10.png", "a.jpeg", "c.Png", ".hidden/x.png", "b/.y.png", "b/deep/er/z.png"] {
        folder.copy("images/one_pixel.png", name);
    }
    folder.write("b/notes.txt", b"no image");
    folder
}

#[test]
fn a_folder_is_searched_in_order_for_visible_images() {
    let folder = album();
    let run = classify(&[&folder.path("")]).exits(0);
    assert_eq!(names(&run, &folder), ["a.jpeg", "b/10.png", "b/2.PNG", "b/deep/er/z.png", "c.Png"]);
}

#[test]
fn globs_work_without_a_shell() {
    let folder = album();
    let run = classify(&[&folder.path("b/*.png"), &folder.path("**/z.*")]).exits(0);
    assert_eq!(names(&run, &folder), ["b/10.png", "b/deep/er/z.png"]);
}

#[test]
fn a_file_with_the_name_of_a_glob_is_a_file() {
    let folder = Folder::new();
    folder.copy("images/one_pixel.png", "what[1]?.png");
    let run = classify(&[&folder.path("what[1]?.png")]).exits(0);
    assert_eq!(names(&run, &folder), ["what[1]?.png"]);
}

#[test]
fn stdin_lists_one_path_a_line() {
    let folder = album();
    let list = format!("{}\r\n\n{}\n{}", folder.path("c.Png"), folder.path("b/deep"), folder.path("missing.png"));
    let run = swiftformer_with(&["classify", "-", "--format", "json"], &list).exits(1);
    assert_eq!(names(&run, &folder), ["c.Png", "b/deep/er/z.png", "missing.png"]);
}

#[test]
fn a_file_named_on_the_command_line_is_tried_whatever_its_name() {
    let folder = Folder::new();
    folder.copy("images/one_pixel.png", ".hidden.dat");
    let run = classify(&[&folder.path(".hidden.dat")]).exits(0);
    assert_eq!(names(&run, &folder), [".hidden.dat"]);
}

#[test]
fn nothing_to_look_at_is_wrong_usage() {
    let folder = Folder::new();
    for input in [folder.path(""), folder.path("*.png")] {
        swiftformer(&["classify", &input]).exits(2).says(&["no images", &input]);
    }
    swiftformer(&["classify"]).exits(2).says(&["<INPUT>..."]);
    swiftformer_with(&["classify", "-"], "").exits(2).says(&["no images"]);
}

#[cfg(unix)]
#[test]
fn links_that_run_in_circles_end() {
    let folder = album();
    std::os::unix::fs::symlink(folder.path(""), folder.path("b/circle")).unwrap();
    std::os::unix::fs::symlink(folder.path("a.jpeg"), folder.path("link.png")).unwrap();
    assert_eq!(names(&classify(&[&folder.path("")]).exits(0), &folder).len(), 6);
}
