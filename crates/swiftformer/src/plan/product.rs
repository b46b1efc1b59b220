//! The product of two weight matrices, in `f64`.

/// Rows and columns of a tile: its sums fill half of the registers that every x86-64 and AArch64 has.
const TILE: usize = 4;

/// Gives every row of `left · right`, `[rows, inner]` by `[inner, columns]`, a few columns at a time:
/// `take(row, first column, sums)`.
pub(super) fn product(left: &[f32], right: &[f32], inner: usize, mut take: impl FnMut(usize, usize, &[f64])) {
    let (rows, columns) = (left.len() / inner, right.len() / inner);
    // Tiles read both matrices in order: `[tile][inner][TILE]`, padded with zeros.
    let mut blocks = vec![[0.0; TILE]; rows.div_ceil(TILE) * inner];
    for (row, values) in left.chunks_exact(inner).enumerate() {
        let block = &mut blocks[row / TILE * inner..][..inner];
        block.iter_mut().zip(values).for_each(|(lanes, &value)| lanes[row % TILE] = f64::from(value));
    }
    let mut panel = vec![[0.0; TILE]; inner];
    for column in (0..columns).step_by(TILE) {
        let width = TILE.min(columns - column);
        for (lanes, row) in panel.iter_mut().zip(right.chunks_exact(columns)) {
            lanes.iter_mut().zip(&row[column..column + width]).for_each(|(lane, &value)| *lane = f64::from(value));
        }
        for (index, block) in blocks.chunks_exact(inner).enumerate() {
            let sums = tile(block, &panel);
            let rows = TILE.min(rows - index * TILE);
            sums[..rows].iter().enumerate().for_each(|(row, sums)| take(index * TILE + row, column, &sums[..width]));
        }
    }
}

fn tile(block: &[[f64; TILE]], panel: &[[f64; TILE]]) -> [[f64; TILE]; TILE] {
    let mut sums = [[0.0; TILE]; TILE];
    for (left, right) in block.iter().zip(panel) {
        for (sums, l) in sums.iter_mut().zip(left) {
            sums.iter_mut().zip(right).for_each(|(sum, r)| *sum += l * r);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::init::Random;

    #[test]
    fn every_sum_is_the_row_times_the_column() {
        for [rows, inner, columns] in [[1, 1, 1], [4, 4, 4], [9, 5, 6], [3, 17, 8], [8, 2, 11]] {
            let mut random = Random::new(1, b"product");
            let mut values = |count| random.normals(count, 1.0);
            let (left, right) = (values(rows * inner), values(inner * columns));
            let mut found = vec![None; rows * columns];
            product(&left, &right, inner, |row, column, sums| {
                for (at, &sum) in sums.iter().enumerate() {
                    assert_eq!(found[row * columns + column + at].replace(sum), None, "one sum for each place");
                }
            });
            for (at, found) in found.into_iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let term = |i| f64::from(left[row * inner + i]) * f64::from(right[i * columns + column]);
                assert_eq!(found, Some((0..inner).map(term).sum()), "[{rows}, {inner}, {columns}] at {row}, {column}");
            }
        }
    }
}
