//! The lowered list of operations against the engine.

mod support;

use std::collections::HashSet;

use support::{lively, open, worst_difference, xs};
use swiftformer::{
    arch::{Arch, TailKind},
    checkpoint::Checkpoint,
    config::{Activation, Dialect, Reading, SwiftFormerConfig, Variant},
    export::{
        Batch, ExportError, ExportOptions, FloatType, Format, GeluForm, Lowered, NormForm, Op, OutputKind, Over,
        Reduction, Rounding, Shape, Source, interpret, lower,
    },
    image::{Filter, Preprocessor, Preset, Resize, RgbImage},
    model::{Model, ModelOptions, OutputRequest, Outputs},
    tensor::{RawTensor, Tensor},
    weights::state::StateDict,
};

fn checkpoint((arch, state): &(Arch, StateDict)) -> Checkpoint {
    Checkpoint::from_parts(arch.clone(), state.clone(), Preset::Hf.preprocessor(224, 224))
}

fn pixels(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * at + 3 * at) % 101) as f32 / 25.0 - 2.0).collect()
}

fn engine(checkpoint: &Checkpoint, size: [usize; 2], pixels: &[f32]) -> Outputs {
    let model = Model::new(checkpoint, &ModelOptions { threads: 1, ..ModelOptions::default() }).unwrap();
    let images = Tensor::new([1, checkpoint.config().num_channels, size[0], size[1]], pixels.to_vec()).unwrap();
    let request = OutputRequest { features: true, pre_logits: true, ..OutputRequest::default() };
    model.run(&images, &request).unwrap()
}

fn run(lowered: &Lowered, pixels: &[f32], rounding: Rounding) -> Vec<Vec<f32>> {
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    interpret(lowered, pixels, rounding).into_iter().map(narrow).collect()
}

fn at(size: [usize; 2]) -> ExportOptions {
    ExportOptions { size: Some(size), ..ExportOptions::default() }
}

/// Odd widths, sizes and readings that no published model has.
fn odd_configs() -> Vec<(&'static str, SwiftFormerConfig, [usize; 2])> {
    let base = |dialect| SwiftFormerConfig {
        depths: vec![1, 2],
        embed_dims: vec![10, 17],
        downsamples: vec![true, true],
        num_labels: 3,
        dialect: Some(dialect),
        ..Variant::Xs.config()
    };
    let timm = SwiftFormerConfig {
        reading: Reading::Timm,
        use_layer_scale: false,
        hidden_act: Activation::Silu,
        ..base(Dialect::L2)
    };
    let three = SwiftFormerConfig {
        depths: vec![2, 1, 1],
        embed_dims: vec![6, 6, 33],
        downsamples: vec![false, true, true],
        num_channels: 5,
        mlp_ratio: 2.6,
        ..base(Dialect::Sum)
    };
    let oblong = SwiftFormerConfig {
        down_patch_size: [4, 2],
        down_stride: [1, 3],
        down_pad: [2, 0],
        batch_norm_eps: 1e-2,
        ..base(Dialect::L2)
    };
    vec![
        ("sum", base(Dialect::Sum), [36, 32]),
        ("l2", base(Dialect::L2), [40, 33]),
        ("softmax", base(Dialect::Softmax), [33, 40]),
        ("raw", base(Dialect::Raw), [64, 32]),
        ("unnormalised", SwiftFormerConfig { normalize_qk: false, ..base(Dialect::Softmax) }, [32, 65]),
        ("timm's reading", timm, [64, 50]),
        ("three stages of five channels", three, [47, 90]),
        ("oblong transitions", oblong, [40, 44]),
    ]
}

fn odd(config: &SwiftFormerConfig) -> Checkpoint {
    let arch = Arch::build(config, TailKind::Classifier).unwrap();
    let state = lively(&arch, 7);
    checkpoint(&(arch, state))
}

