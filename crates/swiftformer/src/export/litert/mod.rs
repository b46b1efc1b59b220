//! LiteRT (TensorFlow Lite): one flatbuffer, channels last from end to end, and the names of the classes behind it.
//!
//! Only built-in operators that XNNPACK takes are printed, so that the whole graph is one call of it.

mod metadata;
mod model;
mod operator;
mod print;
mod schema;
#[cfg(test)]
mod tests;

use self::{metadata::Metadata, print::Printer};
use super::{Artifact, ExportError, FloatType, Lowered, OutputKind, Shape};

/// What errors call the format.
const FORMAT: &str = "LiteRT";
/// Tells XNNPACK that the values themselves may be 16-bit floats where the processor computes in them.
const REDUCED_PRECISION: (&str, &str) = ("reduced_precision_support", "fp16accfp16");
/// The first runtime with all operators that are used (`GELU` came last).
const MIN_RUNTIME: &str = "2.9.0";

/// Prints a lowering as a `.tflite` file.
///
/// # Errors
/// [`ExportError::Inexpressible`] when LiteRT has no operator for a step, or the file would pass its 2 GiB.
pub fn print(lowered: &Lowered) -> Result<Artifact, ExportError> {
    let mut printer = Printer::new(lowered);
    printer.print()?;
    let mut model = printer.model;
    model.description = lowered.info.description();
    let mut note = |name: &str, value: &[u8]| model.metadata.push((name.to_owned(), value.to_vec()));
    note("min_runtime_version", &version_field(MIN_RUNTIME));
    if lowered.options.precision == FloatType::F16 {
        let (name, value) = REDUCED_PRECISION;
        note(name, value.as_bytes());
    }
    for (name, value) in lowered.info.entries().iter().filter(|(name, _)| *name != "labels") {
        note(&format!("swiftformer.{name}"), value.as_bytes());
    }
    let description = format!("{}; {}", model.description, lowered.info.preprocessing);
    note(schema::METADATA_NAME, &metadata(lowered, &description).encode());
    let too_large = || ExportError::Inexpressible {
        format: FORMAT,
        what: "a file of more than 2 GiB".to_owned(),
        change: "use --precision f16 or --format onnx".to_owned(),
    };
    let bytes = model.encode().ok_or_else(too_large)?;
    if lowered.info.labels.is_empty() {
        return Ok(Artifact::File(bytes));
    }
    metadata::append_labels(bytes, &lowered.info.labels).map(Artifact::File).map_err(|_| too_large())
}

/// The runtime expects a field of 16 bytes.
fn version_field(version: &str) -> [u8; 16] {
    let mut field = [0; 16];
    field.iter_mut().zip(version.bytes()).for_each(|(place, byte)| *place = byte);
    field
}

fn metadata<'a>(lowered: &'a Lowered, description: &'a str) -> Metadata<'a> {
    let info = &lowered.info;
    let channels = lowered.values[lowered.input].shape.channels();
    let bytes = matches!(lowered.values[lowered.input].shape, Shape::Bytes(_));
    // Readers normalise pixels of 0 to 255: (pixel · rescale − mean) / std = (pixel − mean / rescale) / (std / rescale).
    let pixels = |values: &[f64]| values.iter().map(|value| (value / info.rescale) as f32).collect::<Vec<_>>();
    // A preprocessing of pictures says nothing about five channels.
    let fits = info.mean.len() == channels && info.std.len() == channels;
    let normalization = (!bytes && fits).then(|| [pixels(&info.mean), pixels(&info.std)]);
    let end = |pixel: f64| {
        let parts = info.mean.iter().zip(&info.std);
        parts.map(|(mean, std)| ((pixel * info.rescale - mean) / std) as f32).collect::<Vec<_>>()
    };
    let range = if bytes { [vec![0.0; channels], vec![255.0; channels]] } else { [end(0.0), end(255.0)] };
    let (meaning, labels) = match lowered.options.outputs {
        OutputKind::Logits => ("Scores of the classes, before softmax.", true),
        OutputKind::Probabilities => ("Probabilities of the classes.", true),
        OutputKind::Features => ("The map behind a stage.", false),
        OutputKind::Embedding => ("Pooled features.", false),
    };
    let names = lowered.outputs.iter().map(|&output| lowered.values[output].name.as_str());
    Metadata {
        name: &info.model,
        description,
        version: info.version,
        channels,
        normalization,
        range,
        outputs: names.map(|name| (name, meaning, labels && !info.labels.is_empty())).collect(),
    }
}
