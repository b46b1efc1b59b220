//! The network in eval mode, its checkpoints, dropping, and runs that stop and go on.

mod support;

use burn::tensor::Device;
use support::{batch, checkpoint, network, tensors};
use swiftformer::{
    arch::{Arch, Leaf, Module, Part, TailKind},
    checkpoint::{Checkpoint, ModelSource, OpenOptions, SaveOptions},
    config::{Activation, Dialect, Reading, SwiftFormerConfig},
    reference::{self, Map},
    weights::{names::Layout, state::StateDict},
};
use swiftformer_kernels::Precision;
use swiftformer_train::{
    loss::{BaseHead, BaseLoss, Criterion, Distillation},
    model::{ModelError, Network, NetworkOptions, Outputs},
    optim::{Average, Clip, GroupOptions, Optimizer, Rule},
    trainer::{TrainError, Trainer},
};

const SOFT: Criterion = Criterion {
    base: BaseLoss::CrossEntropy { smoothing: 0.1 },
    base_head: BaseHead::Class,
    distillation: Distillation::Soft { alpha: 0.3, tau: 2.0 },
};

fn trainer(checkpoint: &Checkpoint, rule: Rule) -> Trainer {
    let network = network(checkpoint, true);
    let options = GroupOptions { weight_decay: 0.05, layer_decay: 0.8 };
    let optimizer = Optimizer::new(rule, network.parameters(), &options);
    let mut trainer = Trainer::new(network, optimizer, SOFT);
    trainer.clip = Clip::Norm(5.0);
    trainer.average = Some(Average::new(0.9, trainer.network.parameters()));
    trainer
}

fn small_config() -> SwiftFormerConfig {
    SwiftFormerConfig {
        depths: vec![1, 2, 1, 2],
        embed_dims: vec![8, 12, 20, 24],
        num_labels: 5,
        ..SwiftFormerConfig::default()
    }
}

fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 % 1013) as f32 / 506.5 - 1.0) * 1.7).collect()
}