#[test]
fn odd_configs_give_the_logits_of_the_engine_in_both_forms_of_the_norm() {
    for (name, config, size) in odd_configs() {
        let checkpoint = odd(&config);
        let pixels = pixels(config.num_channels * size[0] * size[1]);
        let expected = engine(&checkpoint, size, &pixels).logits.unwrap();
        for norm in [NormForm::Portable, NormForm::Qnn] {
            let lowered = lower(&checkpoint, &ExportOptions { norm, ..at(size) }).unwrap();
            let found = run(&lowered, &pixels, Rounding::None);
            let worst = worst_difference(&found[0], expected.data());
            // ε is added to norms instead of bounding them: 2⁻¹⁴ beside about 8 or, of scores, about 1.
            let tolerance = if norm == NormForm::Qnn { 5e-4 } else { 2e-5 };
            assert!(worst < tolerance, "{name}, {norm}: {worst:e}");
        }
    }
}

#[test]
fn every_activation_but_xielu_gives_the_logits_of_the_engine() {
    let names: HashSet<_> = Activation::spellings().filter_map(Activation::from_name).map(Activation::name).collect();
    let (_, config, size) = odd_configs().swap_remove(0);
    let pixels = pixels(3 * size[0] * size[1]);
    for name in names {
        let hidden_act = Activation::from_name(name).unwrap();
        let checkpoint = odd(&SwiftFormerConfig { hidden_act, ..config.clone() });
        let lowered = lower(&checkpoint, &at(size));
        if hidden_act == Activation::Xielu {
            let message = lowered.unwrap_err().to_string();
            assert!(message.contains("`xielu`") && message.contains("linear.act"), "{message}");
            continue;
        }
        let found = run(&lowered.unwrap(), &pixels, Rounding::None);
        let expected = engine(&checkpoint, size, &pixels).logits.unwrap();
        let worst = worst_difference(&found[0], expected.data());
        assert!(worst < 2e-5, "{name}: {worst:e}");
    }
}

#[test]
fn xs_gives_the_logits_of_the_engine_and_keeps_them_in_half_precision() {
    for dialect in [Dialect::Sum, Dialect::L2] {
        let checkpoint = checkpoint(&xs(dialect));
        let size = [224, 224];
        let pixels = pixels(3 * size[0] * size[1]);
        let expected = engine(&checkpoint, size, &pixels).logits.unwrap();
        let lowered = lower(&checkpoint, &at(size)).unwrap();
        for (rounding, tolerance) in [(Rounding::None, 1e-4), (Rounding::Half, 2e-2)] {
            let found = run(&lowered, &pixels, rounding);
            let worst = worst_difference(&found[0], expected.data());
            assert!(worst < tolerance, "{dialect}, {rounding:?}: {worst:e}");
        }
    }
}

#[test]
fn attention_on_large_maps_stays_within_half_precision() {
    // 192 × 640, where 7680 tokens are summed up.
    for dialect in [Dialect::Sum, Dialect::L2] {
        let config = SwiftFormerConfig {
            depths: vec![1],
            embed_dims: vec![16],
            downsamples: vec![false],
            num_labels: 5,
            dialect: Some(dialect),
            ..Variant::Xs.config()
        };
        let checkpoint = odd(&config);
        let size = [192, 640];
        // As bright as pixels get, so that all tokens point the same way.
        let pixels = vec![2.6; 3 * size[0] * size[1]];
        let expected = engine(&checkpoint, size, &pixels).logits.unwrap();
        let largest = expected.data().iter().fold(1.0, |most: f32, value| most.max(value.abs()));
        let found = run(&lower(&checkpoint, &at(size)).unwrap(), &pixels, Rounding::Half);
        let worst = worst_difference(&found[0], expected.data());
        assert!(worst < 1e-2 * largest, "{dialect}: {worst:e} of {largest}");
    }
}

