//! The compiled engine on every instruction set against transformers, timm, the original code and TensorFlow.

mod support;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use support::{Golden, lively, network, open, worst_difference, xs};
use swiftformer::{
    arch::{Arch, TailKind},
    checkpoint::Checkpoint,
    config::{Activation, Dialect, Reading, SwiftFormerConfig, Variant},
    image::Preset,
    loss::{Labels, loss},
    model::{Model, ModelOptions, OutputRequest, Outputs, Precision, Vectors},
    reference::{self, Map},
    tensor::Tensor,
    weights::{names::Layout, state::StateDict},
};
use swiftformer_kernels::{IsaKind, Kernels};

const SIZES: [&str; 2] = ["64x64", "75x107"];
const ALL: OutputRequest =
    OutputRequest { hidden_states: true, features: true, forward_features: true, pre_logits: true, heads: true };

fn checkpoint(arch: &Arch, state: &StateDict) -> Checkpoint {
    Checkpoint::from_parts(arch.clone(), state.clone(), Preset::Hf.preprocessor(224, 224))
}

fn compile(arch: &Arch, state: &StateDict, isa: IsaKind, threads: usize) -> Model {
    Model::new(&checkpoint(arch, state), &ModelOptions { threads, isa: Some(isa), ..ModelOptions::default() }).unwrap()
}

/// Runs on every instruction set of this machine, alone and on three threads, which must agree to the bit.
fn on_every_isa((arch, state): &(Arch, StateDict), images: &Tensor, check: impl Fn(&Outputs)) {
    for isa in Kernels::available() {
        let outputs = compile(arch, state, isa, 1).run(images, &ALL).unwrap();
        check(&outputs);
        assert_eq!(compile(arch, state, isa, 3).run(images, &ALL).unwrap(), outputs, "{isa} on three threads");
    }
}

#[test]
fn transformers_hidden_states_and_logits() {
    let golden = Golden::open("hf_tiny");
    let network = open("hf_tiny/model.safetensors", Dialect::Sum);
    for size in SIZES {
        on_every_isa(&network, &golden.tensor(&format!("{size}.pixel_values")), |outputs| {
            assert_eq!(outputs.hidden_states.len(), 8);
            for (index, found) in outputs.hidden_states.iter().enumerate() {
                golden.check(&format!("{size}.hidden_states.{index}"), found);
            }
            golden.check(&format!("{size}.last_hidden_state"), &outputs.last_hidden_state);
            golden.check(&format!("{size}.logits"), outputs.logits.as_ref().unwrap());
        });
    }
}

#[test]
fn transformers_losses() {
    let golden = Golden::open("hf_tiny");
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let model = compile(&arch, &state, Kernels::detect().kind(), 1);
    let outputs = model.run(&golden.tensor("64x64.pixel_values"), &OutputRequest::default()).unwrap();
    let logits = outputs.logits.unwrap();
    let raw = |name: &str| golden.tensors[name].to_f32();
    let classes = raw("loss.single_label.labels").iter().map(|&class| class as i64).collect();
    let regression =
        SwiftFormerConfig { problem_type: Some(swiftformer::config::ProblemType::Regression), ..arch.config.clone() };
    for (name, config, labels) in [
        ("single_label", &arch.config, Labels::Classes(classes)),
        ("multi_label", &arch.config, Labels::Values(raw("loss.multi_label.labels"))),
        ("regression", &regression, Labels::Values(raw("loss.regression.labels"))),
    ] {
        let found = Tensor::new([], vec![loss(&logits, &labels, config).unwrap()]).unwrap();
        golden.check(&format!("loss.{name}"), &found);
    }
    // One label: both heads cut to their first row.
    let first: Vec<f32> = logits.data().chunks_exact(10).map(|row| row[0]).collect();
    let labels = Labels::Values(raw("loss.regression_1.labels"));
    let found = loss(&Tensor::new([2, 1], first).unwrap(), &labels, &arch.config).unwrap();
    golden.check("loss.regression_1", &Tensor::new([], vec![found]).unwrap());
}

#[test]
fn timm_features_embedding_and_logits() {
    let (inputs, golden) = (Golden::open("hf_tiny"), Golden::open("timm_tiny"));
    let network = open("timm_tiny/model.safetensors", Dialect::L2);
    for size in SIZES {
        on_every_isa(&network, &inputs.tensor(&format!("{size}.pixel_values")), |outputs| {
            for index in 0..4 {
                golden.check(&format!("{size}.features_only.{index}"), &outputs.features[index]);
            }
            golden.check(&format!("{size}.forward_features"), outputs.forward_features.as_ref().unwrap());
            golden.check(&format!("{size}.pre_logits"), outputs.pre_logits.as_ref().unwrap());
            golden.check(&format!("{size}.logits"), outputs.logits.as_ref().unwrap());
        });
    }
}

