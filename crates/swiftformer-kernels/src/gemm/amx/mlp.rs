//! Both layers of an MLP on tiles, its hidden layer written in the tiles' order at once.

use std::ops::Range;

use super::block::Tiles;
use super::finish::{self, Hidden, Store};
use super::pack::{Depth, Splitter};
use super::split::split_rows;
use super::{NOTHING, Planes, Product, RowTiles, TileMatrix, planes_len};
use crate::activation::Activation;
use crate::gemm::packed::Layout;
use crate::gemm::scratch::{ALIGNMENT, Scratch};
use crate::gemm::view::InputView;
use crate::isa::{Isa, amx::Amx};
use crate::kernels::Kernel;
use crate::mlp::{Mlp, MlpInput, Residual};
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
    pub(crate) residual: Residual<'a>,
    pub(crate) pieces: Range<usize>,
    pub(crate) scratch: &'a mut [f32],
}

impl Kernel for MlpBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { mlp, tiles, input, output, residual, pieces, scratch } = self;
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
            let residual = residual.source(target, stride);
            let output = (target, stride, mlp.second.outputs());
            run(amx, tiles, (mlp.activation, pieces), view, output, residual, scratch);
        }
    }
}

/// `output = second(activation(first(input))) [+ residual]`, the hidden layer in pieces that stay in cache, and of it these
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
    residual: Option<(*const f32, usize)>,
    scratch: &mut [f32],
) {
    let tiles = RowTiles::new(input.rows);
    let mut scratch = Scratch::new(scratch);
    let planes = Planes::cut(&mut scratch, first.depth, tiles);
    let (all, count) = (first.strips(), mlp_pieces(first));
    // Strips before a piece; as even as they go.
    let before = |piece: usize| piece * (all / count) + piece.min(all % count);
    let hidden = Planes::cut(&mut scratch, piece_depth(second), tiles);
    let own = (output.cast_const(), stride);
    let store = |residual| Store { output, stride, residual, columns, activation: Activation::Identity };
    // SAFETY: as for `multiply`; a strip of hidden channels is a group of the second matrix's inputs.
    unsafe {
        split_rows(amx, first.depth, input, planes);
        let _open = Tiles::open(tiles.height);
        let splitter = Splitter::new();
        // Of a piece: to the hidden channels, and from them.
        let products = |piece: usize| {
            let strips = before(piece)..before(piece + 1);
            let steps = 0..first.depth.steps();
            let down = Product {
                matrix: second,
                planes: hidden,
                steps: strips.clone(),
                strips: 0..second.strips(),
                after: NOTHING,
            };
            [Product { matrix: first, planes, steps, strips, after: down.first_weights() }, down]
        };
        for piece in pieces.clone() {
            let [product, mut down] = products(piece);
            if piece + 1 < pieces.end {
                down.after = products(piece + 1)[0].first_weights();
            }
            let first_strip = product.strips.start;
            let to_hidden = Hidden { planes: hidden, depth: second.depth, first: first_strip, splitter, activation };
            if second.depth.precision == Precision::Bf16 && activation == Activation::Gelu {
                product.run::<_, { finish::GELU_TO_BF16 }, false>(amx, to_hidden);
            } else {
                product.run_activated::<_, false>(amx, activation, to_hidden);
            }
            match if piece == pieces.start { residual } else { Some(own) } {
                Some(residual) => down.run::<_, { finish::IDENTITY }, true>(amx, store(residual)),
                None => down.run::<_, { finish::IDENTITY }, false>(amx, store(own)),
            }
        }
    }
}