#[test]
fn probabilities_embedding_and_features_are_those_of_the_engine() {
    let size = [64, 96];
    let pixels = pixels(3 * size[0] * size[1]);
    let checkpoint = checkpoint(&open("timm_tiny/model.safetensors", Dialect::L2));
    let expected = engine(&checkpoint, size, &pixels);
    let export = |outputs| {
        let lowered = lower(&checkpoint, &ExportOptions { outputs, ..at(size) }).unwrap();
        let named = |&id: &usize| lowered.values[id].name.clone();
        (lowered.outputs.iter().map(named).collect::<Vec<_>>(), run(&lowered, &pixels, Rounding::None))
    };
    let (names, found) = export(OutputKind::Embedding);
    assert_eq!(names, ["embedding"]);
    assert!(worst_difference(&found[0], expected.pre_logits.unwrap().data()) < 2e-5);
    let (names, found) = export(OutputKind::Features);
    assert_eq!(names, ["features_0", "features_1", "features_2", "features_3"]);
    for (found, expected) in found.iter().zip(&expected.features) {
        assert!(worst_difference(found, expected.data()) < 1e-4);
    }
    let (names, found) = export(OutputKind::Probabilities);
    assert_eq!(names, ["probabilities"]);
    let logits = expected.logits.unwrap();
    let total: f32 = logits.data().iter().map(|logit| logit.exp()).sum();
    let expected: Vec<f32> = logits.data().iter().map(|logit| logit.exp() / total).collect();
    assert!(worst_difference(&found[0], &expected) < 1e-6);
}

#[test]
fn bytes_give_what_the_preprocessor_and_the_engine_give() {
    let checkpoint = checkpoint(&open("hf_tiny/model.safetensors", Dialect::Sum));
    let bytes: Vec<u8> = (0..224 * 224 * 3).map(|at| (at * 7 + at / 31 % 256) as u8).collect();
    let image = RgbImage::new(224, 224, bytes.clone()).unwrap();
    let pixels = checkpoint.preprocessor().apply(&image).unwrap();
    let expected = engine(&checkpoint, [224, 224], pixels.data()).logits.unwrap();
    let lowered = lower(&checkpoint, &ExportOptions { with_preprocessing: true, ..at([224, 224]) }).unwrap();
    assert_eq!(lowered.values[lowered.input].shape, Shape::Bytes([224, 224, 3]));
    let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte)).collect();
    let found = run(&lowered, &floats, Rounding::None);
    assert!(worst_difference(&found[0], expected.data()) < 2e-5);
}

/// An image that is no square and shares no side with any network.
fn photo() -> RgbImage {
    RgbImage::new(150, 100, (0..100 * 150 * 3).map(|at| (at * 5 + at / 450 * 11 % 256) as u8).collect()).unwrap()
}

#[test]
fn images_of_a_source_size_are_resized_and_cropped_as_the_preprocessor_does() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let image = photo();
    let floats: Vec<f32> = image.data().iter().map(|&byte| f32::from(byte)).collect();
    for preset in Preset::ALL {
        let checkpoint = Checkpoint::from_parts(arch.clone(), state.clone(), preset.preprocessor(224, 224));
        // The model's own preprocessing ends elsewhere: the preset's rule holds for this size, too.
        let size = [64, 96];
        let pixels = preset.preprocessor(64, 96).apply(&image).unwrap();
        let expected = engine(&checkpoint, size, pixels.data()).logits.unwrap();
        let source = Some(Source::Fixed([100, 150]));
        let options = ExportOptions { with_preprocessing: true, source, ..at(size) };
        let lowered = lower(&checkpoint, &options).unwrap();
        assert_eq!(lowered.values[lowered.input].shape, Shape::Bytes([100, 150, 3]));
        assert_eq!(lowered.info.preprocessing, preset.preprocessor(64, 96).to_string());
        let found = run(&lowered, &floats, Rounding::None);
        let worst = worst_difference(&found[0], expected.data());
        assert!(worst < 2e-5, "{preset}: {worst:e}");
    }
}