#[test]
fn timm_without_classes_and_with_other_input_channels() {
    let golden = Golden::open("timm_tiny");
    let (arch, state) = open("timm_tiny/model.safetensors", Dialect::L2);
    let mut no_classes = checkpoint(&arch, &state);
    no_classes.reset_classifier(0, 0).unwrap();
    let images = Golden::open("hf_tiny").tensor("64x64.pixel_values");
    let found = Model::new(&no_classes, &ModelOptions::default()).unwrap().run(&images, &ALL).unwrap();
    // timm states no error of its own for this one: it is the pooled features'.
    let tolerance = golden.tolerance("64x64.pre_logits");
    golden.check_within("64x64.num_classes_0", &found.logits.unwrap(), tolerance);
    for channels in [1, 4] {
        let mut adapted = checkpoint(&arch, &state);
        adapted.adapt_input_channels(channels).unwrap();
        let weight = adapted.state().get(adapted.arch().stem[0].conv.module, swiftformer::arch::Leaf::Weight).unwrap();
        let expected = golden.tensor(&format!("in_chans_{channels}.stem.0.weight"));
        assert_eq!(worst_difference(&weight.to_f32(), expected.data()), 0.0);
        let model = Model::new(&adapted, &ModelOptions::default()).unwrap();
        let outputs = model.run(&golden.tensor(&format!("in_chans_{channels}.input")), &ALL).unwrap();
        golden.check(&format!("in_chans_{channels}.logits"), &outputs.logits.unwrap());
    }
}

#[test]
fn the_original_code_in_both_dialects_with_heads_and_fork_feat() {
    let (inputs, golden) = (Golden::open("hf_tiny"), Golden::open("original_tiny"));
    for (dialect, name) in [(Dialect::Sum, "softmax"), (Dialect::L2, "l2")] {
        let classifier = open("original_tiny/checkpoint.pth", dialect);
        let mut tensors = classifier.1.to_tensors(&classifier.0, Layout::Original);
        tensors.retain(|key, _| !key.starts_with("norm.") && !key.contains("head."));
        let fork = golden
            .tensors
            .iter()
            .filter_map(|(key, tensor)| Some((key.strip_prefix("fork_norm.")?.to_owned(), tensor.clone())));
        tensors.extend(fork);
        let fork = network(tensors, dialect);
        assert_eq!(fork.0.tail_kind(), TailKind::Features);
        for size in SIZES {
            let images = inputs.tensor(&format!("{size}.pixel_values"));
            on_every_isa(&classifier, &images, |outputs| {
                golden.check(&format!("{name}.{size}.tokens"), &outputs.last_hidden_state);
                let [head, dist_head] = outputs.heads.as_ref().unwrap();
                golden.check(&format!("{name}.{size}.head"), head);
                golden.check(&format!("{name}.{size}.dist_head"), dist_head);
                golden.check(&format!("{name}.{size}.logits"), outputs.logits.as_ref().unwrap());
            });
            on_every_isa(&fork, &images, |outputs| {
                assert_eq!(outputs.logits, None);
                for (index, found) in outputs.features.iter().enumerate() {
                    golden.check(&format!("{name}.{size}.fork_feat.{index}"), found);
                }
            });
        }
    }
}

#[test]
fn tensorflow_hidden_states_and_logits() {
    let (inputs, golden) = (Golden::open("hf_tiny"), Golden::open("tf_tiny"));
    let network = open("tf_tiny/tf_model.h5", Dialect::Sum);
    for size in SIZES {
        on_every_isa(&network, &inputs.tensor(&format!("{size}.pixel_values")), |outputs| {
            // TensorFlow's own distance from PyTorch on these files is 1.2e-5 in hidden states, 1.9e-6 in logits.
            for (index, found) in outputs.hidden_states.iter().enumerate() {
                golden.check_within(&format!("{size}.hidden_states.{index}"), found, 3e-5);
            }
            golden.check_within(&format!("{size}.logits"), outputs.logits.as_ref().unwrap(), 6e-6);
        });
    }
}

#[test]
fn xs_in_both_dialects() {
    let golden = Golden::open("hf_xs");
    let images = golden.tensor("pixel_values");
    on_every_isa(&xs(Dialect::Sum), &images, |outputs| {
        for index in 3..8 {
            golden.check(&format!("hf.hidden_states.{index}"), &outputs.hidden_states[index]);
        }
        golden.check("hf.logits", outputs.logits.as_ref().unwrap());
    });
    on_every_isa(&xs(Dialect::L2), &images, |outputs| {
        for index in [2, 3] {
            golden.check(&format!("timm.stages.{index}"), &outputs.features[index]);
        }
        golden.check("timm.logits", outputs.logits.as_ref().unwrap());
    });
}

