//! Scratch that holds rows of bfloat16.

/// Floats of slack to start at a cache line.
pub(super) const ALIGNMENT: usize = 16;

/// Numbers of a cache line.
pub(super) const LINE: usize = 32;

/// From one row of `width` numbers to the next: an odd number of cache lines, so that the rows of a tile lie in different
/// sets of the cache.
pub(super) fn row_stride(width: usize) -> usize {
    (width.div_ceil(LINE) | 1) * LINE
}

/// Floats that `count` numbers take.
pub(super) fn floats(count: usize) -> usize {
    count.next_multiple_of(LINE) / 2
}

/// Scratch from which room for numbers is cut.
pub(super) struct Scratch<'a>(&'a mut [f32]);

impl<'a> Scratch<'a> {
    pub(super) fn new(scratch: &'a mut [f32]) -> Self {
        let offset = scratch.as_ptr().align_offset(64).min(scratch.len());
        Self(&mut scratch[offset..])
    }

    /// Room for `count` numbers, from a cache line on.
    pub(super) fn cut(&mut self, count: usize) -> &'a mut [u16] {
        let (cut, rest) = std::mem::take(&mut self.0).split_at_mut(floats(count));
        self.0 = rest;
        // SAFETY: floats are twice as large and stricter in alignment, and any of their bits are numbers.
        unsafe { std::slice::from_raw_parts_mut(cut.as_mut_ptr().cast(), count) }
    }
}
