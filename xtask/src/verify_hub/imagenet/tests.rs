use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    model::ModelOptions,
};

use super::*;

/// Ten classes with one copy of a photograph each.
fn ten_classes() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/images/china.jpg");
    for class in 0..10 {
        let class = folder.path().join(format!("n{class:08}"));
        std::fs::create_dir(&class).unwrap();
        std::fs::copy(&photograph, class.join("a.jpg")).unwrap();
    }
    folder
}

#[test]
fn one_photograph_in_each_of_ten_classes_is_right_once() {
    let folder = ten_classes();
    let images = list(folder.path()).unwrap();
    assert_eq!((images.files.len(), images.classes), (10, 10));
    let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap();
    let model = Model::new(&checkpoint, &ModelOptions::default()).unwrap();
    assert_eq!(top1(&model, &images).unwrap(), 10.0);
}

#[test]
fn classes_count_in_the_order_of_their_names() {
    let folder = ten_classes();
    let images = list(folder.path()).unwrap();
    let names: Vec<_> = images.files.iter().map(|(path, class)| (path.parent().unwrap().to_owned(), *class)).collect();
    assert_eq!(names[3], (folder.path().join("n00000003"), 3));
}

#[test]
fn accuracies_agree_within_a_fifth_of_a_percent() {
    assert!(agrees(75.79, 75.6) && agrees(75.41, 75.6));
    assert!(!agrees(75.81, 75.6) && !agrees(f64::NAN, 75.6));
}
