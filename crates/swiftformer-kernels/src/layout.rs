//! Between the order of public tensors (NCHW) and the engine's (NHWC).

use crate::depthwise::ImageShape;

/// Pixels moved at a time, so that the lines read for them stay in cache while all channels are written.
const BLOCK: usize = 32;

/// Copies `[channels, height, width]` to `[height, width, channels]`.
///
/// # Panics
/// When a slice's length is not that of `shape`.
pub fn nchw_to_nhwc(input: &[f32], shape: ImageShape, output: &mut [f32]) {
    transpose(input, shape.channels, shape.height * shape.width, output, shape);
}

/// Copies `[height, width, channels]` to `[channels, height, width]`.
///
/// # Panics
/// When a slice's length is not that of `shape`.
pub fn nhwc_to_nchw(input: &[f32], shape: ImageShape, output: &mut [f32]) {
    transpose(input, shape.height * shape.width, shape.channels, output, shape);
}

/// `[rows, columns]` to `[columns, rows]`, in square blocks.
fn transpose(input: &[f32], rows: usize, columns: usize, output: &mut [f32], shape: ImageShape) {
    assert_eq!(input.len(), shape.len(), "input of {shape:?}");
    assert_eq!(output.len(), shape.len(), "output of {shape:?}");
    for row in (0..rows).step_by(BLOCK) {
        let row_end = rows.min(row + BLOCK);
        for column in (0..columns).step_by(BLOCK) {
            for column in column..columns.min(column + BLOCK) {
                for (row, value) in (row..row_end).zip(&mut output[column * rows + row..]) {
                    *value = input[row * columns + column];
                }
            }
        }
    }
}
