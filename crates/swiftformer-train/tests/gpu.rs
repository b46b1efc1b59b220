//! The network on a graphics card, or on a driver that plays one, against PyTorch's numbers.
//!
//! ```text
//! cargo test -p swiftformer-train --features wgpu --test gpu -- --nocapture
//! ```
//! takes the best card there is, `DEVICE=cuda` another kind. Not part of the usual checks: the features' builds take long.

mod support;

use std::time::Instant;

use burn::tensor::Device;
use support::{Golden, batch, checkpoint, tensors};
use swiftformer::weights::names::{Layout, Names};
use swiftformer_kernels::Precision;
use swiftformer_train::{
    device,
    loss::{BaseHead, BaseLoss, Criterion, Distillation},
    model::{ModelError, Network, NetworkOptions},
    optim::{GroupOptions, Optimizer, Rule},
    trainer::Trainer,
};

fn trainer(device: &Device, options: &NetworkOptions) -> Result<Trainer, ModelError> {
    let opened = checkpoint("hf_tiny");
    let network = Network::new(opened.arch().clone(), opened.state(), options, device)?;
    let options = GroupOptions { weight_decay: 0.025, layer_decay: 1.0 };
    let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &options);
    let criterion = Criterion {
        base: BaseLoss::CrossEntropy { smoothing: 0.0 },
        base_head: BaseHead::Class,
        distillation: Distillation::Hard { alpha: 0.5 },
    };
    Ok(Trainer::new(network, optimizer, criterion))
}

#[test]
fn a_card_that_is_not_there_is_an_error_with_its_reason() {
    let error = device::open("wgpu:99", 0).unwrap_err().to_string();
    assert!(error.contains("the device wgpu:99 does not work") && error.contains("No Discrete GPU"), "{error}");
}

#[test]
fn bfloat16_is_refused_or_gives_the_loss_to_two_digits() {
    let device = device::open(&std::env::var("DEVICE").unwrap_or("wgpu".into()), 0).unwrap();
    let options = NetworkOptions { precision: Precision::Bf16, checkpointing: true, ..NetworkOptions::default() };
    match trainer(&device, &options) {
        Err(error) => assert_eq!(error, ModelError::Precision),
        Ok(mut trainer) => {
            let report = trainer.accumulate(batch(&tensors("training/inputs.safetensors"), 0), 1.0, 0).unwrap();
            let expected = Golden::open("hf_tiny").scalar("loss");
            assert!((f64::from(report.loss) / expected - 1.0).abs() < 1e-2, "{} {expected}", report.loss);
        }
    }
}

#[test]
fn loss_and_every_gradient_are_the_references_on_a_card() {
    let name = std::env::var("DEVICE").unwrap_or("wgpu".into());
    let begun = Instant::now();
    let device = device::open(&name, 0).unwrap();
    println!("{name} opened after {:.1} s", begun.elapsed().as_secs_f64());
    let golden = Golden::open("hf_tiny");
    let inputs = tensors("training/inputs.safetensors");
    let mut trainer = trainer(&device, &NetworkOptions::default()).unwrap();
    let begun = Instant::now();
    let report = trainer.accumulate(batch(&inputs, 0), 1.0, 0).unwrap();
    println!("forward and backward: {:.1} s", begun.elapsed().as_secs_f64());
    let expected = golden.scalar("loss");
    assert!((f64::from(report.loss) / expected - 1.0).abs() < 1e-5, "{} {expected}", report.loss);
    let gradients = trainer.gradients_mut().unwrap().clone();
    let names = Names::new(trainer.network.arch(), Layout::HuggingFace);
    let mut compared = 0;
    for (parameter, gradient) in trainer.network.parameters().list().iter().zip(&gradients) {
        let Some(gradient) = gradient else { continue };
        let name = names.name(&parameter.param).unwrap();
        let difference = golden.compare(&format!("grads.{name}"), gradient);
        let allowed = if golden.is_noise(&name) { 1e-5 } else { 1e-4 * difference.golden_norm };
        assert!(difference.norm <= allowed, "{name}: {:e} of {allowed:e}", difference.norm);
        compared += 1;
    }
    assert_eq!(compared, 175);
    let begun = Instant::now();
    trainer.apply(1e-3);
    trainer.accumulate(batch(&inputs, 1), 1.0, 0).unwrap();
    println!("a further step, its kernels compiled: {:.1} s", begun.elapsed().as_secs_f64());
}
