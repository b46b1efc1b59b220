//! The messages of ONNX's schema that are written, as `onnx.proto3` numbers them; what it calls optional and tells from
//! zero stays so here.

use super::super::protobuf::message;
use bytes::Bytes;

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Float = 1,
    Uint8 = 2,
    Int64 = 7,
    Float16 = 10,
}

/// Which field of an attribute counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeType {
    Float = 1,
    Int = 2,
    String = 3,
    Ints = 7,
}

message! {
    ModelProto {
        1 ir_version: i64,
        2 producer_name: String,
        3 producer_version: String,
        6 doc_string: String,
        7 graph: Option<GraphProto>,
        8 opset_import: Vec<OperatorSetIdProto>,
        14 metadata_props: Vec<StringStringEntryProto>,
    }

    OperatorSetIdProto {
        1 domain: String,
        2 version: i64,
    }

    StringStringEntryProto {
        1 key: String,
        2 value: String,
    }

    GraphProto {
        1 node: Vec<NodeProto>,
        2 name: String,
        5 initializer: Vec<TensorProto>,
        10 doc_string: String,
        11 input: Vec<ValueInfoProto>,
        12 output: Vec<ValueInfoProto>,
        13 value_info: Vec<ValueInfoProto>,
    }

    NodeProto {
        1 input: Vec<String>,
        2 output: Vec<String>,
        3 name: String,
        4 op_type: String,
        5 attribute: Vec<AttributeProto>,
        6 doc_string: String,
    }

    AttributeProto {
        1 name: String,
        2 f: Option<f32>,
        3 i: Option<i64>,
        4 s: Option<Bytes>,
        8 ints: Vec<i64>,
        20 r#type: i32,
    }

    TensorProto {
        1 dims: Vec<i64>,
        2 data_type: i32,
        8 name: String,
        9 raw_data: Bytes,
    }

    ValueInfoProto {
        1 name: String,
        2 r#type: Option<TypeProto>,
        3 doc_string: String,
    }

    TypeProto {
        1 tensor_type: Option<TensorTypeProto>,
    }

    TensorTypeProto {
        1 elem_type: i32,
        2 shape: Option<TensorShapeProto>,
    }

    TensorShapeProto {
        1 dim: Vec<Dimension>,
    }

    Dimension {
        1 dim_value: Option<i64>,
        2 dim_param: Option<String>,
    }
}