#[test]
fn sources_that_cannot_be_brought_to_the_size_say_what_to_change() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let with = |preprocessor| Checkpoint::from_parts(arch.clone(), state.clone(), preprocessor);
    let export = |checkpoint: &Checkpoint, source| {
        let options = ExportOptions { with_preprocessing: true, source: Some(source), ..at([64, 64]) };
        lower(checkpoint, &options).map_err(|error| error.to_string())
    };
    let squashed = with(Preset::Hf.preprocessor(64, 64));
    let any = export(&squashed, Source::Any).unwrap();
    assert_eq!(any.values[any.input].shape, Shape::Bytes([0, 0, 3]));
    let cropped = with(Preset::Timm.preprocessor(64, 64));
    assert!(export(&cropped, Source::Any).unwrap_err().contains("--source-size HxW"));
    assert!(export(&cropped, Source::Fixed([100, 150])).is_ok());
    let mut lanczos = Preset::Hf.preprocessor(64, 64);
    lanczos.filter = Filter::Lanczos;
    assert!(export(&with(lanczos), Source::Any).unwrap_err().contains("lanczos"));
    let mut unscaled = Preset::Timm.preprocessor(64, 64);
    unscaled.resize = None;
    assert!(export(&with(unscaled.clone()), Source::Fixed([70, 80])).is_ok());
    assert!(export(&with(unscaled), Source::Fixed([70, 40])).unwrap_err().contains("less than it keeps"));
    let open =
        Preprocessor { crop: None, resize: Some(Resize::ShortestEdge { size: 64 }), ..Preset::Hf.preprocessor(64, 64) };
    assert!(export(&with(open), Source::Fixed([100, 150])).unwrap_err().contains("leave out --size"));
    let options = ExportOptions { source: Some(Source::Any), ..at([64, 64]) };
    assert!(lower(&squashed, &options).unwrap_err().to_string().contains("add --with-preprocessing"));
    for format in [Format::CoreMl, Format::LiteRt, Format::Ncnn] {
        assert!(format.print(&any).unwrap_err().to_string().contains("leave out --source-size"), "{format}");
    }
}

#[test]
fn the_backbone_of_fork_feat_gives_its_normed_features_and_nothing_else() {
    let (_, config, size) = odd_configs().swap_remove(1);
    let arch = Arch::build(&config, TailKind::Features).unwrap();
    let state = lively(&arch, 3);
    let checkpoint = checkpoint(&(arch, state));
    let pixels = pixels(3 * size[0] * size[1]);
    let expected = engine(&checkpoint, size, &pixels).features;
    let lowered = lower(&checkpoint, &ExportOptions { outputs: OutputKind::Features, ..at(size) }).unwrap();
    for (found, expected) in run(&lowered, &pixels, Rounding::None).iter().zip(&expected) {
        assert!(worst_difference(found, expected.data()) < 2e-5);
    }
    for outputs in [OutputKind::Logits, OutputKind::Probabilities, OutputKind::Embedding] {
        let message = lower(&checkpoint, &ExportOptions { outputs, ..at(size) }).unwrap_err().to_string();
        assert!(message.contains("--outputs features"), "{message}");
    }
}

#[test]
fn the_list_has_unique_names_of_modules_and_no_value_before_its_operation() {
    for (name, config, size) in odd_configs() {
        let lowered = lower(&odd(&config), &at(size)).unwrap();
        let mut known = HashSet::from([lowered.input]);
        let mut names = HashSet::new();
        for node in &lowered.nodes {
            assert!(node.inputs.iter().all(|input| known.contains(input)), "{name}: {}", node.name);
            assert!(known.insert(node.output), "{name}: {} is written twice", node.name);
            assert!(names.insert(&node.name) && !node.name.is_empty(), "{name}: {} is there twice", node.name);
        }
        let values: HashSet<_> = lowered.values.iter().map(|value| &value.name).collect();
        assert_eq!(values.len(), lowered.values.len(), "{name}");
    }
    let lowered = lower(&odd(&odd_configs()[5].1), &at([64, 50])).unwrap();
    let query = lowered.nodes.iter().find(|node| node.name == "stages.1.blocks.1.attn.to_query").unwrap();
    assert!(matches!(&query.op, Op::Conv2d(conv) if conv.kernel == [1, 1] && conv.out_channels == 17));
}

