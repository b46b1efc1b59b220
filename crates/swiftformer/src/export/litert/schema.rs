//! The numbers of the two flatbuffer schemas that are written: places of fields in their tables, and values of enums.
//!
//! Sources: `schema.fbs` (file identifier `TFL3`) and `metadata_schema.fbs` (`M001`) of LiteRT and MediaPipe. Only what
//! this crate writes is here.

use flatbuffers::VOffsetT;

/// A field's place in the vtable: behind the vtable's two lengths, two bytes a field.
const fn field(index: VOffsetT) -> VOffsetT {
    4 + 2 * index
}

/// What stands at byte 4 of a model.
pub(super) const MODEL_IDENTIFIER: &str = "TFL3";
/// `Model.version` of that identifier.
pub(super) const MODEL_VERSION: u32 = 3;
/// What stands at byte 4 of the metadata.
pub(super) const METADATA_IDENTIFIER: &str = "M001";
/// The name under which a model holds its metadata.
pub(super) const METADATA_NAME: &str = "TFLITE_METADATA";
/// The oldest reader of the metadata that understands all that is written.
pub(super) const METADATA_PARSER: &str = "1.0.0";

/// Fields of a table, in the order of the schema.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $index:literal),+ $(,)? }) => {
        $(#[$doc])*
        pub(super) mod $name {
            $(pub(in super::super) const $field: flatbuffers::VOffsetT = super::field($index);)+
        }
    };
}

table! {
    /// Root of a model.
    model {
        VERSION = 0, OPERATOR_CODES = 1, SUBGRAPHS = 2, DESCRIPTION = 3, BUFFERS = 4, METADATA = 6, SIGNATURES = 7,
    }
}
table! {
    /// Which operator, in which version.
    operator_code { DEPRECATED_BUILTIN_CODE = 0, VERSION = 2, BUILTIN_CODE = 3 }
}
table! {
    /// The graph.
    subgraph { TENSORS = 0, INPUTS = 1, OUTPUTS = 2, OPERATORS = 3, NAME = 4 }
}
table! {
    /// A value of the graph.
    tensor { SHAPE = 0, TYPE = 1, BUFFER = 2, NAME = 3, QUANTIZATION = 4, SHAPE_SIGNATURE = 7, HAS_RANK = 8 }
}
table! {
    /// Real value = scale · (stored value − zero point).
    quantization { SCALE = 2, ZERO_POINT = 3 }
}
table! {
    /// A step of the graph.
    operator { CODE_INDEX = 0, INPUTS = 1, OUTPUTS = 2, OPTIONS_TYPE = 3, OPTIONS = 4 }
}
table! {
    /// Bytes of a constant or of metadata.
    buffer { DATA = 0 }
}
table! {
    /// Named bytes.
    metadata { NAME = 0, BUFFER = 1 }
}
table! {
    /// Names of inputs and outputs.
    signature { INPUTS = 0, OUTPUTS = 1, KEY = 2 }
}
table! {
    /// A name of a tensor.
    tensor_map { NAME = 0, TENSOR = 1 }
}
table! {
    /// `Conv2DOptions`.
    conv { PADDING = 0, STRIDE_W = 1, STRIDE_H = 2, ACTIVATION = 3 }
}
table! {
    /// `DepthwiseConv2DOptions`.
    depthwise { PADDING = 0, STRIDE_W = 1, STRIDE_H = 2, MULTIPLIER = 3, ACTIVATION = 4 }
}
table! {
    /// `ReducerOptions`.
    reducer { KEEP_DIMS = 0 }
}
table! {
    /// `SoftmaxOptions`.
    softmax { BETA = 0 }
}
table! {
    /// `GeluOptions`.
    gelu { APPROXIMATE = 0 }
}
table! {
    /// `LeakyReluOptions`.
    leaky_relu { ALPHA = 0 }
}
table! {
    /// Root of the metadata.
    model_metadata { NAME = 0, DESCRIPTION = 1, VERSION = 2, SUBGRAPHS = 3, MIN_PARSER_VERSION = 7 }
}
table! {
    /// Metadata of the graph.
    subgraph_metadata { INPUTS = 2, OUTPUTS = 3 }
}
table! {
    /// Metadata of an input or output.
    tensor_metadata {
        NAME = 0, DESCRIPTION = 1, CONTENT = 3, PROCESS_UNITS = 4, STATS = 5, ASSOCIATED_FILES = 6,
    }
}
table! {
    /// What a tensor holds.
    content { PROPERTIES_TYPE = 0, PROPERTIES = 1 }
}
table! {
    /// An image's properties.
    image_properties { COLOR_SPACE = 0 }
}
table! {
    /// A step outside of the graph.
    process_unit { OPTIONS_TYPE = 0, OPTIONS = 1 }
}
table! {
    /// `(x − mean) / std`.
    normalization { MEAN = 0, STD = 1 }
}
table! {
    /// Range of values.
    stats { MAX = 0, MIN = 1 }
}
table! {
    /// A file that is packed with the model.
    associated_file { NAME = 0, DESCRIPTION = 1, TYPE = 2 }
}

/// `ContentProperties.FeatureProperties`.
pub(super) const CONTENT_FEATURE: u8 = 1;
/// `ContentProperties.ImageProperties`.
pub(super) const CONTENT_IMAGE: u8 = 2;
/// `ColorSpaceType.UNKNOWN`.
pub(super) const COLOR_UNKNOWN: i8 = 0;
/// `ColorSpaceType.RGB`.
pub(super) const COLOR_RGB: i8 = 1;
/// `ColorSpaceType.GRAYSCALE`.
pub(super) const COLOR_GRAYSCALE: i8 = 2;
/// `ProcessUnitOptions.NormalizationOptions`.
pub(super) const PROCESS_NORMALIZATION: u8 = 1;
/// `AssociatedFileType.TENSOR_AXIS_LABELS`.
pub(super) const FILE_AXIS_LABELS: i8 = 2;
