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

impl PackedMatrix {
    /// Floats of scratch that [`Kernels::pointwise`] needs for `rows` rows.
    pub fn pointwise_scratch_len(&self, rows: usize) -> usize {
        let rows = rows.min(self.block_rows()[0]);
        self.scratch_len(rows, rows * self.inputs())
    }
}

impl Kernels {
    /// `output[r] = activation(matrix · input[r] + bias [+ output[r]])` for every row. `scratch` may hold anything.
    ///
    /// # Panics
    /// When the views differ in their number of rows, when a view is too short for `matrix`, when `matrix` was packed for
    /// another instruction set, or when `scratch` does not fit (see [`PackedMatrix::pointwise_scratch_len`]).
    pub fn pointwise(
        self,
        matrix: &PackedMatrix,
        input: Rows<'_>,
        output: RowsMut<'_>,
        epilogue: Epilogue,
        scratch: &mut [f32],
    ) {
        self.pointwise_onto(matrix, input, output, None, epilogue, scratch);
    }

    /// As [`Kernels::pointwise`]; what is added may be other rows than the output's.
    pub(crate) fn pointwise_onto(
        self,
        matrix: &PackedMatrix,
        input: Rows<'_>,
        mut output: RowsMut<'_>,
        residual: Option<Rows<'_>>,
        epilogue: Epilogue,
        scratch: &mut [f32],
    ) {
        assert_eq!(input.rows, output.rows, "rows of input and output");
        input.check(matrix.inputs(), "input of a pointwise convolution");
        output.check(matrix.outputs(), "output of a pointwise convolution");
        for (start, count) in row_blocks(input.rows, matrix.block_rows()) {
            let input = InputView::rows(input.part(start, count), matrix.inputs());
            let output = output.part(start, count);
            let residual = residual.map(|rows| rows.part(start, count));
            let output = OutputView { data: output.data, row_stride: output.stride, residual };
            self.dispatch(Gemm { matrix, input, output, epilogue, scratch: &mut *scratch });
        }
    }
}
