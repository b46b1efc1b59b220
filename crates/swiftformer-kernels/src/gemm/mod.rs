//! Matrix products with packed weights: the engine's one inner loop for pointwise and dense convolutions.

mod packed;
mod tile;

pub use packed::PackedMatrix;
pub(crate) use tile::{Gemm, InputView, OutputView};

/// Rows of one tile.
pub(crate) const TILE_ROWS: usize = 6;

/// Rows of one block: its input, its hidden activations and one panel of weights stay in the second-level cache. Seventeen
/// tiles, so that the 196 tokens of a 14×14 map make two blocks and read the weights twice only.
pub(crate) const BLOCK_ROWS: usize = 102;

/// Cuts `rows` into blocks of at most [`BLOCK_ROWS`], all but the last a whole number of tiles: `(start, count)`.
pub(crate) fn row_blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
    let size = rows.div_ceil(blocks).next_multiple_of(TILE_ROWS);
    (0..rows).step_by(size.max(1)).map(move |start| (start, size.min(rows - start)))
}
