//! What a matrix product reads and writes.

use crate::rows::Rows;

/// The left-hand side: `groups × rows` rows, each made of `segments` runs of `segment_len` floats.
///
/// A pointwise product has one group and one segment; a convolution has a group per output row of the image and a
/// segment per kernel row, since the pixels below a kernel row lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct InputView<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) groups: usize,
    pub(crate) group_stride: usize,
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) segments: usize,
    pub(crate) segment_stride: usize,
    pub(crate) segment_len: usize,
}

impl<'a> InputView<'a> {
    /// One group of plain rows, `width` wide.
    pub(crate) fn rows(rows: Rows<'a>, width: usize) -> Self {
        Self {
            data: rows.data,
            groups: 1,
            group_stride: 0,
            rows: rows.rows,
            row_stride: rows.stride,
            segments: 1,
            segment_stride: 0,
            segment_len: width,
        }
    }

    /// Panics unless all rows lie within `data`. Rows may overlap.
    pub(super) fn check(&self) {
        let steps = [
            (self.groups, self.group_stride),
            (self.rows, self.row_stride),
            (self.segments, self.segment_stride),
            (self.segment_len, 1),
        ];
        if steps.iter().any(|&(count, _)| count == 0) {
            return;
        }
        let last = steps.iter().try_fold(0usize, |last, &(count, stride)| {
            (count - 1).checked_mul(stride).and_then(|offset| last.checked_add(offset))
        });
        assert!(last.is_some_and(|last| last < self.data.len()), "the matrix's rows reach beyond the input");
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
