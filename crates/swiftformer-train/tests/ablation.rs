//! The attentions of the paper's ablation against timm's.

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use support::tensors;
use swiftformer_train::model::ablation::{LinearTensors, self_attention, separable_attention, transposed_attention};

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
