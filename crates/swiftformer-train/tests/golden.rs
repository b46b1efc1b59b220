//! Losses, gradients, three optimizer steps, BatchNorm's buffers and averaged weights against PyTorch's.

mod support;

use support::{Golden, batch, checkpoint, network, tensors};
use swiftformer::weights::names::{Layout, Names};
use swiftformer_train::{
    loss::{BaseHead, BaseLoss, Criterion, Distillation, Targets},
    model::{Network, Parameters},
    optim::{AgcScope, Average, Clip, GroupOptions, Optimizer, Rule},
    trainer::Trainer,
};

const CASES: [(&str, Layout); 2] = [("hf_tiny", Layout::HuggingFace), ("timm_tiny", Layout::Timm)];

const HARD: Criterion = Criterion {
    base: BaseLoss::CrossEntropy { smoothing: 0.0 },
    base_head: BaseHead::Class,
    distillation: Distillation::Hard { alpha: 0.5 },
};

fn trainer(network: Network, scope: AgcScope) -> Trainer {
    let options = GroupOptions { weight_decay: 0.025, layer_decay: 1.0 };
    let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &options);
    let mut trainer = Trainer::new(network, optimizer, HARD);
    trainer.clip = Clip::Agc { factor: 0.01, scope };
    trainer
}

fn named(network: &Network, layout: Layout) -> Vec<(String, usize)> {
    let names = Names::new(network.arch(), layout);
    network.parameters().list().iter().enumerate().map(|(at, p)| (names.name(&p.param).unwrap(), at)).collect()
}

fn values(parameters: &Parameters, at: usize) -> Option<Vec<f32>> {
    parameters.list()[at].tensor().map(|tensor| tensor.to_data().try_into_vec().unwrap())
}

#[test]
fn loss_and_every_gradient_are_the_references() {
    for (case, layout) in CASES {
        for fused in [false, true] {
            let golden = Golden::open(case);
            let mut trainer = trainer(network(&checkpoint(case), fused), AgcScope::All);
            let report = trainer.accumulate(batch(&tensors("training/inputs.safetensors"), 0), 1.0, 0).unwrap();
            let expected = golden.scalar("loss");
            assert!((f64::from(report.loss) / expected - 1.0).abs() < 1e-5, "{case}: {} {expected}", report.loss);
            let gradients = trainer.gradients_mut().unwrap().clone();
            let mut compared = 0;
            for (name, at) in named(&trainer.network, layout) {
                let Some(gradient) = &gradients[at] else { continue };
                let difference = golden.compare(&format!("grads.{name}"), gradient);
                let allowed = match golden.is_noise(&name) {
                    // Sums of thousands of values that cancel.
                    true => 1e-5,
                    false => 1e-4 * difference.golden_norm,
                };
                assert!(difference.norm <= allowed, "{case} {fused} {name}: {:e} of {allowed:e}", difference.norm);
                compared += 1;
            }
            assert_eq!(compared, 175);
        }
    }
}

#[test]
fn running_statistics_after_one_forward_are_the_references() {
    for (case, layout) in CASES {
        for fused in [false, true] {
            let golden = Golden::open(case);
            let mut network = network(&checkpoint(case), fused);
            let batch = batch(&tensors("training/inputs.safetensors"), 0);
            let images = network.images(batch.images, batch.shape).unwrap();
            network.train(images, 0).unwrap();
            let state = network.to_state();
            let mut compared = 0;
            for (name, at) in named(&network, layout) {
                let parameter = &network.parameters().list()[at].param;
                if parameter.kind.is_trainable() {
                    continue;
                }
                let found = state.values(parameter.module, parameter.leaf);
                let golden = golden.compare(&format!("buffers_step1.{name}"), &found);
                // The batch counter is exact; the statistics have ten times the stated error at most.
                assert!(golden.largest <= 8e-6, "{case} {fused} {name}: {:e}", golden.largest);
                compared += 1;
            }
            assert_eq!(compared, 57);
        }
    }
}