#[test]
fn odd_configs_agree_with_the_plain_forward_pass() {
    let base = || SwiftFormerConfig {
        depths: vec![1, 2],
        embed_dims: vec![10, 17],
        downsamples: vec![true, true],
        num_labels: 3,
        ..Variant::Xs.config()
    };
    let timm = SwiftFormerConfig {
        reading: Reading::Timm,
        downsamples: vec![true, true],
        use_layer_scale: false,
        hidden_act: Activation::Silu,
        ..base()
    };
    let three = SwiftFormerConfig {
        depths: vec![2, 1, 1],
        embed_dims: vec![6, 6, 33],
        downsamples: vec![false, true, true],
        num_channels: 5,
        mlp_ratio: 2.6,
        ..base()
    };
    let mut configs = vec![
        ("l2", base(), Dialect::L2, [40, 33]),
        ("softmax", base(), Dialect::Softmax, [33, 40]),
        ("raw", base(), Dialect::Raw, [64, 32]),
        ("unnormalised", SwiftFormerConfig { normalize_qk: false, ..base() }, Dialect::Softmax, [32, 65]),
        ("no layer scale", SwiftFormerConfig { use_layer_scale: false, ..base() }, Dialect::Sum, [32, 32]),
        ("timm's reading", timm, Dialect::L2, [64, 50]),
        ("three stages", three, Dialect::Sum, [47, 90]),
        (
            "oblong transitions",
            SwiftFormerConfig {
                down_patch_size: [4, 2],
                down_stride: [1, 3],
                down_pad: [2, 0],
                batch_norm_eps: 1e-2,
                ..base()
            },
            Dialect::L2,
            [40, 44],
        ),
    ];
    for name in Activation::spellings() {
        let hidden_act = Activation::from_name(name).unwrap();
        configs.push((name, SwiftFormerConfig { hidden_act, ..base() }, Dialect::Sum, [32, 36]));
    }
    for (name, config, dialect, size) in configs {
        let arch = Arch::build(&SwiftFormerConfig { dialect: Some(dialect), ..config }, TailKind::Classifier).unwrap();
        let network = (arch.clone(), lively(&arch, 7));
        let channels = arch.config.num_channels;
        let len = channels * size[0] * size[1];
        let pixels: Vec<f32> = (0..len).map(|at| ((at * at + 3 * at) % 101) as f32 / 25.0 - 2.0).collect();
        let map = Map { channels, size, data: pixels.iter().map(|&v| f64::from(v)).collect() };
        let expected = reference::forward(&arch, &network.1, map);
        let images = Tensor::new([1, channels, size[0], size[1]], pixels).unwrap();
        on_every_isa(&network, &images, |outputs| {
            let logits: Vec<f32> = expected.logits.as_ref().unwrap().iter().map(|&v| v as f32).collect();
            let found = outputs.logits.as_ref().unwrap();
            assert!(worst_difference(found.data(), &logits) < 2e-5, "{name}: {:?} {logits:?}", found.data());
            for (found, expected) in outputs.hidden_states.iter().zip(&expected.hidden_states) {
                assert_eq!(found.shape()[1..], [expected.channels, expected.size[0], expected.size[1]], "{name}");
                let largest = expected.data.iter().fold(1.0, |most: f64, v| most.max(v.abs())) as f32;
                let expected: Vec<f32> = expected.data.iter().map(|&v| v as f32).collect();
                let worst = worst_difference(found.data(), &expected);
                // Float rounding over a dozen layers, relative to the map's largest value.
                assert!(worst < 1e-5 * largest, "{name}: {worst:e} of {largest}");
            }
        });
    }
}

#[test]
fn a_batch_gives_what_its_images_give_alone() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::L2);
    let model = compile(&arch, &state, Kernels::detect().kind(), 2);
    let pixels = |seed: usize| (0..3 * 40 * 50).map(move |at| ((at * seed) % 37) as f32 / 18.0 - 1.0);
    let batch: Vec<f32> = (1..=5).flat_map(pixels).collect();
    let together = model.run(&Tensor::new([5, 3, 40, 50], batch).unwrap(), &ALL).unwrap().logits.unwrap();
    for (index, row) in together.data().chunks_exact(10).enumerate() {
        let alone = Tensor::new([1, 3, 40, 50], pixels(index + 1).collect::<Vec<_>>()).unwrap();
        assert_eq!(model.run(&alone, &ALL).unwrap().logits.unwrap().data(), row);
    }
}

