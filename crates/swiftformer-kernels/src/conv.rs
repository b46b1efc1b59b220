//! Dense convolution: the stem and the steps between stages.

use std::ops::Range;

use crate::depthwise::ImageShape;
use crate::gemm::{Gemm, InputView, OutputView, PackedMatrix};
use crate::kernels::Kernels;
use crate::pointwise::Epilogue;

/// The geometry of a dense convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// The input image.
    pub input: ImageShape,
    /// Kernel `[height, width]`, in pixels.
    pub kernel: [usize; 2],
    /// Step between outputs `[y, x]`, in pixels.
    pub stride: [usize; 2],
    /// Zeros on each side of the image `[y, x]`, in pixels.
    pub padding: [usize; 2],
}

impl Conv2dShape {
    /// Outputs along an axis (0 is y) of `input` pixels: none if the kernel is larger than the padded image.
    fn outputs(&self, axis: usize, input: usize) -> usize {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        assert!(kernel > 0 && stride > 0, "a convolution needs a kernel and a stride: {self:?}");
        (input + 2 * self.padding[axis]).checked_sub(kernel).map_or(0, |room| room / stride + 1)
    }

    /// The output image for `channels` output channels.
    ///
    /// # Panics
    /// When kernel or stride are zero.
    pub fn output(&self, channels: usize) -> ImageShape {
        ImageShape { height: self.outputs(0, self.input.height), width: self.outputs(1, self.input.width), channels }
    }

    /// Output rows in one block.
    fn block(&self, matrix: &PackedMatrix) -> usize {
        let width = self.outputs(1, self.input.width).max(1);
        matrix.block_tokens(width) / width
    }

    /// Floats in a row of the padded image.
    fn padded_row(&self) -> usize {
        (self.input.width + 2 * self.padding[1]) * self.input.channels
    }

    /// Input rows that `rows` output rows see.
    fn input_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.stride[0] + self.kernel[0]
    }

    /// Output rows of one block, and floats of the padded input rows that they see.
    fn block_sizes(&self, matrix: &PackedMatrix) -> [usize; 2] {
        let rows = self.block(matrix).min(self.outputs(0, self.input.height));
        [rows, if rows == 0 { 0 } else { self.input_rows(rows) * self.padded_row() }]
    }

    /// Floats of the copy of a block's input rows: none without padding.
    fn padded_len(&self, matrix: &PackedMatrix) -> usize {
        if self.padding == [0, 0] { 0 } else { self.block_sizes(matrix)[1] }
    }

    /// Floats of scratch that [`Kernels::conv2d`] needs with `matrix`.
    pub fn scratch_len(&self, matrix: &PackedMatrix) -> usize {
        let [rows, covered] = self.block_sizes(matrix);
        let tokens = rows * self.outputs(1, self.input.width);
        self.padded_len(matrix).next_multiple_of(16) + matrix.scratch_len(tokens, covered)
    }
}

/// A dense convolution: its geometry, and its weights from [`PackedMatrix::pack_conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv2d<'a> {
    /// Geometry.
    pub shape: Conv2dShape,
    /// Weights and bias.
    pub matrix: &'a PackedMatrix,
    /// What happens to the sums.
    pub epilogue: Epilogue,
}

impl Kernels {
    /// Output rows `rows` of the convolution of `input`. `output` holds those rows only,
    /// `[rows.len(), output width, output channels]`. `scratch` may hold anything.
    ///
    /// No column matrix is built: in NHWC the pixels below one kernel row lie side by side, so they are multiplied
    /// where they are, in a copy of a few image rows that has the zeros around it.
    ///
    /// # Panics
    /// When the matrix, `rows`, a slice or `scratch` do not fit (see [`Conv2dShape::scratch_len`]).
    pub fn conv2d(self, conv: Conv2d<'_>, input: &[f32], rows: Range<usize>, output: &mut [f32], scratch: &mut [f32]) {
        let Conv2d { shape, matrix, epilogue } = conv;
        let image = shape.input;
        let result = shape.output(matrix.outputs());
        assert_eq!(
            matrix.inputs(),
            shape.kernel[0] * shape.kernel[1] * image.channels,
            "the matrix's inputs for {shape:?}"
        );
        assert_eq!(input.len(), image.len(), "input of {shape:?}");
        assert!(rows.start <= rows.end && rows.end <= result.height, "rows {rows:?} of {result:?}");
        let output_row = result.width * result.channels;
        assert_eq!(output.len(), rows.len() * output_row, "output rows {rows:?} of {result:?}");
        let needed = shape.scratch_len(matrix);
        assert!(scratch.len() >= needed, "scratch of {shape:?}: {needed} floats needed, {} given", scratch.len());
        if output.is_empty() {
            return;
        }

        let padded_row = shape.padded_row();
        let (padded, scratch) = scratch.split_at_mut(shape.padded_len(matrix).next_multiple_of(16));
        let mut start = rows.start;
        for output in output.chunks_mut(shape.block(matrix) * output_row) {
            let count = output.len() / output_row;
            let data = if shape.padding == [0, 0] {
                &input[start * shape.stride[0] * padded_row..]
            } else {
                let padded = &mut padded[..shape.input_rows(count) * padded_row];
                copy_padded(shape, input, start * shape.stride[0], padded);
                padded
            };
            self.dispatch(Gemm {
                matrix,
                input: InputView {
                    data,
                    groups: count,
                    group_stride: shape.stride[0] * padded_row,
                    rows: result.width,
                    row_stride: shape.stride[1] * image.channels,
                    segments: shape.kernel[0],
                    segment_stride: padded_row,
                    segment_len: shape.kernel[1] * image.channels,
                },
                output: OutputView { data: output, row_stride: result.channels, residual: None },
                epilogue,
                scratch: &mut *scratch,
            });
            start += count;
        }
    }
}

/// Copies image rows with the zeros around them; `first` counts rows of the padded image.
fn copy_padded(shape: Conv2dShape, input: &[f32], first: usize, padded: &mut [f32]) {
    let row_len = shape.input.width * shape.input.channels;
    let margin = shape.padding[1] * shape.input.channels;
    for (offset, target) in padded.chunks_exact_mut(shape.padded_row()).enumerate() {
        let y = (first + offset).checked_sub(shape.padding[0]).filter(|&y| y < shape.input.height);
        match y {
            Some(y) => {
                target[..margin].fill(0.0);
                target[margin..margin + row_len].copy_from_slice(&input[y * row_len..][..row_len]);
                target[margin + row_len..].fill(0.0);
            }
            None => target.fill(0.0),
        }
    }
}