#[test]
fn three_steps_with_agc_and_adamw_are_the_references() {
    for (case, layout) in CASES {
        for fused in [false, true] {
            let golden = Golden::open(case);
            let inputs = tensors("training/inputs.safetensors");
            let mut trainer = trainer(network(&checkpoint(case), fused), AgcScope::All);
            trainer.average = Some(Average::new(0.9, trainer.network.parameters()));
            let losses = golden.tensors["loss"].to_f32();
            let norms = golden.tensors["grad_norm"].to_f32();
            for step in 0..3 {
                let (report, norm) = trainer.step(batch(&inputs, step), 2e-3, 0).unwrap();
                assert!((report.loss / losses[step] - 1.0).abs() < 1e-4, "{case} step {step}: {}", report.loss);
                assert!((norm as f32 / norms[step] - 1.0).abs() < 1e-4, "{case} step {step}: norm {norm}");
            }
            let average = trainer.average.as_ref().unwrap().to_state(trainer.network.arch());
            for (name, at) in named(&trainer.network, layout) {
                let param = trainer.network.parameters().list()[at].param.clone();
                if param.kind.is_trainable() && !golden.is_noise(&name) {
                    let found = values(trainer.network.parameters(), at).unwrap();
                    let difference = golden.compare(&format!("params_step3.{name}"), &found);
                    let allowed = 10.0 * golden.error("params_step3", &name);
                    assert!(
                        difference.largest <= allowed,
                        "{case} {fused} {name}: {:e} of {allowed:e}",
                        difference.largest
                    );
                    let allowed = allowed * (found.len() as f64).sqrt();
                    assert!(difference.norm <= allowed, "{case} {fused} {name}: {:e} of {allowed:e}", difference.norm);
                }
                // Behind biases that only noise moves, the running means move with them.
                let is_clean = !golden.is_noise(&name) && !name.ends_with("running_mean");
                if case == "hf_tiny" && is_clean && golden.facts["errors"]["ema_0.9"][&name].is_f64() {
                    let difference =
                        golden.compare(&format!("ema_0.9.{name}"), &average.values(param.module, param.leaf));
                    let allowed = 10.0 * golden.error("ema_0.9", &name);
                    assert!(
                        difference.largest <= allowed,
                        "{fused} ema {name}: {:e} of {allowed:e}",
                        difference.largest
                    );
                }
            }
        }
    }
}

#[test]
fn agc_of_timm_leaves_the_distillation_head_alone() {
    let golden = Golden::open("timm_tiny");
    let inputs = tensors("training/inputs.safetensors");
    let mut trainer = trainer(network(&checkpoint("timm_tiny"), true), AgcScope::WithoutLastTwo);
    let losses = golden.tensors["exclude_head.loss"].to_f32();
    for (step, loss) in losses.iter().enumerate() {
        let (report, _) = trainer.step(batch(&inputs, step), 2e-3, 0).unwrap();
        assert!((report.loss / loss - 1.0).abs() < 1e-4, "step {step}: {} {loss}", report.loss);
    }
    for (name, at) in
        named(&trainer.network, Layout::Timm).into_iter().filter(|(name, _)| name.starts_with("head_dist"))
    {
        let found = values(trainer.network.parameters(), at).unwrap();
        let difference = golden.compare(&format!("exclude_head.params_step3.{name}"), &found);
        let allowed = 10.0 * golden.error("exclude_head.params_step3", &name);
        assert!(difference.largest <= allowed, "{name}: {:e} of {allowed:e}", difference.largest);
    }
}

#[test]
fn weight_decay_groups_are_timms() {
    for (case, layout) in CASES {
        let golden = Golden::open(case);
        let network = network(&checkpoint(case), false);
        let options = GroupOptions { weight_decay: 0.025, layer_decay: 1.0 };
        let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &options);
        let decayed: Vec<String> = named(&network, layout)
            .into_iter()
            .filter(|&(_, at)| network.parameters().list()[at].trainable && optimizer.groups()[at].weight_decay > 0.0)
            .map(|(name, _)| name)
            .collect();
        let groups = golden.facts["weight_decay_groups"].as_array().unwrap();
        let group = groups.iter().find(|group| group["weight_decay"].as_f64() > Some(0.0)).unwrap();
        let mut expected: Vec<&str> = group["params"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        let mut decayed: Vec<&str> = decayed.iter().map(String::as_str).collect();
        expected.sort_unstable();
        decayed.sort_unstable();
        assert_eq!(decayed, expected);
    }
}

#[test]
fn plain_training_sees_the_mean_of_both_heads() {
    for (case, _) in CASES {
        let golden = Golden::open(case);
        let inputs = tensors("training/inputs.safetensors");
        let labels = inputs["labels.0"].to_f32().iter().map(|&label| label as usize).collect();
        let mut trainer = trainer(network(&checkpoint(case), true), AgcScope::All);
        trainer.criterion =
            Criterion { base_head: BaseHead::Mean, distillation: Distillation::None, ..trainer.criterion };
        let mut batch = batch(&inputs, 0);
        (batch.targets, batch.teacher) = (Targets::Classes(labels), None);
        let report = trainer.accumulate(batch, 1.0, 0).unwrap();
        let expected = golden.scalar("ce.loss");
        assert!((f64::from(report.loss) / expected - 1.0).abs() < 1e-5, "{case}: {} {expected}", report.loss);
    }
}
