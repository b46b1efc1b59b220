use std::collections::{HashMap, HashSet};

use prost::Message;

use super::{
    super::{Artifact, Batch, ExportOptions, FloatType, GeluForm, NormForm, OutputKind, Source, lower},
    print,
    proto::{DataType, GraphProto, ModelProto},
};
use crate::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    config::Dialect,
};

/// Operators that ONNX Runtime's Core ML provider takes into an ML Program, as its repository lists them in
/// `tools/ci_build/github/apple/coreml_supported_mlprogram_ops.md`.
const CORE_ML: &[&str] = &[
    "Add",
    "Argmax",
    "AveragePool",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Cos",
    "DepthToSpace",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GridSample",
    "GroupNormalization",
    "HardSigmoid",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "MatMul",
    "Max",
    "MaxPool",
    "Mul",
    "PRelu",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "Shape",
    "Sigmoid",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

fn demo(dialect: Dialect) -> Checkpoint {
    let options = OpenOptions { dialect: Some(dialect), ..OpenOptions::default() };
    Checkpoint::open(&ModelSource::Demo, &options).unwrap()
}

fn bytes(dialect: Dialect, options: &ExportOptions) -> Vec<u8> {
    let Artifact::File(bytes) = print(&lower(&demo(dialect), options).unwrap()).unwrap() else { panic!("one file") };
    bytes
}

fn model(dialect: Dialect, options: &ExportOptions) -> ModelProto {
    ModelProto::decode(bytes(dialect, options).as_slice()).unwrap()
}

fn small() -> ExportOptions {
    ExportOptions { size: Some([64, 96]), ..ExportOptions::default() }
}

/// One of every kind of options.
fn all() -> Vec<ExportOptions> {
    let mut all = vec![ExportOptions { with_preprocessing: true, ..small() }];
    for &precision in FloatType::ALL {
        for &gelu in GeluForm::ALL {
            for &outputs in OutputKind::ALL {
                all.push(ExportOptions { precision, gelu, outputs, ..small() });
            }
        }
    }
    all
}

fn operators(graph: &GraphProto) -> HashSet<&str> {
    graph.node.iter().map(|node| node.op_type.as_str()).collect()
}

#[test]
fn every_operator_is_one_that_core_ml_takes_and_none_handles_shapes() {
    for dialect in Dialect::ALL {
        for options in all() {
            let graph = model(dialect, &options).graph.unwrap();
            for operator in operators(&graph) {
                assert!(CORE_ML.contains(&operator), "{operator} of {options:?}");
                let reshapes = ["Shape", "Expand", "Tile", "Reshape", "Unsqueeze", "Gather", "Concat", "Split"];
                assert!(!reshapes.contains(&operator), "{operator}");
                let of_bytes = ["Cast", "Transpose"].contains(&operator);
                assert!(!of_bytes || options.with_preprocessing, "{operator}");
            }
        }
    }
}

#[test]
fn names_are_unique_and_every_input_is_known_before_it_is_used() {
    for options in all() {
        let graph = model(Dialect::L2, &options).graph.unwrap();
        let mut known: HashSet<&String> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
        assert_eq!(known.len(), graph.initializer.len());
        known.extend(graph.input.iter().map(|input| &input.name));
        let mut names = HashSet::new();
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(input)), "{} {:?}", node.name, node.input);
            assert!(node.output.iter().all(|output| known.insert(output)), "{}", node.name);
            assert!(names.insert(&node.name), "{} is there twice", node.name);
        }
        assert!(graph.output.iter().all(|output| known.contains(&output.name)));
    }
}

#[test]
fn tensors_hold_as_many_bytes_as_their_sides_say() {
    for (precision, float, size) in [(FloatType::F32, DataType::Float, 4), (FloatType::F16, DataType::Float16, 2)] {
        let graph = model(Dialect::L2, &ExportOptions { precision, ..small() }).graph.unwrap();
        let mut floats = 0;
        for tensor in &graph.initializer {
            let count = tensor.dims.iter().product::<i64>() as usize;
            let is_float = tensor.data_type == float as i32;
            assert!(is_float || tensor.data_type == DataType::Int64 as i32, "{}", tensor.name);
            assert_eq!(tensor.raw_data.len(), count * if is_float { size } else { 8 }, "{}", tensor.name);
            floats += usize::from(is_float);
        }
        assert!(floats > 100);
        let element =
            |info: &super::proto::ValueInfoProto| info.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().elem_type;
        let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        assert!(infos.into_iter().all(|info| element(info) == float as i32));
    }
}

