use std::{collections::HashMap, io::Read};

use super::{DIALECTS, at, flat::Table, of_channels, print, tiny};
use swiftformer::{
    checkpoint::Checkpoint,
    config::Dialect,
    export::{Artifact, Batch, ExportOptions, FloatType, Format, GeluForm, OutputKind},
};

const CONV: i32 = 3;
const DEPTHWISE: i32 = 4;
const DEQUANTIZE: i32 = 6;
const PAD: i32 = 34;
const GELU: i32 = 150;
/// ADD, CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, FULLY_CONNECTED, MUL, SOFTMAX, PAD, MEAN, SUB, DIV, EXP, MAXIMUM, SUM, SQRT,
/// REDUCE_MAX, SQUARE and GELU: XNNPACK's delegate takes all of these in floats.
const TAKEN: [i32; 18] = [0, 3, 4, 6, 9, 18, 25, 34, 40, 41, 42, 47, 55, 74, 75, 82, 92, 150];

fn file(checkpoint: &Checkpoint, options: &ExportOptions) -> Vec<u8> {
    match print(Format::LiteRt, checkpoint, options).unwrap() {
        Artifact::File(bytes) => bytes,
        Artifact::Folder(_) => panic!("a folder"),
    }
}

struct Tensor {
    name: String,
    shape: Vec<i32>,
    signature: Vec<i32>,
    element: u8,
    constant: bool,
}

struct Step<'a> {
    code: i32,
    inputs: Vec<usize>,
    output: usize,
    options: Option<Table<'a>>,
}

struct Graph<'a> {
    model: Table<'a>,
    tensors: Vec<Tensor>,
    steps: Vec<Step<'a>>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

fn indices(values: Vec<i32>) -> Vec<usize> {
    values.into_iter().map(|value| usize::try_from(value).unwrap()).collect()
}

/// Reads a model, and checks what every model has to keep.
fn read(bytes: &[u8]) -> Graph<'_> {
    let model = Table::root(bytes, b"TFL3");
    assert_eq!(model.u32(0), 3, "version of the schema");
    let codes: Vec<i32> = model.tables(1).iter().map(|code| code.i32_or(3, 0)).collect();
    let buffers = model.tables(4);
    assert!(buffers[0].data(0).0.is_empty(), "buffer 0 stands for no values");
    let [subgraph] = model.tables(2)[..] else { panic!("one graph") };
    let tensors: Vec<Tensor> = subgraph
        .tables(0)
        .iter()
        .map(|tensor| {
            let shape = tensor.i32s(0);
            assert!(shape.iter().all(|&side| side > 0), "{}: {shape:?}", tensor.text(3));
            let (data, start) = buffers[tensor.u32(2) as usize].data(0);
            let constant = tensor.u32(2) != 0;
            let element = tensor.u8(1);
            if constant {
                let size = [4, 2, 4, 1][usize::from(element)];
                assert_eq!(data.len() as i32, shape.iter().product::<i32>() * size, "{}", tensor.text(3));
                assert_eq!(start % 16, 0, "{}", tensor.text(3));
            }
            Tensor { name: tensor.text(3).to_owned(), shape, signature: tensor.i32s(7), element, constant }
        })
        .collect();
    let steps: Vec<Step> = subgraph
        .tables(3)
        .iter()
        .map(|step| {
            let [output] = indices(step.i32s(2))[..] else { panic!("one output") };
            let code = codes[step.u32(0) as usize];
            Step { code, inputs: indices(step.i32s(1)), output, options: step.table(4) }
        })
        .collect();
    let (inputs, outputs) = (indices(subgraph.i32s(1)), indices(subgraph.i32s(2)));
    let mut known: Vec<bool> = tensors.iter().map(|tensor| tensor.constant).collect();
    inputs.iter().for_each(|&input| known[input] = true);
    for step in &steps {
        assert!(TAKEN.contains(&step.code), "operator {}", step.code);
        assert!(step.inputs.iter().all(|&input| known[input]), "an input of {} is not there yet", step.output);
        assert!(!std::mem::replace(&mut known[step.output], true), "{} is written twice", tensors[step.output].name);
    }
    assert!(known.iter().all(|&known| known), "a tensor that nothing makes");
    Graph { model, tensors, steps, inputs, outputs }
}

fn metadata<'a>(graph: &Graph<'a>) -> HashMap<&'a str, &'a [u8]> {
    let buffers = graph.model.tables(4);
    let entries = graph.model.tables(6);
    entries.iter().map(|entry| (entry.text(0), buffers[entry.u32(1) as usize].data(0).0)).collect()
}

