//! Views of `[rows, width]` floats whose rows may lie further apart than they are wide.

/// Rows of floats to read: row `r` starts at `r · stride`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) stride: usize,
}

/// Rows of floats to write: row `r` starts at `r · stride`.
#[derive(Debug)]
pub struct RowsMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) rows: usize,
    pub(crate) stride: usize,
}

/// The floats that `rows` rows of `width` at `stride` span.
///
/// # Panics
/// When rows overlap or the product overflows.
pub(crate) fn span(rows: usize, stride: usize, width: usize) -> usize {
    assert!(width <= stride || rows <= 1, "rows of {width} floats overlap at stride {stride}");
    match rows {
        0 => 0,
        _ => {
            (rows - 1).checked_mul(stride).and_then(|start| start.checked_add(width)).expect("a shape that fits memory")
        }
    }
}

impl<'a> Rows<'a> {
    /// A view of `rows` rows, each `stride` floats after the one before. A kernel panics where `data` is too short for
    /// the row width that it needs; the last row may end before its stride does.
    pub fn new(data: &'a [f32], rows: usize, stride: usize) -> Self {
        Self { data, rows, stride }
    }

    /// The rows from `start`, `count` of them.
    pub(crate) fn part(self, start: usize, count: usize) -> Self {
        Self { data: self.data.get(start * self.stride..).unwrap_or(&[]), rows: count, stride: self.stride }
    }

    /// Row `row`, `width` wide.
    #[inline]
    pub(crate) fn row(&self, row: usize, width: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..width]
    }

    /// Panics unless every row has `width` floats.
    pub(crate) fn check(&self, width: usize, what: &str) {
        let needed = span(self.rows, self.stride, width);
        assert!(self.data.len() >= needed, "{what}: {needed} floats needed, {} given", self.data.len());
    }
}

impl<'a> RowsMut<'a> {
    /// A view of `rows` rows, each `stride` floats after the one before. A kernel panics where `data` is too short for
    /// the row width that it needs; the last row may end before its stride does.
    pub fn new(data: &'a mut [f32], rows: usize, stride: usize) -> Self {
        Self { data, rows, stride }
    }

    /// The rows from `start`, `count` of them.
    pub fn part(&mut self, start: usize, count: usize) -> RowsMut<'_> {
        let stride = self.stride;
        RowsMut { data: self.data.get_mut(start * stride..).unwrap_or_default(), rows: count, stride }
    }

    /// Copies rows of `width` floats.
    ///
    /// # Panics
    /// When the views differ in their number of rows, or one is too short.
    pub fn copy_from(&mut self, source: Rows<'_>, width: usize) {
        assert_eq!(source.rows, self.rows, "rows of source and target");
        (0..self.rows).for_each(|row| self.row(row, width).copy_from_slice(source.row(row, width)));
    }

    /// The same rows to read.
    pub fn as_rows(&self) -> Rows<'_> {
        Rows { data: self.data, rows: self.rows, stride: self.stride }
    }

    /// Row `row`, `width` wide.
    #[inline]
    pub(crate) fn row(&mut self, row: usize, width: usize) -> &mut [f32] {
        &mut self.data[row * self.stride..][..width]
    }

    /// Panics unless every row has `width` floats.
    pub(crate) fn check(&self, width: usize, what: &str) {
        self.as_rows().check(width, what);
    }
}