/// The network in eval mode against the library's own reference, for configs that the golden files do not have.
#[test]
fn eval_mode_is_the_reference_for_every_config() {
    let base = small_config();
    let mut configs = vec![base.clone()];
    configs.extend(Dialect::ALL.map(|dialect| SwiftFormerConfig { dialect: Some(dialect), ..base.clone() }));
    configs.push(SwiftFormerConfig { normalize_qk: false, use_layer_scale: false, ..base.clone() });
    for hidden_act in
        [Activation::Prelu, Activation::Xielu, Activation::Mish, Activation::QuickGelu, Activation::Laplace]
    {
        configs.push(SwiftFormerConfig { hidden_act, reading: Reading::Timm, use_layer_scale: false, ..base.clone() });
    }
    for (at, config) in configs.into_iter().enumerate() {
        for fused in [false, true] {
            let arch = Arch::build(&config, TailKind::Classifier).unwrap();
            let state = StateDict::initialised(&arch, at as u64);
            let options = NetworkOptions { fused, ..NetworkOptions::default() };
            let network = Network::new(arch.clone(), &state, &options, &Device::flex()).unwrap();
            let pixels = noise(2 * 3 * 41 * 52);
            let outputs = network.eval(network.images(pixels.clone(), [2, 3, 41, 52]).unwrap()).unwrap();
            let found: Vec<f32> = outputs.logits().to_data().try_into_vec().unwrap();
            for (image, found) in pixels.chunks_exact(3 * 41 * 52).zip(found.chunks_exact(5)) {
                let data = image.iter().map(|&v| f64::from(v)).collect();
                let expected = reference::forward(&arch, &state, Map { channels: 3, size: [41, 52], data });
                let expected = expected.logits.unwrap();
                let scale = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((f64::from(*found) - expected).abs() < 2e-5 * scale, "{config:?}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn a_trained_network_is_a_checkpoint_in_every_layout() {
    let opened = checkpoint("timm_tiny");
    let inputs = tensors("training/inputs.safetensors");
    let mut trainer = trainer(&opened, Rule::ADAMW);
    trainer.step(batch(&inputs, 0), 1e-3, 0).unwrap();
    let images = || trainer.network.images(inputs["x.1"].to_f32(), [4, 3, 64, 64]).unwrap();
    let expected: Vec<f32> = trainer.network.eval(images()).unwrap().logits().to_data().try_into_vec().unwrap();
    let arch = trainer.network.arch().clone();
    let trained = Checkpoint::from_parts(arch, trainer.network.to_state(), opened.preprocessor().clone());
    let folder = tempfile::tempdir().unwrap();
    for layout in Layout::ALL {
        let target = folder.path().join(layout.name());
        trained.save(&target, layout, SaveOptions::default()).unwrap();
        let options = OpenOptions { dialect: Some(Dialect::L2), ..OpenOptions::default() };
        let again = Checkpoint::open(&ModelSource::Path(target), &options).unwrap();
        let network = network(&again, true);
        let outputs = network.eval(images()).unwrap();
        let found: Vec<f32> = outputs.logits().to_data().try_into_vec().unwrap();
        assert_eq!(found, expected, "{layout}");
        let counter = |state: &StateDict| state.get(Module::Norm, Leaf::NumBatchesTracked).cloned();
        if layout != Layout::TensorFlow {
            assert_eq!(counter(again.state()), counter(trained.state()));
        }
    }
    let before = opened.state().get(Module::Norm, Leaf::NumBatchesTracked).unwrap().to_f32()[0];
    assert_eq!(trained.state().get(Module::Norm, Leaf::NumBatchesTracked).unwrap().to_f32()[0], before + 1.0);
}

#[test]
fn a_run_that_stops_and_goes_on_gives_the_same_bits() {
    let opened = checkpoint("hf_tiny");
    let inputs = tensors("training/inputs.safetensors");
    for rule in [Rule::ADAMW, Rule::Sgd { momentum: 0.9, nesterov: true }] {
        let mut whole = trainer(&opened, rule);
        (0..3).for_each(|step| drop(whole.step(batch(&inputs, step), 1e-3, step as u64).unwrap()));

        let mut first = trainer(&opened, rule);
        first.step(batch(&inputs, 0), 1e-3, 0).unwrap();
        let stored = first.to_tensors();
        let arch = first.network.arch().clone();
        let half = Checkpoint::from_parts(arch.clone(), first.network.to_state(), opened.preprocessor().clone());
        let mut second = trainer(&half, rule);
        second.load_tensors(&stored).unwrap();
        (1..3).for_each(|step| drop(second.step(batch(&inputs, step), 1e-3, step as u64).unwrap()));

        assert!(second.network.to_state() == whole.network.to_state(), "{rule:?}");
        let averages = |trainer: &Trainer| trainer.average.as_ref().unwrap().to_tensors(&arch);
        assert!(averages(&second) == averages(&whole), "{rule:?}");
    }
}

#[test]
fn two_halves_add_up_to_the_gradients_of_their_mean() {
    let opened = checkpoint("hf_tiny");
    let inputs = tensors("training/inputs.safetensors");
    let gradients = |batches: &[(usize, f64)]| {
        let mut trainer = trainer(&opened, Rule::ADAMW);
        for &(step, share) in batches {
            trainer.accumulate(batch(&inputs, step), share, 0).unwrap();
        }
        trainer.gradients_mut().unwrap().clone()
    };
    let (one, two, both) = (gradients(&[(0, 1.0)]), gradients(&[(1, 1.0)]), gradients(&[(0, 0.5), (1, 0.5)]));
    for ((one, two), both) in one.iter().zip(&two).zip(&both) {
        let (Some(one), Some(two), Some(both)) = (one, two, both) else { continue };
        for ((a, b), sum) in one.iter().zip(two).zip(both) {
            assert!((0.5 * a + 0.5 * b - sum).abs() <= 1e-5 * (a.abs() + b.abs()) + 1e-7, "{a} {b} {sum}");
        }
    }
}

#[test]
fn dropping_follows_the_seed_and_only_in_train_mode() {
    let mut config = SwiftFormerConfig { drop_path_rate: 0.5, drop_mlp_rate: 0.2, ..small_config() };
    for reading in [Reading::HuggingFace, Reading::Timm] {
        config.reading = reading;
        config.drop_conv_encoder_rate = if reading == Reading::HuggingFace { 0.2 } else { 0.0 };
        let arch = Arch::build(&config, TailKind::Classifier).unwrap();
        let state = StateDict::initialised(&arch, 1);
        let heads = |fused: bool, seed: u64| -> Vec<f32> {
            let options = NetworkOptions { fused, ..NetworkOptions::default() };
            let mut network = Network::new(arch.clone(), &state, &options, &Device::flex()).unwrap();
            let images = network.images(noise(6 * 3 * 64 * 64), [6, 3, 64, 64]).unwrap();
            network.train(images, seed).unwrap().outputs.head.to_data().try_into_vec().unwrap()
        };
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * (a.abs() + 1e-2));
        assert_eq!(heads(true, 4), heads(true, 4));
        assert!(!close(&heads(true, 4), &heads(true, 5)));
        assert!(close(&heads(true, 4), &heads(false, 4)), "whole blocks drop what single operations drop");
    }
}

#[test]
fn checkpointing_changes_no_bit() {
    let opened = checkpoint("timm_tiny");
    let steps = |checkpointing: bool, threads: usize| {
        let options = NetworkOptions { checkpointing, threads, ..NetworkOptions::default() };
        let network = Network::new(opened.arch().clone(), opened.state(), &options, &Device::flex()).unwrap();
        let groups = GroupOptions { weight_decay: 0.1, layer_decay: 1.0 };
        let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &groups);
        let mut trainer = Trainer::new(network, optimizer, SOFT);
        trainer.clip = Clip::Norm(1.0);
        for step in 0..2 {
            trainer.step(batch(&tensors("training/inputs.safetensors"), step), 1e-2, 0).unwrap();
        }
        trainer.network.to_state()
    };
    let kept = steps(false, 2);
    assert!(steps(true, 2) == kept);
    assert!(steps(true, 1) == kept, "nor does the number of threads");
}

/// Loss and gradients of the first step, of burn's operations alone as on graphics cards.
fn composed(options: NetworkOptions) -> (f32, Vec<Vec<f32>>) {
    let opened = checkpoint("timm_tiny");
    let options = NetworkOptions { fused: false, ..options };
    let network = Network::new(opened.arch().clone(), opened.state(), &options, &Device::flex()).unwrap();
    let groups = GroupOptions { weight_decay: 0.1, layer_decay: 1.0 };
    let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &groups);
    let mut trainer = Trainer::new(network, optimizer, SOFT);
    let report = trainer.accumulate(batch(&tensors("training/inputs.safetensors"), 0), 1.0, 0).unwrap();
    let gradients = trainer.gradients_mut().unwrap().iter().flatten().cloned().collect();
    (report.loss, gradients)
}

#[test]
fn checkpointing_of_burns_operations_changes_no_bit() {
    let kept = composed(NetworkOptions::default());
    assert!(composed(NetworkOptions { checkpointing: true, ..NetworkOptions::default() }) == kept);
}

#[test]
fn products_in_bfloat16_give_gradients_to_two_digits() {
    let (loss, exact) = composed(NetworkOptions::default());
    let (found, rounded) = composed(NetworkOptions { precision: Precision::Bf16, ..NetworkOptions::default() });
    // bfloat16 has eight bits: a product of two is right to 1/256 at worst, and some forty follow each other.
    assert!(found != loss && (found / loss - 1.0).abs() < 1e-2, "{found} {loss}");
    let squares = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    let (mut difference, mut size) = (0.0, 0.0);
    for (exact, rounded) in exact.iter().zip(&rounded) {
        let wrong: Vec<f32> = exact.iter().zip(rounded).map(|(a, b)| a - b).collect();
        (difference, size) = (difference + squares(&wrong), size + squares(exact));
    }
    let relative = (difference / size).sqrt();
    assert!((1e-4..5e-2).contains(&relative), "{relative}");
}

#[test]
fn frozen_tensors_stay_and_the_others_move() {
    let opened = checkpoint("timm_tiny");
    let mut network = network(&opened, true);
    network.parameters_mut().freeze(|module| !matches!(module, Module::Head | Module::DistHead));
    let optimizer =
        Optimizer::new(Rule::ADAMW, network.parameters(), &GroupOptions { weight_decay: 0.1, layer_decay: 1.0 });
    let mut trainer = Trainer::new(network, optimizer, SOFT);
    trainer.step(batch(&tensors("training/inputs.safetensors"), 0), 1e-2, 0).unwrap();
    let state = trainer.network.to_state();
    for param in opened.arch().params().iter().filter(|param| param.kind.is_trainable()) {
        let same = state.values(param.module, param.leaf) == opened.state().values(param.module, param.leaf);
        assert_eq!(same, !matches!(param.module, Module::Head | Module::DistHead), "{param:?}");
    }
}

#[test]
fn frozen_statistics_train_what_eval_mode_computes() {
    let opened = checkpoint("timm_tiny");
    let inputs = tensors("training/inputs.safetensors");
    for heads_alone in [true, false] {
        let options = NetworkOptions { freeze_statistics: true, ..NetworkOptions::default() };
        let mut network = Network::new(opened.arch().clone(), opened.state(), &options, &Device::flex()).unwrap();
        if heads_alone {
            network.parameters_mut().freeze(|module| !matches!(module, Module::Head | Module::DistHead));
        }
        let images = || network.images(inputs["x.0"].to_f32(), [4, 3, 64, 64]).unwrap();
        let (first, second) = (images(), images());
        let host = |outputs: &Outputs| -> Vec<f32> { outputs.logits().inner().to_data().try_into_vec().unwrap() };
        let expected = host(&network.eval(first).unwrap());
        let pass = network.train(second, 0).unwrap();
        for (found, expected) in host(&pass.outputs).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
        }
        let loss = pass.outputs.head.clone().powi_scalar(2).sum();
        let gradients = pass.backward(&loss);
        let moving = network.parameters().list().iter().zip(&gradients).filter(|(_, gradient)| gradient.is_some());
        let moving: Vec<Module> = moving.map(|(parameter, _)| parameter.param.module).collect();
        assert_eq!(moving.iter().all(|module| matches!(module, Module::Head | Module::DistHead)), heads_alone);
        let state = network.to_state();
        for param in opened.arch().params().iter().filter(|param| !param.kind.is_trainable()) {
            assert_eq!(state.get(param.module, param.leaf), opened.state().get(param.module, param.leaf), "{param:?}");
        }
    }
}

