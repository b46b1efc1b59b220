//! Metrics against timm and PyTorch.

use crate::golden::{Golden, testdata};
use swiftformer_train::metrics::{Classification, MetricsError};

fn counts(logits: &str) -> Classification {
    let golden = Golden::open("metrics/classification.safetensors");
    let labels: Vec<usize> = golden.numbers("labels").1.iter().map(|&label| label as usize).collect();
    let mut counts = Classification::new(12);
    counts.add(&golden.floats(logits), &labels).unwrap();
    counts
}

#[test]
fn top_1_and_top_5_are_timms() {
    let text = std::fs::read(testdata("metrics/classification.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let percent = |share: f64| share * 100.0;
    let found = counts("logits");
    assert_eq!(expected["no_ties"]["top1"], percent(found.top1()));
    assert_eq!(expected["no_ties"]["top5"], percent(found.top5()));
    let tied = counts("logits_tied");
    assert_eq!(expected["ties"]["top1"]["lowest_index_first"], percent(tied.top1()));
    assert_eq!(expected["ties"]["top5"]["lowest_index_first"], percent(tied.top5()));
}

#[test]
fn classes_and_confusions_add_up() {
    let counts = counts("logits");
    let matrix = counts.confusion_matrix();
    let diagonal: u64 = (0..12).map(|class| matrix[class][class]).sum();
    assert_eq!(diagonal as f64 / 64.0, counts.top1());
    assert_eq!(matrix.iter().flatten().sum::<u64>(), 64);
    let names: Vec<String> = (0..11).map(|class| format!("class {class}")).collect();
    let report = counts.report(&names);
    for (label, class) in report.classes.iter().enumerate() {
        assert_eq!((class.images, class.correct), (matrix[label].iter().sum(), matrix[label][label]));
        let answers: u64 = matrix.iter().map(|row| row[label]).sum();
        assert_eq!(class.precision, (answers > 0).then(|| class.correct as f64 / answers as f64));
    }
    assert_eq!((report.classes[3].name.as_str(), report.classes[11].name.as_str()), ("class 3", "11"));
    assert_eq!(report.confusions.iter().map(|(_, _, count)| count).sum::<u64>(), 64 - diagonal);
    assert!(report.confusions.is_sorted_by_key(|(_, _, count)| std::cmp::Reverse(*count)));
}

#[test]
fn loss_is_the_mean_cross_entropy() {
    let golden = Golden::open("metrics/classification.safetensors");
    let logits = golden.floats("logits");
    let labels = golden.numbers("labels").1;
    // The textbook formula; the logits are small.
    let expected: f64 = logits
        .chunks_exact(12)
        .zip(labels)
        .map(|(logits, &label)| {
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            -(f64::from(logits[label as usize]).exp() / sum).ln()
        })
        .sum::<f64>()
        / 64.0;
    assert!((counts("logits").loss() - expected).abs() < 1e-12);
    let mut extreme = Classification::new(2);
    extreme.add(&[1000.0, -1000.0], &[1]).unwrap();
    assert_eq!(extreme.loss(), 2000.0);
}

#[test]
fn parts_merge_to_the_whole() {
    let golden = Golden::open("metrics/classification.safetensors");
    let logits = golden.floats("logits_tied");
    let labels: Vec<usize> = golden.numbers("labels").1.iter().map(|&label| label as usize).collect();
    let mut parts = Classification::new(12);
    for (logits, labels) in logits.chunks(12 * 10).zip(labels.chunks(10)) {
        let mut part = Classification::new(12);
        part.add(logits, labels).unwrap();
        parts.merge(&part);
    }
    let whole = counts("logits_tied");
    assert_eq!(parts.confusion_matrix(), whole.confusion_matrix());
    assert_eq!((parts.top1(), parts.top5()), (whole.top1(), whole.top5()));
    assert!((parts.loss() - whole.loss()).abs() < 1e-12);
}

#[test]
fn what_is_not_a_number_is_never_right() {
    let mut counts = Classification::new(3);
    counts.add(&[f32::NAN, 1.0, 0.0], &[0]).unwrap();
    counts.add(&[f32::NAN, 1.0, 0.0], &[1]).unwrap();
    assert_eq!((counts.top1(), counts.top5()), (0.0, 0.5));
    assert!(counts.loss().is_nan());
    assert_eq!(counts.confusions(9), [(1, 0, 1)]);
}

#[test]
fn wrong_sizes_and_labels_are_refused_and_not_counted() {
    let mut counts = Classification::new(3);
    let shape = MetricsError::Shape { logits: 4, images: 1, classes: 3 };
    assert_eq!(counts.add(&[0.0; 4], &[0]), Err(shape));
    assert_eq!(counts.add(&[0.0; 6], &[0, 3]), Err(MetricsError::Label { label: 3, classes: 3 }));
    assert_eq!(counts.images(), 0);
    assert!(counts.top1().is_nan());
}
