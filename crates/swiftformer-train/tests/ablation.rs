//! The attentions of the paper's ablation against timm's.

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use support::tensors;
use swiftformer::{
    arch::{Arch, Leaf, Module, Part, TailKind},
    config::SwiftFormerConfig,
    tensor::RawTensor,
    weights::state::StateDict,
};
use swiftformer_train::model::{
    ModelError, Network, NetworkOptions,
    ablation::{LinearTensors, StageAttention, self_attention, separable_attention, transposed_attention},
};

#[test]
fn the_three_attentions_are_timms() {
    let golden = tensors("attention/attention.safetensors");
    let device = Device::flex();
    let linear = |name: &str| {
        let weight = &golden[&format!("{name}.weight")];
        let (outputs, inputs) = (weight.shape()[0], weight.shape()[1]);
        let bias = golden[&format!("{name}.bias")].to_f32();
        LinearTensors {
            weight: Tensor::from_data(TensorData::new(weight.to_f32(), [outputs, inputs]), &device),
            bias: Tensor::from_data(TensorData::new(bias, [outputs]), &device),
        }
    };
    let x = Tensor::<3>::from_data(TensorData::new(golden["x"].to_f32(), [2, 49, 32]), &device);
    let temperature = golden["xca.temperature"].to_f32();
    let temperature = Tensor::<1>::from_data(TensorData::new(temperature, [4]), &device);
    // Ten times the float errors that the fixtures state.
    let outputs = [
        ("mhsa.output", self_attention(x.clone(), &linear("mhsa.qkv"), &linear("mhsa.proj"), 4), 2.72e-5),
        ("xca.output", transposed_attention(x.clone(), &linear("xca.qkv"), &linear("xca.proj"), temperature), 8.75e-6),
        (
            "separable.output",
            separable_attention(x, &linear("separable.qkv_proj"), &linear("separable.out_proj")),
            2.43e-5,
        ),
    ];
    for (name, found, allowed) in outputs {
        assert_eq!(found.dims(), [2, 49, 32]);
        let found: Vec<f32> = found.to_data().try_into_vec().unwrap();
        for (found, expected) in found.iter().zip(golden[name].to_f32()) {
            assert!((found - expected).abs() <= allowed, "{name}: {found} {expected}");
        }
    }
}

/// Each stage with another attention.
const ALL: [StageAttention; 4] =
    [StageAttention::Separable, StageAttention::Transposed, StageAttention::SelfAttention, StageAttention::Additive];

fn small() -> (Arch, StateDict) {
    let config = SwiftFormerConfig {
        depths: vec![1; 4],
        embed_dims: vec![8, 12, 20, 24],
        num_labels: 3,
        use_layer_scale: false,
        ..SwiftFormerConfig::default()
    };
    let arch = Arch::build(&config, TailKind::Classifier).unwrap();
    let state = StateDict::initialised(&arch, 5);
    (arch, state)
}

/// A weighted sum of the logits of two images, and the gradient of one tensor.
fn loss(arch: &Arch, state: &StateDict, module: Module, leaf: Leaf) -> (f64, Vec<f32>) {
    let options = NetworkOptions { attention: ALL.to_vec(), ..NetworkOptions::default() };
    let mut network = Network::new(arch.clone(), state, &options, &Device::flex()).unwrap();
    let pixels = (0..2 * 3 * 64 * 64).map(|at| (at * 7919 % 1013) as f32 / 506.5 - 1.0).collect();
    let images = network.images(pixels, [2, 3, 64, 64]).unwrap();
    let pass = network.train(images, 0).unwrap();
    let weights = TensorData::new(vec![1.0f32, -2.0, 0.5, 0.3, 1.5, -1.0], [2, 3]);
    let weights = Tensor::<2>::from_data(weights, network.device()).autodiff();
    let loss = (pass.outputs.head.clone() * weights).sum();
    let value: Vec<f32> = loss.clone().inner().to_data().try_into_vec().unwrap();
    let at = network.parameters().list().iter().position(|p| p.param.module == module && p.param.leaf == leaf).unwrap();
    let gradient = pass.backward(&loss)[at].take().unwrap();
    (f64::from(value[0]), gradient.to_data().try_into_vec().unwrap())
}

#[test]
fn networks_of_other_attentions_have_their_gradients() {
    let (arch, state) = small();
    for (stage, part, leaf) in [
        (0, Part::Key, Leaf::Weight),
        (0, Part::TokenWeights, Leaf::Value),
        (1, Part::Query, Leaf::Weight),
        (1, Part::TokenWeights, Leaf::Value),
        (2, Part::Proj, Leaf::Weight),
        (2, Part::Last, Leaf::Weight),
    ] {
        let module = Module::Block { stage, block: 0, part };
        let (_, gradient) = loss(&arch, &state, module, leaf);
        let tensor = state.get(module, leaf).unwrap();
        // Along the gradient itself the slope is its norm.
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 1e-6, "{stage} {part:?}");
        let moved = |step: f64| {
            let values = tensor.to_f32().into_iter().zip(&gradient);
            let values: Vec<f32> = values.map(|(v, &g)| v + (step * f64::from(g) / norm) as f32).collect();
            let mut state = state.clone();
            state.insert(module, leaf, RawTensor::from_f32(tensor.shape(), &values).unwrap());
            loss(&arch, &state, module, leaf).0
        };
        let slope = (moved(5e-3) - moved(-5e-3)) / 1e-2;
        assert!((slope - norm).abs() < 0.02 * norm + 1e-3, "{stage} {part:?}: {slope} {norm}");
    }
}

#[test]
fn there_is_one_attention_a_stage() {
    let (arch, state) = small();
    let options = NetworkOptions { attention: ALL[..3].to_vec(), ..NetworkOptions::default() };
    let error = Network::new(arch, &state, &options, &Device::flex()).unwrap_err();
    assert_eq!(error, ModelError::Attention { stages: 4, found: 3 });
}
