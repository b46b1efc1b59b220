//! Two pointwise layers with an activation between them, without storing the hidden layer as a whole.

use crate::activation::Activation;
use crate::gemm::{BLOCK_ROWS, PackedMatrix, row_blocks};
use crate::kernels::Kernels;
use crate::pointwise::Epilogue;
use crate::rows::{Rows, RowsMut};

/// `second(activation(first(x)))`
#[derive(Clone, Copy, Debug)]
pub struct Mlp<'a> {
    /// From the input to the hidden layer.
    pub first: &'a PackedMatrix,
    /// Of the hidden layer.
    pub activation: Activation,
    /// From the hidden layer to the output.
    pub second: &'a PackedMatrix,
}

impl Mlp<'_> {
    /// Floats of scratch that [`Kernels::mlp`] needs for `rows` rows: the hidden layer of one block.
    pub fn scratch_len(&self, rows: usize) -> usize {
        rows.min(BLOCK_ROWS) * self.first.outputs()
    }
}

impl Kernels {
    /// `output[r] = mlp(input[r]) [+ output[r]]` for every row, in blocks whose hidden layer stays in cache.
    /// `scratch` may hold anything.
    ///
    /// # Panics
    /// When shapes, views or `scratch` do not fit (see [`Mlp::scratch_len`]).
    pub fn mlp(self, mlp: Mlp<'_>, input: Rows<'_>, mut output: RowsMut<'_>, accumulate: bool, scratch: &mut [f32]) {
        assert_eq!(mlp.first.outputs(), mlp.second.inputs(), "hidden channels");
        assert_eq!(input.rows, output.rows, "rows of input and output");
        input.check(mlp.first.inputs(), "input of an MLP");
        output.check(mlp.second.outputs(), "output of an MLP");
        let hidden = mlp.first.outputs();
        let needed = mlp.scratch_len(input.rows);
        assert!(scratch.len() >= needed, "scratch of an MLP: {needed} floats needed, {} given", scratch.len());
        for (start, count) in row_blocks(input.rows) {
            let first = Epilogue { activation: mlp.activation, accumulate: false };
            self.pointwise(mlp.first, input.part(start, count), RowsMut::new(scratch, count, hidden), first);
            let second = Epilogue { activation: Activation::Identity, accumulate };
            self.pointwise(mlp.second, Rows::new(scratch, count, hidden), output.part(start, count), second);
        }
    }
}
