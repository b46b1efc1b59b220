//! The messages of Core ML's `Model.proto`, `FeatureTypes.proto` and `MIL.proto` that are written. Maps are sorted, so that the
//! same model gives the same bytes.

use std::collections::BTreeMap;

use super::super::protobuf::message;
use bytes::Bytes;

/// Type of a tensor's elements in MIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Bool = 1,
    String = 2,
    Float16 = 10,
    Float32 = 11,
    Float64 = 12,
    Int32 = 23,
}

/// Colours of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorSpace {
    Grayscale = 10,
    Rgb = 20,
}

/// Type of a feature's elements: 32-bit floats.
pub const ARRAY_FLOAT32: i32 = 65_568;

message! {
    Model {
        1 specification_version: i32,
        2 description: Option<ModelDescription>,
        502 ml_program: Option<Program>,
    }

    ModelDescription {
        1 input: Vec<FeatureDescription>,
        10 output: Vec<FeatureDescription>,
        11 predicted_feature_name: String,
        12 predicted_probabilities_name: String,
        100 metadata: Option<Metadata>,
    }

    Metadata {
        1 short_description: String,
        2 version_string: String,
        3 author: String,
        100 user_defined: BTreeMap<String, String>,
    }

    FeatureDescription {
        1 name: String,
        2 short_description: String,
        3 r#type: Option<FeatureType>,
    }

    /// One of the fields is there.
    FeatureType {
        3 string_type: Option<StringFeatureType>,
        4 image_type: Option<ImageFeatureType>,
        5 multi_array_type: Option<ArrayFeatureType>,
        6 dictionary_type: Option<DictionaryFeatureType>,
    }

    StringFeatureType {
    }

    ImageFeatureType {
        1 width: i64,
        2 height: i64,
        3 color_space: i32,
    }

    ArrayFeatureType {
        1 shape: Vec<i64>,
        2 data_type: i32,
    }

    DictionaryFeatureType {
        2 string_key_type: Option<StringFeatureType>,
    }

    Program {
        1 version: i64,
        2 functions: BTreeMap<String, Function>,
    }

    Function {
        1 inputs: Vec<NamedValueType>,
        2 opset: String,
        3 block_specializations: BTreeMap<String, Block>,
    }

    Block {
        2 outputs: Vec<String>,
        3 operations: Vec<Operation>,
    }

    Operation {
        1 r#type: String,
        2 inputs: BTreeMap<String, Argument>,
        3 outputs: Vec<NamedValueType>,
        5 attributes: BTreeMap<String, Value>,
    }

    Argument {
        1 arguments: Vec<Binding>,
    }

    /// One of the fields is there.
    Binding {
        1 name: Option<String>,
        2 value: Option<Value>,
    }

    NamedValueType {
        1 name: String,
        2 r#type: Option<ValueType>,
    }

    /// One of the fields is there.
    ValueType {
        1 tensor_type: Option<TensorType>,
        2 list_type: Option<Box<ListType>>,
        4 dictionary_type: Option<Box<DictionaryType>>,
    }

    DictionaryType {
        1 key_type: Option<Box<ValueType>>,
        2 value_type: Option<Box<ValueType>>,
    }

    ListType {
        1 r#type: Option<Box<ValueType>>,
        2 length: Option<Dimension>,
    }

    TensorType {
        1 data_type: i32,
        2 rank: i64,
        3 dimensions: Vec<Dimension>,
    }

    Dimension {
        1 constant: Option<ConstantDimension>,
    }

    ConstantDimension {
        1 size: u64,
    }

    /// Its type, and one of the other fields.
    Value {
        2 r#type: Option<ValueType>,
        3 immediate_value: Option<ImmediateValue>,
        5 blob_file_value: Option<BlobFileValue>,
    }

    BlobFileValue {
        1 file_name: String,
        2 offset: u64,
    }

    /// One of the fields is there.
    ImmediateValue {
        1 tensor: Option<TensorValue>,
        3 list: Option<ListValue>,
    }

    ListValue {
        1 values: Vec<Value>,
    }

    /// One of the fields is there.
    TensorValue {
        1 floats: Option<RepeatedFloats>,
        2 ints: Option<RepeatedInts>,
        3 bools: Option<RepeatedBools>,
        4 strings: Option<RepeatedStrings>,
        7 bytes: Option<RepeatedBytes>,
    }

    RepeatedFloats {
        1 values: Vec<f32>,
    }

    RepeatedInts {
        1 values: Vec<i32>,
    }

    RepeatedBools {
        1 values: Vec<bool>,
    }

    RepeatedStrings {
        1 values: Vec<String>,
    }

    RepeatedBytes {
        1 values: Bytes,
    }
}