#[test]
fn every_image_of_a_batch_is_handed_over_once_and_is_what_it_is_alone() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let images: Vec<Vec<f32>> = (0..8u8)
        .map(|image| (0..64 * 64 * 3).map(|index| f32::from(image) / 8.0 - (index % 7) as f32 / 7.0).collect())
        .collect();
    for threads in [1, 3] {
        let model = compile(&arch, &state, Kernels::detect().kind(), threads);
        for count in [1, 3, 8] {
            let batch: Vec<&[f32]> = images[..count].iter().map(Vec::as_slice).collect();
            let handed = Mutex::new(Vec::new());
            let hand_over = |index, vectors| handed.lock().unwrap().push((index, vectors));
            model.run_nhwc_each(&batch, [64, 64], true, hand_over).unwrap();
            let mut handed = handed.into_inner().unwrap();
            handed.sort_by_key(|(index, _)| *index);
            let (places, vectors): (Vec<usize>, Vec<Vectors>) = handed.into_iter().unzip();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
            let alone = batch.iter().flat_map(|image| model.run_nhwc(&[image], [64, 64], true).unwrap());
            assert_eq!(vectors, alone.collect::<Vec<_>>(), "{count} images on {threads} threads");
        }
        let handed = AtomicUsize::new(0);
        let counted = |_, _| {
            handed.fetch_add(1, Ordering::Relaxed);
        };
        assert!(model.run_nhwc_each(&[&[0.0; 3][..]; 4], [1, 1], false, counted).is_err());
        assert_eq!(handed.into_inner(), 0);
    }
}

#[test]
fn inputs_of_another_shape_are_named() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let model = compile(&arch, &state, Kernels::detect().kind(), 1);
    let message = |shape: &[usize]| model.run(&Tensor::zeros(shape), &ALL).unwrap_err().to_string();
    assert!(message(&[3, 64, 64]).contains("[3, 64, 64], expected [batch, 3, height, width]"));
    assert!(message(&[1, 4, 64, 64]).contains("[1, 4, 64, 64]"));
    assert!(message(&[0, 3, 64, 64]).contains("[0, 3, 64, 64]"));
    assert!(message(&[1, 3, 64, 31]).contains("64×31"));
}

/// Cosine of the angle between two vectors.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn bf16_keeps_the_direction_of_the_logits_and_the_first_class() {
    let (arch, state) = xs(Dialect::Sum);
    let golden = Golden::open("hf_xs");
    let photographs = ["china.jpg", "flower.jpg", "gradient.png", "checker.png"].map(|name| {
        let bytes = std::fs::read(support::testdata("images").join(name)).unwrap();
        let picture = swiftformer::image::decode(&bytes, Default::default(), &Default::default()).unwrap();
        Preset::Hf.preprocessor(224, 224).apply(&picture).unwrap()
    });
    let images = photographs.into_iter().chain([golden.tensor("pixel_values")]);
    for (index, image) in images.enumerate() {
        let [height, width] = [image.shape()[image.shape().len() - 2], image.shape()[image.shape().len() - 1]];
        let image = Tensor::new([1, 3, height, width], image.data().to_vec()).unwrap();
        for isa in Kernels::available() {
            let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
                let options = ModelOptions { threads: 1, isa: Some(isa), precision };
                let model = Model::new(&checkpoint(&arch, &state), &options).unwrap();
                model.run(&image, &OutputRequest::default()).unwrap().logits.unwrap()
            });
            let first = |logits: &Tensor| {
                (0..logits.data().len()).max_by(|&a, &b| logits.data()[a].total_cmp(&logits.data()[b]))
            };
            let similarity = cosine(exact.data(), rounded.data());
            assert!(similarity > 0.999, "image {index} on {isa}: cosine {similarity}");
            assert_eq!(first(&exact), first(&rounded), "image {index} on {isa}");
            assert_ne!(exact, rounded, "image {index} on {isa}");
        }
    }
}

#[test]
fn pixels_that_are_no_photograph_are_run_like_any_other() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let subnormal = f32::MIN_POSITIVE / 1024.0;
    for isa in Kernels::available() {
        let model = compile(&arch, &state, isa, 2);
        for pixel in [0.0, subnormal, f32::MAX, f32::INFINITY, f32::NAN] {
            let image = Tensor::new([1, 3, 64, 64], vec![pixel; 3 * 64 * 64]).unwrap();
            let logits = model.run(&image, &OutputRequest::default()).unwrap().logits.unwrap();
            if pixel.abs() < 1.0 {
                assert!(logits.data().iter().all(|logit| logit.is_finite()), "{isa}, {pixel}");
            }
        }
        assert_eq!(std::hint::black_box(subnormal) * 2.0, 2.0 * subnormal, "the caller's mode is restored");
        let empty = Tensor::new([1, 3, 0, 64], Vec::new()).unwrap();
        assert!(model.run(&empty, &OutputRequest::default()).is_err(), "{isa}, no pixels");
    }
}
