//! Both passes in one sweep over the source rows, so that rows may come from anywhere and need not be kept.

use std::collections::VecDeque;
use std::ops::Range;

use swiftformer_kernels::{Kernels, RESAMPLE_HALF};

use super::taps::{RowPass, Side};
use crate::image::{Filter, Window};

/// Whether Pillow 13.0.0 resamples columns before rows: when more than twice as many rows as columns are removed. The rule
/// predicts the order in all of 3242 resizes of random sizes in which the order shows.
fn columns_first((width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> bool {
    let removed = |from: usize, to: usize| from as i64 - to as i64;
    to_height < height && removed(height, to_height) > 2 * removed(width, to_width)
}

/// An output row that some of its source rows have been added to.
struct OpenRow {
    first: usize,
    weights: Vec<i32>,
    sums: Vec<i32>,
}

/// A resize under way: takes the source rows one by one from the top, and keeps the sums of the few output rows that read
/// the latest of them. The pass along rows runs before the sums, or after them on finished rows.
pub(in crate::image) struct Sweep<const CHANNELS: usize> {
    kernels: Kernels,
    row_pass: RowPass,
    /// `None` when the height does not change.
    column_side: Option<Side>,
    columns_first: bool,
    /// The row that is pushed next.
    y: usize,
    end: usize,
    waiting: Range<usize>,
    open: VecDeque<OpenRow>,
    /// Sums of closed rows, for the next to be opened.
    spare: Vec<OpenRow>,
    row: Vec<u8>,
    out: Vec<u8>,
}

impl<const CHANNELS: usize> Sweep<CHANNELS> {
    /// A resize from `source` to `target` (width and height) of which `window` is wanted; see
    /// [`resize_window`](super::resize_window), which checks the sizes. `filter` is not the nearest one.
    pub(in crate::image) fn new(
        source: (usize, usize),
        target: (usize, usize),
        filter: Filter,
        window: &Window,
    ) -> Self {
        let kernels = Kernels::detect();
        let row_pass = RowPass::new(kernels, CHANNELS, filter, (source.0, target.0), window.columns.clone());
        let column_side = (source.1 != target.1).then(|| Side::new(filter, source.1, target.1));
        let rows = window.rows.clone();
        let source_rows = match &column_side {
            None => rows.clone(),
            Some(side) => side.span(rows.start).start..side.span(rows.end - 1).end,
        };
        let columns_first = column_side.is_some() && columns_first(source, target);
        let stride = row_pass.wanted.len() * CHANNELS;
        let middle = row_pass.source().len() * CHANNELS;
        Self {
            kernels,
            columns_first,
            y: source_rows.start,
            end: source_rows.end,
            row: vec![0; if columns_first { middle } else { stride }],
            out: Vec::with_capacity(stride * rows.len()),
            waiting: rows,
            open: VecDeque::new(),
            spare: Vec::new(),
            row_pass,
            column_side,
        }
    }

    /// The rows of the source that are still to be pushed.
    pub(in crate::image) fn source_rows(&self) -> Range<usize> {
        self.y..self.end
    }

    /// Takes the next row of the source, in its full width.
    ///
    /// # Panics
    /// When the row is shorter than the columns that are read.
    pub(in crate::image) fn push(&mut self, row: &[u8]) {
        let source = self.row_pass.source();
        let row = &row[source.start * CHANNELS..source.end * CHANNELS];
        let y = self.y;
        self.y += 1;
        let stride = self.row_pass.wanted.len() * CHANNELS;
        let Some(side) = &self.column_side else {
            let at = self.out.len();
            self.out.resize(at + stride, 0);
            self.row_pass.apply::<CHANNELS>(row, &mut self.out[at..]);
            return;
        };
        let summed = self.row.len();
        while !self.waiting.is_empty() && side.span(self.waiting.start).start <= y {
            let mut opened = self.spare.pop().unwrap_or(OpenRow { first: 0, weights: Vec::new(), sums: Vec::new() });
            opened.first = side.span(self.waiting.start).start;
            side.weights(self.waiting.start, &mut opened.weights);
            opened.sums.resize(summed, RESAMPLE_HALF);
            self.open.push_back(opened);
            self.waiting.start += 1;
        }
        let bytes = if self.columns_first {
            row
        } else {
            self.row_pass.apply::<CHANNELS>(row, &mut self.row);
            &self.row
        };
        for OpenRow { first, weights, sums } in &mut self.open {
            self.kernels.add_weighted_bytes(sums, bytes, weights[y - *first]);
        }
        while let Some(mut done) = self.open.pop_front_if(|front| front.first + front.weights.len() == y + 1) {
            let at = self.out.len();
            self.out.resize(at + stride, 0);
            if self.columns_first {
                self.kernels.sums_to_bytes(&done.sums, &mut self.row);
                self.row_pass.apply::<CHANNELS>(&self.row, &mut self.out[at..]);
            } else {
                self.kernels.sums_to_bytes(&done.sums, &mut self.out[at..]);
            }
            done.weights.clear();
            done.sums.clear();
            self.spare.push(done);
        }
    }

    /// The bytes of the window, once all rows have been pushed.
    pub(in crate::image) fn into_bytes(self) -> Vec<u8> {
        debug_assert!(self.y == self.end, "rows {}..{} were not pushed", self.y, self.end);
        self.out
    }
}
