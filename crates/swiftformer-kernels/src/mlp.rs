//! Two pointwise layers with an activation between them, without storing the hidden layer as a whole.

use std::ops::Range;

use crate::activation::Activation;
use crate::gemm::{PackedMatrix, row_blocks};
#[cfg(target_arch = "x86_64")]
use crate::gemm::{amx, pairs};
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

/// What an MLP reads.
#[derive(Clone, Copy, Debug)]
pub enum MlpInput<'a> {
    /// These rows.
    Rows(Rows<'a>),
    /// The rows that it writes, as they were before.
    Output,
}

/// What is added to an MLP's result.
#[derive(Clone, Copy, Debug)]
pub enum Residual<'a> {
    /// Nothing.
    None,
    /// The rows that it writes, as they were before.
    Output,
    /// These rows.
    Rows(Rows<'a>),
}

impl<'a> Residual<'a> {
    /// Where what is added starts, if anything is, and from one row of it to the next; `output` is what is written.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn source(self, output: *const f32, stride: usize) -> Option<(*const f32, usize)> {
        match self {
            Self::None => None,
            Self::Output => Some((output, stride)),
            Self::Rows(rows) => Some((rows.data.as_ptr(), rows.stride)),
        }
    }

    /// The rows from `start`, `count` of them.
    fn part(self, start: usize, count: usize) -> Self {
        match self {
            Self::Rows(rows) => Self::Rows(rows.part(start, count)),
            other => other,
        }
    }
}

impl<'a> MlpInput<'a> {
    /// The rows to read, where `output` is what is written.
    pub fn rows(self, output: &'a RowsMut<'_>) -> Rows<'a> {
        match self {
            Self::Rows(rows) => rows,
            Self::Output => output.as_rows(),
        }
    }
}

impl Mlp<'_> {
    /// Pieces of hidden channels, one at least, whose contributions [`Kernels::mlp`] adds up one after the other: what
    /// threads can share where there are few rows and many weights.
    pub fn pieces(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if let Some([first, _]) = amx::mlp_tiles(*self) {
            return amx::mlp_pieces(first);
        }
        1
    }

    /// Floats of scratch that [`Kernels::mlp`] needs for `rows` rows: the hidden layer of one block.
    pub fn scratch_len(&self, rows: usize) -> usize {
        let rows = rows.min(self.first.block_rows()[0]);
        #[cfg(target_arch = "x86_64")]
        if let Some([first, second]) = amx::mlp_tiles(*self) {
            return amx::mlp_scratch_len(first, second, rows);
        }
        #[cfg(target_arch = "x86_64")]
        if pairs::mlp_panels(*self).is_some() {
            return pairs::mlp_scratch_len(*self, rows);
        }
        rows * self.first.outputs()
    }
}

impl Kernels {
    /// `output[r] = mlp(input[r]) [+ residual[r]]` for every row, in blocks whose hidden layer stays in cache.
    /// `scratch` may hold anything.
    ///
    /// # Panics
    /// When shapes, views, instruction sets or `scratch` do not fit (see [`Mlp::scratch_len`]).
    pub fn mlp(
        self,
        mlp: Mlp<'_>,
        input: MlpInput<'_>,
        output: RowsMut<'_>,
        residual: Residual<'_>,
        scratch: &mut [f32],
    ) {
        self.mlp_of_pieces(mlp, 0..mlp.pieces(), input, output, residual, scratch);
    }

    /// What one of the [pieces](Mlp::pieces) contributes. Two or more, added up in order, give what [`Kernels::mlp`] gives,
    /// to the bit.
    ///
    /// # Panics
    /// As [`Kernels::mlp`], and when there is no such piece.
    pub fn mlp_piece(self, mlp: Mlp<'_>, piece: usize, input: Rows<'_>, output: RowsMut<'_>, scratch: &mut [f32]) {
        let pieces = mlp.pieces();
        assert!(piece < pieces, "piece {piece} of an MLP of {pieces} pieces");
        self.mlp_of_pieces(mlp, piece..piece + 1, MlpInput::Rows(input), output, Residual::None, scratch);
    }

    fn mlp_of_pieces(
        self,
        mlp: Mlp<'_>,
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "only tiles come in pieces"))]
        pieces: Range<usize>,
        input: MlpInput<'_>,
        mut output: RowsMut<'_>,
        residual: Residual<'_>,
        scratch: &mut [f32],
    ) {
        assert_eq!(mlp.first.outputs(), mlp.second.inputs(), "hidden channels");
        let source = input.rows(&output);
        assert_eq!(source.rows, output.rows, "rows of input and output");
        source.check(mlp.first.inputs(), "input of an MLP");
        output.check(mlp.second.outputs(), "output of an MLP");
        for matrix in [mlp.first, mlp.second] {
            assert_eq!(matrix.kind(), self.kind(), "weights packed for another instruction set");
        }
        if let Residual::Rows(rows) = residual {
            assert_eq!(rows.rows, output.rows, "rows of the output and of what is added");
            rows.check(mlp.second.outputs(), "what is added to an MLP");
        }
        let needed = mlp.scratch_len(output.rows);
        assert!(scratch.len() >= needed, "scratch of an MLP: {needed} floats needed, {} given", scratch.len());
        for (start, count) in row_blocks(output.rows, mlp.first.block_rows()) {
            let input = match input {
                MlpInput::Rows(rows) => MlpInput::Rows(rows.part(start, count)),
                MlpInput::Output => MlpInput::Output,
            };
            let (output, residual) = (output.part(start, count), residual.part(start, count));
            #[cfg(target_arch = "x86_64")]
            if let Some(tiles) = amx::mlp_tiles(mlp) {
                let pieces = pieces.clone();
                self.dispatch(amx::MlpBlock { mlp, tiles, input, output, residual, pieces, scratch });
                continue;
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(panels) = pairs::mlp_panels(mlp) {
                self.dispatch(pairs::MlpBlock { mlp, panels, input, output, residual, scratch });
                continue;
            }
            self.mlp_block(mlp, input, output, residual, scratch);
        }
    }

    /// One block in two products.
    fn mlp_block(
        self,
        mlp: Mlp<'_>,
        input: MlpInput<'_>,
        mut output: RowsMut<'_>,
        residual: Residual<'_>,
        scratch: &mut [f32],
    ) {
        let (rows, hidden) = (output.rows, mlp.first.outputs());
        let source = input.rows(&output);
        let first = Epilogue { activation: mlp.activation, accumulate: false };
        self.pointwise(mlp.first, source, RowsMut::new(scratch, rows, hidden), first, &mut []);
        let (accumulate, residual) = match residual {
            Residual::None => (false, None),
            Residual::Output => (true, None),
            Residual::Rows(rows) => (true, Some(rows)),
        };
        let second = Epilogue { activation: Activation::Identity, accumulate };
        let output = output.part(0, rows);
        self.pointwise_onto(mlp.second, Rows::new(scratch, rows, hidden), output, residual, second, &mut []);
    }
}