#[test]
fn the_sum_dialect_has_no_token_weights_and_only_the_qnn_form_has_l2_reductions() {
    let count =
        |lowered: &Lowered, wanted: &dyn Fn(&Op) -> bool| lowered.nodes.iter().filter(|n| wanted(&n.op)).count();
    let is_l2 = |op: &Op| matches!(op, Op::Reduce(Reduction::L2, _));
    let checkpoint = checkpoint(&xs(Dialect::Sum));
    let portable = lower(&checkpoint, &at([224, 224])).unwrap();
    assert!(!portable.nodes.iter().any(|node| node.name.contains("w_g")));
    assert_eq!(count(&portable, &is_l2), 0);
    assert_eq!(count(&portable, &|op| *op == Op::Reduce(Reduction::Sum, Over::Places)), 4);
    let qnn = lower(&checkpoint, &ExportOptions { norm: NormForm::Qnn, ..at([224, 224]) }).unwrap();
    assert_eq!(count(&qnn, &is_l2), 8);
    assert!(qnn.nodes.len() < portable.nodes.len());
}

#[test]
fn what_cannot_be_exported_says_what_to_change() {
    let (arch, state) = open("hf_tiny/model.safetensors", Dialect::Sum);
    let good = checkpoint(&(arch.clone(), state.clone()));
    let message =
        |checkpoint: &Checkpoint, options: &ExportOptions| lower(checkpoint, options).unwrap_err().to_string();
    assert!(message(&good, &at([16, 64])).contains("at least 32"));
    let none = ExportOptions { batch: Batch::Fixed(0), ..ExportOptions::default() };
    assert!(message(&good, &none).contains("at least 1"));
    let mut headless = good.clone();
    headless.reset_classifier(0, 0).unwrap();
    assert!(message(&headless, &at([64, 64])).contains("--outputs embedding"));
    let mut large = state;
    let head = large.values(swiftformer::arch::Module::Head, swiftformer::arch::Leaf::Weight);
    let huge: Vec<f32> = head.iter().map(|_| 3e5).collect();
    let shape = [arch.config.num_labels, arch.config.embed_dims[3]];
    let tensor = RawTensor::from_f32(shape, &huge).unwrap();
    large.insert(swiftformer::arch::Module::Head, swiftformer::arch::Leaf::Weight, tensor);
    let large = checkpoint(&(arch, large));
    let half = ExportOptions { precision: FloatType::F16, ..at([64, 64]) };
    assert!(matches!(lower(&large, &half), Err(ExportError::Range { .. })));
    assert!(lower(&large, &at([64, 64])).is_ok());
}

#[test]
fn the_tanh_form_is_near_the_exact_one_and_not_the_same() {
    let checkpoint = checkpoint(&open("timm_tiny/model.safetensors", Dialect::L2));
    let pixels = pixels(3 * 64 * 64);
    let logits =
        |gelu| run(&lower(&checkpoint, &ExportOptions { gelu, ..at([64, 64]) }).unwrap(), &pixels, Rounding::None);
    let (exact, tanh, op) = (logits(GeluForm::Exact), logits(GeluForm::Tanh), logits(GeluForm::Op));
    let worst = worst_difference(&tanh[0], &exact[0]);
    assert!((1e-7..1e-2).contains(&worst), "{worst:e}");
    assert_eq!(op, exact);
}
