//! ncnn: a folder with the layers as text, the weights, and what to do with pixels.

mod fuse;
mod layers;
mod print;

use serde_json::json;

use super::{Artifact, Batch, ExportError, Lowered, Shape};

/// The layers.
pub const PARAM_FILE: &str = "model.ncnn.param";
/// Their weights.
pub const BIN_FILE: &str = "model.ncnn.bin";
/// Preprocessing and where the model comes from.
pub const INFO_FILE: &str = "model.json";
/// Names of the classes, one a line.
pub const LABELS_FILE: &str = "labels.txt";

/// Prints a lowering as a folder for ncnn.
///
/// # Errors
/// [`ExportError::Inexpressible`] for other batches than one image: blobs of ncnn have no axis for it.
pub fn print(lowered: &Lowered) -> Result<Artifact, ExportError> {
    if lowered.options.batch != Batch::Fixed(1) {
        return Err(ExportError::Inexpressible {
            format: "ncnn",
            what: format!("a batch of {}", lowered.options.batch),
            change: "leave out --batch, and run one image after the other".to_owned(),
        });
    }
    let (param, bin) = print::print(lowered);
    let mut files = vec![
        (PARAM_FILE.to_owned(), param.into_bytes()),
        (BIN_FILE.to_owned(), bin),
        (INFO_FILE.to_owned(), info(lowered)),
    ];
    if !lowered.info.labels.is_empty() {
        let lines = lowered.info.labels.iter().map(|label| label.replace(['\r', '\n'], " ") + "\n");
        files.push((LABELS_FILE.to_owned(), lines.collect::<String>().into_bytes()));
    }
    Ok(Artifact::Folder(files))
}

/// What a program has to know besides the layers, in the terms of ncnn's functions.
fn info(lowered: &Lowered) -> Vec<u8> {
    let info = &lowered.info;
    let name = |value: usize| lowered.values[value].name.as_str();
    let [height, width] = lowered.size;
    // `substract_mean_normalize` gives (pixel − mean) · norm of pixels from 0 to 255.
    let steps = match lowered.values[lowered.input].shape {
        Shape::Bytes(_) => serde_json::Value::Null,
        _ => json!({
            "mean_vals": info.mean.iter().map(|mean| mean / info.rescale).collect::<Vec<_>>(),
            "norm_vals": info.std.iter().map(|std| info.rescale / std).collect::<Vec<_>>(),
        }),
    };
    // The part of `ncnn::Mat::PIXEL_…` behind the underscore.
    let pixels = match lowered.values[lowered.input].shape.channels() {
        1 => json!("GRAY"),
        3 => json!("RGB"),
        _ => serde_json::Value::Null,
    };
    let value = json!({
        "model": info.model,
        "dialect": info.dialect.to_string(),
        "normalize_qk": info.normalize_qk,
        "written_by": format!("swiftformer {}", info.version),
        "input": {"blob": name(lowered.input), "width": width, "height": height, "pixels": pixels},
        "preprocessing": info.preprocessing,
        "substract_mean_normalize": steps,
        "outputs": lowered.outputs.iter().map(|&output| name(output)).collect::<Vec<_>>(),
    });
    let mut text = format!("{value:#}").into_bytes();
    text.push(b'\n');
    text
}
