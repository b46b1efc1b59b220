//! The printers for LiteRT and ncnn: their files read back by readers that check every offset and count.

mod flat;
mod litert;
mod ncnn;
#[path = "../support/mod.rs"]
mod support;

use support::{lively, open};
use swiftformer::{
    arch::{Arch, TailKind},
    checkpoint::Checkpoint,
    config::{Dialect, SwiftFormerConfig, Variant},
    export::{Artifact, Batch, ExportError, ExportOptions, FloatType, Format, lower},
    image::Preset,
};

const DIALECTS: [Dialect; 4] = [Dialect::Sum, Dialect::L2, Dialect::Softmax, Dialect::Raw];

fn tiny(dialect: Dialect) -> Checkpoint {
    let (arch, state) = open("hf_tiny/model.safetensors", dialect);
    Checkpoint::from_parts(arch, state, Preset::Hf.preprocessor(64, 64))
}

/// A small network of so many input channels.
fn of_channels(num_channels: usize) -> Checkpoint {
    let config = SwiftFormerConfig {
        depths: vec![1, 1],
        embed_dims: vec![6, 9],
        downsamples: vec![true, true],
        num_labels: 1,
        num_channels,
        dialect: Some(Dialect::L2),
        ..Variant::Xs.config()
    };
    let arch = Arch::build(&config, TailKind::Classifier).unwrap();
    let state = lively(&arch, 3);
    let preprocessor = Preset::Hf.preprocessor(64, 64);
    let preprocessor = preprocessor.clone().with_channels(num_channels).unwrap_or(preprocessor);
    Checkpoint::from_parts(arch, state, preprocessor)
}

fn at(size: [usize; 2]) -> ExportOptions {
    ExportOptions { size: Some(size), ..ExportOptions::default() }
}

fn print(format: Format, checkpoint: &Checkpoint, options: &ExportOptions) -> Result<Artifact, ExportError> {
    format.print(&lower(checkpoint, options).unwrap())
}

#[test]
fn equal_models_give_equal_bytes() {
    for format in [Format::LiteRt, Format::Ncnn] {
        for precision in [FloatType::F32, FloatType::F16] {
            let options = ExportOptions { precision, embed_labels: true, ..at([65, 95]) };
            let first = print(format, &tiny(Dialect::L2), &options).unwrap();
            assert_eq!(first, print(format, &tiny(Dialect::L2), &options).unwrap(), "{format} {precision}");
        }
    }
}

#[test]
fn half_precision_halves_the_file() {
    for format in [Format::LiteRt, Format::Ncnn] {
        let length = |precision| {
            let options = ExportOptions { precision, ..at([64, 64]) };
            print(format, &tiny(Dialect::Sum), &options).unwrap().byte_len()
        };
        let (floats, halves) = (length(FloatType::F32), length(FloatType::F16));
        // Names, tables and biases stay; the tiny model is mostly those.
        assert!(halves * 10 < floats * 9, "{format}: {floats} bytes became {halves}");
    }
}

#[test]
fn ncnn_refuses_batches_with_advice() {
    for batch in [Batch::Fixed(2), Batch::Dynamic] {
        let options = ExportOptions { batch, ..at([64, 64]) };
        let error = print(Format::Ncnn, &tiny(Dialect::Sum), &options).unwrap_err();
        assert!(matches!(error, ExportError::Inexpressible { format: "ncnn", .. }), "{error:?}");
        assert!(error.to_string().contains("leave out --batch"), "{error}");
    }
}
