//! Weights asked for before they are needed.

use std::ops::Range;

use crate::isa::Isa;

/// Weights that come next, asked for a few cache lines at a time: they may lie in the third-level cache or in memory, and
/// the CPU by itself looks ahead to the end of a page only.
pub(super) struct Ahead {
    next: *const u8,
    end: *const u8,
    /// Cache lines to ask for at a time.
    lines: usize,
}

impl Ahead {
    /// Asks for `weights` in the course of `requests` calls of [`Ahead::fetch`].
    pub(super) fn new<T>(weights: Range<*const T>, requests: usize) -> Self {
        let (next, end) = (weights.start.cast::<u8>(), weights.end.cast::<u8>());
        let lines = (end.addr() - next.addr()).div_ceil(64);
        Self { next, end, lines: lines.div_ceil(requests.max(1)) }
    }

    #[inline(always)]
    pub(super) fn fetch<I: Isa>(&mut self, isa: I) {
        for _ in 0..self.lines {
            if self.next < self.end {
                isa.prefetch(self.next);
                self.next = self.next.wrapping_add(64);
            }
        }
    }
}