#[test]
fn operator_sets_and_batches_are_those_asked_for() {
    let plain = model(Dialect::Sum, &small());
    assert_eq!((plain.ir_version, plain.opset_import[0].version), (8, 17));
    let with_op = model(Dialect::Sum, &ExportOptions { gelu: GeluForm::Op, batch: Batch::Dynamic, ..small() });
    assert_eq!((with_op.ir_version, with_op.opset_import[0].version), (9, 20));
    let graph = with_op.graph.unwrap();
    assert!(operators(&graph).contains("Gelu") && !operators(&graph).contains("Erf"));
    let first = |graph: &GraphProto| {
        let tensor = graph.input[0].r#type.clone().unwrap().tensor_type.unwrap();
        tensor.shape.unwrap().dim.swap_remove(0)
    };
    assert_eq!(first(&graph).dim_param.as_deref(), Some("batch"));
    assert_eq!(first(&plain.graph.unwrap()).dim_value, Some(1));
    let qnn = model(Dialect::L2, &ExportOptions { norm: NormForm::Qnn, ..small() }).graph.unwrap();
    assert!(operators(&qnn).contains("ReduceL2") && !operators(&qnn).contains("Sqrt"));
}

#[test]
fn a_source_size_is_one_resize_of_bytes_with_antialiasing() {
    let options = ExportOptions { with_preprocessing: true, source: Some(Source::Any), ..small() };
    let any = model(Dialect::Sum, &options);
    assert_eq!((any.ir_version, any.opset_import[0].version), (8, 18));
    let graph = any.graph.unwrap();
    let shape = |info: &super::proto::ValueInfoProto| {
        let tensor = info.r#type.clone().unwrap().tensor_type.unwrap();
        (tensor.elem_type, tensor.shape.unwrap().dim)
    };
    let (element, sides) = shape(&graph.input[0]);
    assert_eq!(element, DataType::Uint8 as i32);
    let names: Vec<_> = sides.iter().map(|side| side.dim_param.as_deref()).collect();
    assert_eq!(names, [None, Some("height"), Some("width"), None]);
    let kinds: Vec<_> = graph.node[..3].iter().map(|node| node.op_type.as_str()).collect();
    assert_eq!(kinds, ["Transpose", "Resize", "Cast"]);
    let attributes: HashMap<_, _> = graph.node[1].attribute.iter().map(|a| (a.name.as_str(), a)).collect();
    assert_eq!((attributes["antialias"].i, attributes["exclude_outside"].i), (Some(1), Some(1)));
    assert_eq!(attributes["mode"].s.as_deref(), Some(&b"linear"[..]));
    assert!(graph.node[1].input[1].is_empty() && graph.node[1].input[2].is_empty());
    let sizes = graph.initializer.iter().find(|tensor| tensor.name == graph.node[1].input[3]).unwrap();
    let sizes: Vec<i64> = sizes.raw_data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(sizes, [1, 3, 64, 96]);
    let dynamic = lower(&demo(Dialect::Sum), &ExportOptions { batch: Batch::Dynamic, ..options }).unwrap();
    assert!(print(&dynamic).unwrap_err().to_string().contains("--batch N"));
}

#[test]
fn metadata_says_what_a_user_has_to_know() {
    let options = ExportOptions { embed_labels: true, ..small() };
    let model = model(Dialect::L2, &options);
    let entries: HashMap<_, _> =
        model.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!(entries["dialect"], "l2");
    assert_eq!(entries["mean"], "[0.485, 0.456, 0.406]");
    assert_eq!(entries["std"], "[0.229, 0.224, 0.225]");
    assert_eq!(entries["version"], env!("CARGO_PKG_VERSION"));
    let labels: Vec<String> = serde_json::from_str(entries["labels"]).unwrap();
    assert_eq!(labels.len(), demo(Dialect::L2).config().num_labels);
    let graph = model.graph.unwrap();
    let query = graph.node.iter().find(|node| node.name.ends_with("attn.to_query_norm.div")).unwrap();
    assert!(query.doc_string.contains("‖x‖"), "{}", query.doc_string);
}

#[test]
fn the_same_model_and_options_give_the_same_bytes() {
    let options = ExportOptions { embed_labels: true, ..small() };
    assert!(bytes(Dialect::L2, &options) == bytes(Dialect::L2, &options));
    assert!(bytes(Dialect::L2, &options) != bytes(Dialect::Sum, &options));
}
