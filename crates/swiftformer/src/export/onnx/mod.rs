//! ONNX, operator sets 17, 18 (resizing) and 20 (with the operation Gelu).
//!
//! Names of operations are those of the lowered list, and so are doc strings. Metadata: `labels`, `mean`, `std` as JSON
//! arrays, `rescale`, `preprocessing`, `dialect`, `normalize_qk`, `model`, `version`. The same model and options give the
//! same bytes.

mod graph;
mod proto;

#[cfg(test)]
mod tests;

use self::{
    graph::Printer,
    proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto},
};
use super::{Artifact, ExportError, GeluForm, Lowered};
use prost::Message;

/// Protocol buffers, and with them ONNX files, end here.
const MAX_BYTES: usize = i32::MAX as usize;

/// Operator sets without more, with antialiasing, and with Gelu, and the file versions that came with them.
const PLAIN: OperatorSet = OperatorSet { version: 17, ir_version: 8 };
const WITH_ANTIALIAS: OperatorSet = OperatorSet { version: 18, ir_version: 8 };
const WITH_GELU: OperatorSet = OperatorSet { version: 20, ir_version: 9 };

#[derive(Clone, Copy, Debug)]
struct OperatorSet {
    version: i64,
    ir_version: i64,
}

impl OperatorSet {
    fn of(lowered: &Lowered) -> Self {
        match lowered.options.gelu {
            GeluForm::Op => WITH_GELU,
            _ if lowered.options.source.is_some() => WITH_ANTIALIAS,
            _ => PLAIN,
        }
    }

    /// Whether reductions other than ReduceSum take their axes as an input; before, they were an attribute.
    fn axes_are_input(self) -> bool {
        self.version >= 18
    }
}

/// Prints a lowered network.
///
/// # Errors
/// When the file would have more than 2³¹ bytes, or resizes a dynamic batch.
pub fn print(lowered: &Lowered) -> Result<Artifact, ExportError> {
    let bytes_a_value = match lowered.options.precision {
        super::FloatType::F32 => 4,
        super::FloatType::F16 => 2,
    };
    // What is not weights is well under a mebibyte for every network that validates.
    if lowered.weights().saturating_mul(bytes_a_value) > MAX_BYTES - (64 << 20) {
        return Err(ExportError::Inexpressible {
            format: "ONNX",
            what: format!("{} weights, as a file ends at 2 GiB", lowered.weights()),
            change: "use --precision f16 or a smaller model".into(),
        });
    }
    if lowered.options.source.is_some() && lowered.fixed_batch().is_none() {
        return Err(ExportError::Inexpressible {
            format: "ONNX",
            what: "a resize of a dynamic batch without computing shapes".into(),
            change: "use --batch N, or leave out --source-size".into(),
        });
    }
    Ok(Artifact::File(model(lowered).encode_to_vec()))
}

fn model(lowered: &Lowered) -> ModelProto {
    let set = OperatorSet::of(lowered);
    let info = &lowered.info;
    let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.to_owned(), value };
    ModelProto {
        ir_version: set.ir_version,
        producer_name: "swiftformer".into(),
        producer_version: info.version.into(),
        doc_string: info.description(),
        graph: Some(Printer::new(lowered, set).print()),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: set.version }],
        metadata_props: info.entries().into_iter().map(entry).collect(),
    }
}
