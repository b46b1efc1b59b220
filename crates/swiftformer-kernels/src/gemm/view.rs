//! What a matrix product reads and writes.

use crate::rows::Rows;

/// The left-hand side: `groups × rows` rows, each made of `segments` runs of `segment_len` floats.
///
/// A pointwise product has one group and one segment; a convolution has a group per output row of the image and a
/// segment per kernel row, since the pixels below a kernel row lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct InputView<'a, T = f32> {
    pub(crate) data: &'a [T],
    pub(crate) groups: usize,
    pub(crate) group_stride: usize,
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) segments: usize,
    pub(crate) segment_stride: usize,
    pub(crate) segment_len: usize,
}

impl<'a, T> InputView<'a, T> {
    /// One group of `rows` plain rows, `width` wide and `row_stride` apart.
    pub(crate) fn plain(data: &'a [T], [rows, row_stride]: [usize; 2], width: usize) -> Self {
        Self { data, groups: 1, group_stride: 0, rows, row_stride, segments: 1, segment_stride: 0, segment_len: width }
    }
}

impl<'a> InputView<'a> {
    /// One group of plain rows, `width` wide.
    pub(crate) fn rows(rows: Rows<'a>, width: usize) -> Self {
        Self::plain(rows.data, [rows.rows, rows.stride], width)
    }

    /// The numbers from the first to the last that belong to a row; `None` when so many do not fit memory. Rows may overlap.
    pub(super) fn span(&self) -> Option<usize> {
        let steps = [
            (self.groups, self.group_stride),
            (self.rows, self.row_stride),
            (self.segments, self.segment_stride),
            (self.segment_len, 1),
        ];
        if steps.iter().any(|&(count, _)| count == 0) {
            return Some(0);
        }
        steps.iter().try_fold(1usize, |span, &(count, stride)| {
            (count - 1).checked_mul(stride).and_then(|offset| span.checked_add(offset))
        })
    }

    /// Panics unless all rows lie within `data`.
    pub(super) fn check(&self) {
        assert!(self.span().is_some_and(|span| span <= self.data.len()), "the matrix's rows reach beyond the input");
    }
}

/// The result: as many rows as the input has in all groups together, which do not overlap.
pub(crate) struct OutputView<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) row_stride: usize,
    /// What is added where the epilogue accumulates; the output's own rows unless given.
    pub(crate) residual: Option<Rows<'a>>,
}

impl OutputView<'_> {
    /// Where what is added starts, and from one row of it to the next.
    pub(super) fn residual(&self) -> (*const f32, usize) {
        match self.residual {
            Some(rows) => (rows.data.as_ptr(), rows.stride),
            None => (self.data.as_ptr(), self.row_stride),
        }
    }
}
