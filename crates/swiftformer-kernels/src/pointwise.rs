//! Pointwise (1×1) convolutions and linear layers.

use crate::activation::Activation;
use crate::gemm::{Gemm, InputView, OutputView, PackedMatrix, row_blocks};
use crate::kernels::Kernels;
use crate::rows::{Rows, RowsMut};

/// What happens to a matrix product: `output = activation(product + bias [+ output])`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epilogue {
    /// Applied last.
    pub activation: Activation,
    /// Adds to what the output holds (a residual connection) instead of replacing it.
    pub accumulate: bool,
}

impl Kernels {
    /// `output[r] = activation(matrix · input[r] + bias [+ output[r]])` for every row.
    ///
    /// # Panics
    /// When the views differ in their number of rows, when a view is too short for `matrix`, or when `matrix` was
    /// packed for another instruction set.
    pub fn pointwise(self, matrix: &PackedMatrix, input: Rows<'_>, mut output: RowsMut<'_>, epilogue: Epilogue) {
        assert_eq!(input.rows, output.rows, "rows of input and output");
        input.check(matrix.inputs(), "input of a pointwise convolution");
        output.check(matrix.outputs(), "output of a pointwise convolution");
        for (start, count) in row_blocks(input.rows) {
            let input = input.part(start, count);
            let output = output.part(start, count);
            self.dispatch(Gemm {
                matrix,
                input: InputView {
                    data: input.data,
                    groups: 1,
                    group_stride: 0,
                    rows: count,
                    row_stride: input.stride,
                    segments: 1,
                    segment_stride: 0,
                    segment_len: matrix.inputs(),
                },
                output: OutputView { data: output.data, group_stride: 0, row_stride: output.stride },
                epilogue,
            });
        }
    }
}
