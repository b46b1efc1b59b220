//! ncnn's two files as they grow: a line of text a layer, and weights in the order of the layers.

use std::fmt::{Display, Write};

use half::f16;

use crate::export::FloatType;

/// First line of a `.param` file.
const MAGIC: u32 = 7_767_517;
/// Stands before weights in 16-bit floats.
const HALF_FLAG: u32 = 0x0130_6B47;
/// Stands before weights in 32-bit floats.
const FLOAT_FLAG: u32 = 0;
/// Arrays have their key behind this.
const ARRAY: i32 = -23_300;

/// Layers and weights.
pub(super) struct Layers {
    precision: FloatType,
    lines: String,
    layers: usize,
    blobs: usize,
    weights: Vec<u8>,
}

/// The parameters of a layer: `key=value`, separated by spaces.
#[derive(Default)]
pub(super) struct Params(String);

impl Params {
    /// An integer.
    pub(super) fn int(mut self, key: i32, value: usize) -> Self {
        self.push(key, value);
        self
    }

    /// A float. Readers tell it from an integer by its point or exponent.
    pub(super) fn float(mut self, key: i32, value: f32) -> Self {
        self.push(key, format_args!("{value:e}"));
        self
    }

    /// Integers.
    pub(super) fn ints(mut self, key: i32, values: &[usize]) -> Self {
        let values: String = values.iter().map(|value| format!(",{value}")).collect();
        self.push(ARRAY - key, format_args!("{}{values}", values.matches(',').count()));
        self
    }

    /// Floats.
    pub(super) fn floats(mut self, key: i32, values: &[f32]) -> Self {
        let texts: String = values.iter().map(|value| format!(",{value:e}")).collect();
        self.push(ARRAY - key, format_args!("{}{texts}", values.len()));
        self
    }

    fn push(&mut self, key: i32, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {key}={value}");
    }
}

impl Layers {
    pub(super) fn new(precision: FloatType, weights: usize) -> Self {
        let size = if precision == FloatType::F16 { 2 } else { 4 };
        let weights = Vec::with_capacity(weights * size);
        Self { precision, lines: String::new(), layers: 0, blobs: 0, weights }
    }

    /// Adds a layer.
    pub(super) fn push(&mut self, kind: &str, name: &str, inputs: &[String], outputs: &[String], params: Params) {
        let _ = write!(self.lines, "{kind:<20} {name:<40} {} {}", inputs.len(), outputs.len());
        for blob in inputs.iter().chain(outputs) {
            let _ = write!(self.lines, " {blob}");
        }
        self.lines.push_str(&params.0);
        self.lines.push('\n');
        self.layers += 1;
        self.blobs += outputs.len();
    }

    /// Weights of the layer pushed last: those that may be stored in 16 bits.
    pub(super) fn weights(&mut self, values: &[f32]) {
        match self.precision {
            FloatType::F32 => {
                self.weights.extend(FLOAT_FLAG.to_le_bytes());
                self.plain(values);
            }
            FloatType::F16 => {
                self.weights.extend(HALF_FLAG.to_le_bytes());
                self.weights.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
                // What follows is read in words of four bytes.
                self.weights.resize(self.weights.len().next_multiple_of(4), 0);
            }
        }
    }

    /// Values that are 32-bit floats in every file: biases and scales.
    pub(super) fn plain(&mut self, values: &[f32]) {
        self.weights.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// The text of the `.param` file and the bytes of the `.bin` file.
    pub(super) fn finish(self) -> (String, Vec<u8>) {
        (format!("{MAGIC}\n{} {}\n{}", self.layers, self.blobs, self.lines), self.weights)
    }
}