#[test]
fn what_cannot_be_trained_on_is_an_error() {
    let opened = checkpoint("timm_tiny");
    let mut network = network(&opened, true);
    let error = network.images(vec![0.0; 4 * 64 * 64], [1, 4, 64, 64]).unwrap_err();
    assert!(matches!(error, ModelError::Images { channels: 3, .. }));
    assert!(network.images(vec![0.0; 7], [1, 3, 64, 64]).is_err());
    assert!(network.images(vec![0.0; 3 * 16 * 16], [1, 3, 16, 16]).is_err());
    let single = network.images(vec![0.5; 3 * 32 * 32], [1, 3, 32, 32]).unwrap();
    let before = network.to_state();
    assert_eq!(network.train(single, 0).unwrap_err(), ModelError::Statistics { tokens: 1 });
    assert!(network.to_state() == before, "a failed pass moves nothing");
    let mut trainer = trainer(&opened, Rule::ADAMW);
    let mut bad = batch(&tensors("training/inputs.safetensors"), 0);
    bad.images[17] = f32::NAN;
    assert!(matches!(trainer.step(bad, 1e-3, 0), Err(TrainError::NotFinite { .. })));
}

/// timm's `group_matcher`: stem, blocks with the transition before them, the last with the final BatchNorm, heads.
#[test]
fn layers_further_from_the_heads_learn_slower() {
    let opened = checkpoint("timm_tiny");
    let network = network(&opened, false);
    let options = GroupOptions { weight_decay: 0.05, layer_decay: 0.5 };
    let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &options);
    let scale = |module: Module| {
        let list = network.parameters().list();
        optimizer.groups()[list.iter().position(|p| p.param.module == module).unwrap()].lr_scale
    };
    // Nine blocks: the stem is ten layers before the heads.
    assert_eq!(scale(Module::StemConv { index: 1 }), 0.5_f64.powi(10));
    assert_eq!(scale(Module::TransitionConv { stage: 1 }), 0.5_f64.powi(7));
    assert_eq!(scale(Module::Block { stage: 1, block: 0, part: Part::Norm }), 0.5_f64.powi(7));
    assert_eq!(scale(Module::Block { stage: 3, block: 1, part: Part::Query }), 0.5);
    assert_eq!(scale(Module::Norm), 0.5);
    assert_eq!([scale(Module::Head), scale(Module::DistHead)], [1.0, 1.0]);
}