#[test]
fn every_dialect_and_size_is_a_whole_graph_of_operators_that_xnnpack_takes() {
    for dialect in DIALECTS {
        for size in [[64, 64], [65, 95], [33, 47]] {
            let bytes = file(&tiny(dialect), &at(size));
            let graph = read(&bytes);
            let input = &graph.tensors[graph.inputs[0]];
            assert_eq!(
                (input.name.as_str(), &input.shape[..]),
                ("pixel_values", &[1, size[0] as i32, size[1] as i32, 3][..])
            );
            let output = &graph.tensors[graph.outputs[0]];
            assert_eq!(output.name, "logits");
            assert_eq!(output.shape.len(), 2, "{:?}", output.shape);
            assert!(graph.tensors.iter().all(|tensor| tensor.signature.is_empty()), "a static model");
        }
    }
}

#[test]
fn weights_have_their_channels_last() {
    let bytes = file(&tiny(Dialect::L2), &at([64, 64]));
    let graph = read(&bytes);
    for step in &graph.steps {
        let shape = |input: usize| graph.tensors[step.inputs[input]].shape.clone();
        let channels = *graph.tensors[step.output].shape.last().unwrap();
        match step.code {
            CONV => {
                let weight = shape(1);
                assert_eq!([weight[0], weight[3]], [channels, shape(0)[3]]);
                assert_eq!(shape(2), [channels]);
            }
            DEPTHWISE => assert_eq!(shape(1), [1, 3, 3, channels]),
            _ => {}
        }
    }
}

#[test]
fn explicit_zeros_stand_only_where_no_name_of_a_padding_means_them() {
    // At even sizes SAME puts the whole padding of a stride of 2 behind; at odd ones it is that of the network.
    let strided = |size| {
        let bytes = file(&tiny(Dialect::Sum), &at(size));
        let graph = read(&bytes);
        let pads = graph.steps.iter().filter(|step| step.code == PAD).count();
        let padded = graph.steps.iter().filter(|step| step.code == CONV);
        let kinds = padded.filter(|step| graph.tensors[step.inputs[1]].shape[1] == 3);
        (pads, kinds.map(|step| step.options.unwrap().u8(0)).collect::<Vec<_>>())
    };
    let (same, valid) = (0, 1);
    assert_eq!(strided([64, 64]), (5, vec![valid; 5]));
    // 65, 33, 17, 9, 5: always odd.
    assert_eq!(strided([65, 65]), (0, vec![same; 5]));
    // 33, 17, 9, 5, 3 high and 64, 32, … wide.
    assert_eq!(strided([65, 64]), (5, vec![valid; 5]));
}

#[test]
fn relu_is_part_of_the_convolution_before_it() {
    let bytes = file(&tiny(Dialect::Sum), &at([64, 64]));
    let graph = read(&bytes);
    let activation = |step: &&Step| step.code == CONV && step.options.unwrap().u8(3) == 1;
    assert_eq!(graph.steps.iter().filter(activation).count(), 2, "the stem's two");
}

#[test]
fn halves_become_floats_before_the_only_step_that_takes_them() {
    let options = ExportOptions { precision: FloatType::F16, ..at([64, 64]) };
    let bytes = file(&tiny(Dialect::L2), &options);
    let graph = read(&bytes);
    let halves: Vec<usize> = (0..graph.tensors.len()).filter(|&index| graph.tensors[index].element == 1).collect();
    let weighted = graph.steps.iter().filter(|step| [CONV, DEPTHWISE, 9].contains(&step.code)).count();
    assert_eq!(halves.len(), weighted);
    for half in halves {
        let readers: Vec<i32> =
            graph.steps.iter().filter(|step| step.inputs.contains(&half)).map(|step| step.code).collect();
        assert_eq!(readers, [DEQUANTIZE], "{}", graph.tensors[half].name);
    }
    assert_eq!(metadata(&graph)["reduced_precision_support"], b"fp16accfp16");
}

#[test]
fn a_dynamic_batch_is_open_in_every_value_and_in_no_constant() {
    let options = ExportOptions { batch: Batch::Dynamic, ..at([64, 64]) };
    let bytes = file(&tiny(Dialect::L2), &options);
    for tensor in read(&bytes).tensors {
        if tensor.constant {
            assert!(tensor.signature.is_empty(), "{}", tensor.name);
        } else {
            assert_eq!(tensor.signature[0], -1, "{}", tensor.name);
            assert_eq!(tensor.signature[1..], tensor.shape[1..], "{}", tensor.name);
        }
    }
}

