use super::*;
use crate::{
    arch::{Leaf, Module},
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    config::{ProblemType, SwiftFormerConfig},
    image::{Preset, RgbImage},
    model::{Model, ModelOptions, OutputRequest},
    tensor::Tensor,
};

#[test]
fn softmax_sums_to_one_and_survives_huge_logits() {
    for logits in [[0.0, 1.0, 2.0], [-1e38, 0.0, 1e38], [3e38, 3e38, 3e38]] {
        let sum: f32 = softmax(&logits).iter().sum();
        assert!((sum - 1.0).abs() < 1e-6, "{logits:?} sums to {sum}");
    }
    assert!(softmax(&[]).is_empty());
}

#[test]
fn top_k_puts_equal_values_in_their_order_and_nan_last() {
    assert_eq!(top_k(&[f32::NAN, 1.0, 2.0, 1.0, f32::NAN], 9), [2, 1, 3, 0, 4]);
    assert_eq!(top_k(&[1.0; 6], 2), [0, 1]);
    assert_eq!(top_k(&[1.0, 2.0], 0), [0; 0]);
}

#[test]
fn several_labels_get_sigmoids_and_a_regression_its_values() {
    let with = |problem_type| SwiftFormerConfig { problem_type, num_labels: 2, ..SwiftFormerConfig::default() };
    let scores = |problem_type| predictions(&[0.0, 3.0], &with(problem_type), 2).iter().map(|p| p.score).collect();
    let multi: Vec<f32> = scores(Some(ProblemType::MultiLabel));
    assert_eq!(multi, [0.95257413, 0.5]);
    let raw: Vec<f32> = scores(Some(ProblemType::Regression));
    assert_eq!(raw, [3.0, 0.0]);
    let single: Vec<f32> = scores(None);
    assert_eq!((single[0], single[0] + single[1]), (0.95257413, 1.0));
}

#[test]
fn the_mean_of_all_contributions_is_the_logit_without_biases() {
    let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap();
    let activation = ClassActivation::new(&checkpoint).unwrap();
    let model = Model::new(&checkpoint, &ModelOptions::default()).unwrap();
    let image = Tensor::new([1, 3, 75, 107], (0..3 * 75 * 107).map(|i| (i as f32 * 0.37).sin()).collect()).unwrap();
    let request = OutputRequest { forward_features: true, ..OutputRequest::default() };
    let outputs = model.run(&image, &request).unwrap();
    let (features, logits) = (outputs.forward_features.unwrap(), outputs.logits.unwrap());
    let biases = [Module::Head, Module::DistHead].map(|head| checkpoint.state().values(head, Leaf::Bias));
    for (class, logit) in logits.data().iter().enumerate() {
        let values = activation.contributions(features.data(), [3, 4], class).unwrap();
        let mean = values.iter().sum::<f32>() / 12.0 + (biases[0][class] + biases[1][class]) / 2.0;
        assert!((mean - logit).abs() < 1e-4 * logit.abs().max(1.0), "class {class}: {mean}, {logit}");
    }
}

/// The embedded model's activation, and its channels.
fn demo() -> (ClassActivation, usize) {
    let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap();
    (ClassActivation::new(&checkpoint).unwrap(), *checkpoint.config().embed_dims.last().unwrap())
}

#[test]
fn a_map_runs_from_0_to_1_and_a_flat_one_is_0() {
    let (activation, channels) = demo();
    let features: Vec<f32> = (0..channels * 6).map(|i| (i as f32 * 1.7).cos()).collect();
    let values = activation.map(&features, [2, 3], 3).unwrap().values().to_vec();
    let (low, high) = values.iter().fold((1.0f32, 0.0f32), |(low, high), &v| (low.min(v), high.max(v)));
    assert_eq!((low, high), (0.0, 1.0));
    assert_eq!(activation.map(&vec![0.5; channels], [1, 1], 3).unwrap().values(), [0.0]);
}

#[test]
fn features_that_do_not_fit_are_errors() {
    let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default()).unwrap();
    let activation = ClassActivation::new(&checkpoint).unwrap();
    let channels = checkpoint.config().embed_dims.last().unwrap();
    let classes = checkpoint.config().num_labels;
    let features = |value| vec![value; *channels];
    let beyond = activation.map(&features(0.0), [1, 1], classes);
    assert!(matches!(beyond, Err(HeatmapError::Class { class, classes: found }) if [class, found] == [classes; 2]));
    assert!(matches!(activation.map(&features(0.0), [1, 2], 0), Err(HeatmapError::Features { .. })));
    assert!(matches!(activation.map(&features(f32::NAN), [1, 1], 0), Err(HeatmapError::NotFinite)));
    let backbone = checkpoint.into_backbone().unwrap();
    assert!(matches!(ClassActivation::new(&backbone), Err(HeatmapError::NoClassifier)));
}

#[test]
fn what_the_crop_cut_off_has_no_overlay() {
    let (activation, channels) = demo();
    let map = activation.map(&vec![1.0; channels * 49], [7, 7], 0).unwrap();
    let photograph = RgbImage::filled(400, 200, [100, 100, 100]);
    let preprocessor = Preset::Timm.preprocessor(224, 224);
    let overlay = map.overlay(&photograph, &preprocessor).unwrap();
    assert_eq!((overlay.width(), overlay.height()), (400, 200));
    let pixel = |x: usize, y: usize| <[u8; 3]>::try_from(&overlay.row(y)[3 * x..3 * x + 3]).unwrap();
    // The short side becomes 235 and the crop keeps 224 of 470 columns: pixels 104.7 to 295.3 of 400.
    assert_eq!([pixel(103, 100), pixel(296, 100), pixel(200, 3)], [[100; 3]; 3]);
    assert_eq!([pixel(106, 100), pixel(294, 100), pixel(200, 100)], [[50, 50, 52]; 3]);
}

#[test]
fn a_map_is_enlarged_bilinearly_over_the_whole_of_a_squashed_photograph() {
    let (activation, channels) = demo();
    let mut features = vec![0.0f32; channels * 2];
    features[1] = 1.0;
    let map = activation.map(&features, [1, 2], 0).unwrap();
    let photograph = RgbImage::filled(8, 1, [0; 3]);
    let overlay = map.overlay(&photograph, &Preset::Hf.preprocessor(64, 64)).unwrap();
    let reds: Vec<u8> = overlay.data().iter().copied().step_by(3).collect();
    // Each of the two values stands for the middle of its half: pixels 0 and 1 lie before the first.
    let steps = [0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0];
    let rising: Vec<u8> = steps.iter().map(|&v| (f32::from(inferno(v)[0]) / 2.0).round() as u8).collect();
    let falling: Vec<u8> = rising.iter().rev().copied().collect();
    assert!(reds == rising || reds == falling, "{reds:?}");
}

#[test]
fn inferno_ends_where_matplotlib_ends_and_grows_brighter() {
    assert_eq!([inferno(0.0), inferno(0.5), inferno(1.0)], [[0, 0, 4], [187, 55, 85], [252, 255, 164]]);
    assert_eq!([inferno(-3.0), inferno(f32::INFINITY)], [inferno(0.0), inferno(1.0)]);
    let luma = |i: u8| inferno(f32::from(i) / 255.0).iter().zip([299, 587, 114]).map(|(&c, w)| u32::from(c) * w).sum();
    let lumas: Vec<u32> = (0..=255).map(luma).collect();
    assert!(lumas.windows(2).all(|pair| pair[0] <= pair[1] + 1000));
}
