//! Both layers of an MLP on tiles, its hidden layer written in the tiles' order at once.

use std::ops::Range;

use super::block::Tiles;
use super::finish::{self, Hidden, Store};
use super::pack::{Depth, Splitter};
use super::split::split_rows;
use super::{ALIGNMENT, Product, RowTiles, Scratch, TileMatrix, planes_len};
use crate::activation::Activation;
use crate::gemm::packed::Layout;
use crate::gemm::view::InputView;
use crate::isa::{Isa, amx::Amx};
use crate::kernels::Kernel;
use crate::mlp::{Mlp, MlpInput};
use crate::precision::Precision;
use crate::rows::{Rows, RowsMut};

/// Hidden channels, in strips, that the two layers of an MLP work on at a time, at most: with 256 rows of them in three
/// parts, and their inputs, the second-level cache is full.
const PIECE_STRIPS: usize = 32;

/// From this many strips on there are two pieces at least, so that two threads can share the weights.
const SHARED_STRIPS: usize = 24;

/// The matrices of an MLP that is packed in tiles.
pub(crate) fn mlp_tiles(mlp: Mlp<'_>) -> Option<[&TileMatrix; 2]> {
    match (mlp.first.layout(), mlp.second.layout()) {
        (Layout::Tiles(first), Layout::Tiles(second)) => Some([first, second]),
        _ => None,
    }
}

/// Floats of scratch for [`MlpBlock`] on `rows` rows.
pub(crate) fn mlp_scratch_len(first: &TileMatrix, second: &TileMatrix, rows: usize) -> usize {
    planes_len(first.depth, rows) + planes_len(piece_depth(second), rows) + ALIGNMENT
}

/// The hidden channels of the largest piece, as inputs of the second layer.
fn piece_depth(second: &TileMatrix) -> Depth {
    Depth { groups: second.depth.groups.min(PIECE_STRIPS), ..second.depth }
}

/// Pieces of an MLP with `strips` strips of hidden channels. This must not depend on the rows, for it decides the order of
/// summation.
pub(crate) fn mlp_pieces(first: &TileMatrix) -> usize {
    let strips = first.strips();
    let least = if strips < SHARED_STRIPS { 1 } else { 2 };
    strips.div_ceil(PIECE_STRIPS).next_multiple_of(least)
}

/// One block of an MLP whose matrices lie in tiles.
pub(crate) struct MlpBlock<'a> {
    pub(crate) mlp: Mlp<'a>,
    /// As [`mlp_tiles`] says.
    pub(crate) tiles: [&'a TileMatrix; 2],
    pub(crate) input: MlpInput<'a>,
    pub(crate) output: RowsMut<'a>,
    pub(crate) accumulate: bool,
    pub(crate) pieces: Range<usize>,
    pub(crate) scratch: &'a mut [f32],
}

impl Kernel for MlpBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { mlp, tiles, input, output, accumulate, pieces, scratch } = self;
        let amx = isa.tiles().expect("tiles are packed for AMX only");
        if output.rows == 0 || mlp.second.outputs() == 0 {
            return;
        }
        let (rows, width) = (output.rows, mlp.first.inputs());
        let RowsMut { data, stride, .. } = output;
        // SAFETY: the entry checked the views, the matrices and the scratch. Where the input is the output, its view is
        // made from the same exclusive borrow, and used before the output is written.
        unsafe {
            let target = data.as_mut_ptr();
            let input = match input {
                MlpInput::Rows(rows) => rows,
                MlpInput::Output => Rows::new(std::slice::from_raw_parts(target, data.len()), rows, stride),
            };
            let view = InputView::rows(input, width);
            let output = (target, stride, mlp.second.outputs());
            run(amx, tiles, (mlp.activation, pieces), view, output, accumulate, scratch);
        }
    }
}

/// `output = second(activation(first(input))) [+ output]`, the hidden layer in pieces that stay in cache, and of it these
/// pieces only. `input` may be what `output` points to: it is read before anything is written.
///
/// # Safety
/// `input` and `output` lie within their data and fit the matrices, `columns` output channels of the second.
#[inline(always)]
unsafe fn run(
    amx: Amx,
    [first, second]: [&TileMatrix; 2],
    (activation, pieces): (Activation, Range<usize>),
    input: InputView<'_>,
    (output, stride, columns): (*mut f32, usize, usize),
    accumulate: bool,
    scratch: &mut [f32],
) {
    let tiles = RowTiles::new(input.rows);
    let mut scratch = Scratch::new(scratch);
    let planes = scratch.planes(first.depth, tiles);
    let (all, count) = (first.strips(), mlp_pieces(first));
    // Strips before a piece; as even as they go.
    let before = |piece: usize| piece * (all / count) + piece.min(all % count);
    let hidden = scratch.planes(piece_depth(second), tiles);
    let store = Store { output, stride, columns, activation: Activation::Identity };
    // SAFETY: as for `multiply`; a strip of hidden channels is a group of the second matrix's inputs.
    unsafe {
        split_rows(amx, first.depth, input, planes);
        let _open = Tiles::open(tiles.height);
        for piece in pieces.clone() {
            let strips = before(piece)..before(piece + 1);
            let splitter = Splitter::new();
            let to_hidden = Hidden { planes: hidden, depth: second.depth, first: strips.start, splitter, activation };
            let product = Product { matrix: first, planes, steps: 0..first.depth.steps(), strips: strips.clone() };
            if second.depth.precision == Precision::Bf16 && activation == Activation::Gelu {
                product.run::<_, { finish::GELU_TO_BF16 }, false>(amx, to_hidden);
            } else {
                product.run_activated::<_, false>(amx, activation, to_hidden);
            }
            let product = Product { matrix: second, planes: hidden, steps: strips, strips: 0..second.strips() };
            if accumulate || piece > pieces.start {
                product.run::<_, { finish::IDENTITY }, true>(amx, store);
            } else {
                product.run::<_, { finish::IDENTITY }, false>(amx, store);
            }
        }
    }
}