#[test]
fn gelu_is_one_operator_in_every_form() {
    for (gelu, approximate) in [(GeluForm::Exact, 0), (GeluForm::Op, 0), (GeluForm::Tanh, 1)] {
        let bytes = file(&tiny(Dialect::Sum), &ExportOptions { gelu, ..at([64, 64]) });
        let graph = read(&bytes);
        let kinds: Vec<u8> =
            graph.steps.iter().filter(|step| step.code == GELU).map(|step| step.options.unwrap().u8(0)).collect();
        assert_eq!(kinds, vec![approximate; 13], "{gelu}");
    }
}

#[test]
fn bytes_come_in_with_a_scale_of_one() {
    let options = ExportOptions { with_preprocessing: true, ..at([64, 64]) };
    let bytes = file(&tiny(Dialect::Sum), &options);
    let graph = read(&bytes);
    let input = &graph.tensors[graph.inputs[0]];
    assert_eq!((input.element, input.name.as_str()), (3, "image"));
    let tensor = graph.model.tables(2)[0].tables(0)[graph.inputs[0]];
    let quantization = tensor.table(4).unwrap();
    assert_eq!(quantization.f32s(2), [1.0]);
    assert_eq!(graph.steps[0].code, DEQUANTIZE);
}

#[test]
fn metadata_says_what_to_do_with_pixels() {
    let bytes = file(&tiny(Dialect::Sum), &at([64, 64]));
    let graph = read(&bytes);
    let metadata = metadata(&graph);
    assert_eq!(metadata["min_runtime_version"].len(), 16);
    let root = Table::root(metadata["TFLITE_METADATA"], b"M001");
    let [subgraph] = root.tables(3)[..] else { panic!("one graph") };
    let [input] = subgraph.tables(2)[..] else { panic!("one input") };
    let [unit] = input.tables(4)[..] else { panic!("one step before the graph") };
    let options = unit.table(1).unwrap();
    let close = |found: Vec<f32>, expected: [f32; 3]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}, {expected:?}");
    };
    close(options.f32s(0), [123.675, 116.28, 103.53]);
    close(options.f32s(1), [58.395, 57.12, 57.375]);
    let [output] = subgraph.tables(3)[..] else { panic!("one output") };
    assert_eq!(output.text(0), "logits");
    assert!(output.tables(6).is_empty(), "no labels were asked for");
}

#[test]
fn the_color_space_is_that_of_the_channels() {
    let (unknown, rgb, grayscale) = (0, 1, 2);
    for (channels, space) in [(1, grayscale), (3, rgb), (5, unknown)] {
        let bytes = file(&of_channels(channels), &at([64, 64]));
        let graph = read(&bytes);
        let root = Table::root(metadata(&graph)["TFLITE_METADATA"], b"M001");
        let image = root.tables(3)[0].tables(2)[0].table(3).unwrap().table(1).unwrap();
        assert_eq!(image.u8(0), space, "{channels} channels");
    }
}

#[test]
fn labels_are_a_zip_archive_behind_the_model_that_the_metadata_names() {
    let options = ExportOptions { embed_labels: true, outputs: OutputKind::Probabilities, ..at([64, 64]) };
    let checkpoint = tiny(Dialect::Sum);
    let bytes = file(&checkpoint, &options);
    let graph = read(&bytes);
    let root = Table::root(metadata(&graph)["TFLITE_METADATA"], b"M001");
    let [labels] = root.tables(3)[0].tables(3)[0].tables(6)[..] else { panic!("one file") };
    assert_eq!((labels.text(0), labels.u8(2)), ("labels.txt", 2));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
    let mut entry = archive.by_name("labels.txt").unwrap();
    assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), checkpoint.config().num_labels);
    assert_eq!(lines[0], checkpoint.config().label(0));
    // Offsets count from the start of the file, as in archives that are appended in place.
    assert!(bytes[entry.header_start() as usize..].starts_with(b"PK\x03\x04"));
}

#[test]
fn features_are_maps_with_channels_last() {
    let options = ExportOptions { outputs: OutputKind::Features, ..at([64, 64]) };
    let bytes = file(&tiny(Dialect::Sum), &options);
    let graph = read(&bytes);
    let shapes: Vec<&[i32]> = graph.outputs.iter().map(|&output| graph.tensors[output].shape.as_slice()).collect();
    assert_eq!(shapes, [[1, 16, 16, 16], [1, 8, 8, 24], [1, 4, 4, 32], [1, 2, 2, 48]]);
}
