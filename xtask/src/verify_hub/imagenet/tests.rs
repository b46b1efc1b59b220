use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    model::ModelOptions,
};

use super::*;

/// Classes with one copy of a photograph each.
fn classes(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/images/china.jpg");
    for class in 0..count {
        let class = folder.path().join(format!("n{class:08}"));
        std::fs::create_dir(&class).unwrap();
        std::fs::copy(&photograph, class.join("a.jpg")).unwrap();
    }
    folder
}

#[test]
fn one_photograph_in_each_class_is_right_once() {
    let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap();
    let labels = checkpoint.config().num_labels;
    let folder = classes(labels);
    let images = list(folder.path()).unwrap();
    assert_eq!((images.files.len(), images.classes), (labels, labels));
    let model = Model::new(&checkpoint, &ModelOptions::default()).unwrap();
    let expected = 100.0 / labels as f64;
    assert!((top1(&model, &images).unwrap() - expected).abs() < 1e-9);
}

#[test]
fn classes_count_in_the_order_of_their_names() {
    let folder = classes(10);
    let images = list(folder.path()).unwrap();
    let names: Vec<_> = images.files.iter().map(|(path, class)| (path.parent().unwrap().to_owned(), *class)).collect();
    assert_eq!(names[3], (folder.path().join("n00000003"), 3));
}

#[test]
fn accuracies_agree_within_a_fifth_of_a_percent() {
    assert!(agrees(75.79, 75.6) && agrees(75.41, 75.6));
    assert!(!agrees(75.81, 75.6) && !agrees(f64::NAN, 75.6));
}
