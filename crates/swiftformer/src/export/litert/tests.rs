use std::borrow::Cow;

use super::model::{Data, Element, Model, Tensor};

fn model(tensors: Vec<Tensor<'_>>) -> Model<'_> {
    let (steps, inputs, outputs, metadata) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Model { description: String::new(), tensors, steps, inputs, outputs, metadata }
}

fn constant(values: &[f32]) -> Tensor<'_> {
    Tensor {
        name: "constant".to_owned(),
        shape: vec![values.len()],
        element: Element::F32,
        scale: None,
        any_batch: false,
        data: Some(Data::F32(Cow::Borrowed(values))),
    }
}

#[test]
fn a_model_beyond_31_bit_offsets_is_refused_before_it_is_made() {
    // Zeros that are never touched take no memory; each tensor is the same 128 MiB.
    let values = vec![0.0; 1 << 25];
    let tensors = |count| (0..count).map(|_| constant(&values)).collect();
    assert!(model(tensors(16)).encode().is_none());
}

#[test]
fn the_room_made_ahead_is_enough() {
    for count in [0, 1, 3, 200] {
        let values = vec![1.0; count];
        let tensors = values.chunks(1).map(constant).collect();
        let bytes = model(tensors).encode().unwrap();
        assert_eq!(bytes.len() % 16, 0);
        // A builder that had to grow has twice its room: the vector that it leaves behind tells.
        assert!(bytes.capacity() <= count * (512 + 16 + 4 + 8) + 8 * 512, "{count}: {}", bytes.capacity());
    }
}
