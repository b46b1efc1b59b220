//! Matrix products with packed weights: the engine's one inner loop for pointwise and dense convolutions.

mod ahead;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod packed;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pairs;
mod panel;
#[cfg(target_arch = "x86_64")]
mod scratch;
mod view;

pub(crate) use packed::Layout;
pub use packed::PackedMatrix;
pub(crate) use view::{InputView, OutputView};

use crate::isa::Isa;
use crate::kernels::Kernel;
use crate::pointwise::Epilogue;
use crate::rows::span;

/// Rows of one tile of vectors.
pub(crate) const TILE_ROWS: usize = 6;

/// Rows of one block: its input, its hidden activations and one panel of weights stay in the second-level cache. Seventeen
/// tiles, so that the 196 tokens of a 14×14 map make two blocks and read the weights twice only.
pub(crate) const BLOCK_ROWS: usize = 102;

/// Cuts `rows` into blocks of at most `most`, all but the last a multiple of `unit`: `(start, count)`.
pub(crate) fn row_blocks(rows: usize, [most, unit]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    let blocks = rows.div_ceil(most).max(1);
    let size = rows.div_ceil(blocks).next_multiple_of(unit);
    (0..rows).step_by(size.max(1)).map(move |start| (start, size.min(rows - start)))
}

/// `output = activation(input · weightᵀ + bias [+ output])`
pub(crate) struct Gemm<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) input: InputView<'a>,
    pub(crate) output: OutputView<'a>,
    pub(crate) epilogue: Epilogue,
    /// As much as [`PackedMatrix::scratch_len`] says.
    pub(crate) scratch: &'a mut [f32],
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { matrix, input, output, epilogue, scratch } = self;
        assert_eq!(matrix.kind(), I::KIND, "weights packed for another instruction set");
        assert_eq!(matrix.inputs(), input.segments * input.segment_len, "the matrix's inputs");
        input.check();
        let rows = input.groups * input.rows;
        let outputs = matrix.outputs();
        if rows == 0 || outputs == 0 {
            return;
        }
        let output_span = span(rows, output.row_stride, outputs);
        assert!(output_span <= output.data.len(), "{output_span} outputs, room for {}", output.data.len());
        if let Some(residual) = output.residual {
            assert_eq!(residual.rows, rows, "rows of the output and of what is added");
            residual.check(outputs, "what is added to a product");
        }
        let covered = match (input.groups, input.segments) {
            (1, 1) => rows * input.segment_len,
            _ => input.span().expect("just checked"),
        };
        let needed = matrix.scratch_len(rows, covered);
        assert!(scratch.len() >= needed, "scratch of a product: {needed} floats needed, {} given", scratch.len());
        // SAFETY: the views were checked above, and the matrix is packed for this instruction set.
        unsafe {
            match matrix.layout() {
                #[cfg(target_arch = "x86_64")]
                Layout::Panels(panels) if panels.in_pairs() => {
                    let pairs = isa.bf16_pairs().expect("pairs are packed where there is an instruction for them");
                    pairs::multiply(pairs, panels, input, output, outputs, epilogue, scratch);
                }
                Layout::Panels(panels) => panel::multiply(isa, panels, input, output, outputs, epilogue),
                #[cfg(target_arch = "x86_64")]
                Layout::Tiles(tiles) => {
                    let amx = isa.tiles().expect("tiles are packed for AMX only");
                    amx::multiply(amx, tiles, input, output, outputs, epilogue, scratch);
                }
            }
        }
    }
}
