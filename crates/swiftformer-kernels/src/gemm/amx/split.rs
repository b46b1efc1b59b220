//! Rows of floats into the tiles' order.
//!
//! A row of a convolution lies in segments, one for each kernel row, and a vector of it may take lanes from several. Which
//! lanes from where is the same for all rows, so it is worked out once, as a table of masked loads.

use super::Planes;
use super::pack::{Depth, GROUP, Splitter};
use crate::Precision;
use crate::gemm::view::InputView;
use crate::isa::{Isa, amx::Amx};

/// Most pieces in a table.
const PIECES: usize = 128;

/// How one vector of a row is read: some of its lanes from one segment.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// From the row's start to what lane 0 would read, in floats; may be before the row.
    offset: isize,
    lanes: u16,
    /// Whether it is the first of its vector.
    first: bool,
}

/// Brings rows into the tiles' order.
///
/// # Safety
/// The view lies within its data, and `planes` has room for its rows at `depth`.
#[inline(always)]
pub(super) unsafe fn split_rows(amx: Amx, depth: Depth, input: InputView<'_>, planes: Planes) {
    let inputs = input.segments * input.segment_len;
    let mut pieces = [Piece::default(); PIECES];
    // The table of a few groups serves all rows; then come the next groups.
    let mut step = 0;
    let mut done = 0;
    while step < depth.steps() {
        let (mut count, first_step) = (0, step);
        while step < depth.steps() {
            let wanted = if step < depth.groups { GROUP } else { 16 };
            let Some(more) = push_pieces(input, done..(done + wanted).min(inputs), wanted / 16, &mut pieces[count..])
            else {
                break;
            };
            count += more;
            done = (done + wanted).min(inputs);
            step += 1;
        }
        assert!(step > first_step, "a table of pieces has room for one group");
        // SAFETY: the pieces lie within every row, and the planes have its groups.
        unsafe { split_steps(amx, depth, input, planes, first_step..step, &pieces[..count]) };
    }
}

/// Appends the pieces of `vectors` vectors for inputs `range`; `None` where there is no room.
fn push_pieces(
    input: InputView<'_>,
    range: std::ops::Range<usize>,
    vectors: usize,
    pieces: &mut [Piece],
) -> Option<usize> {
    let mut count = 0;
    let mut at = range.start;
    for vector in 0..vectors {
        let end = (range.start + 16 * (vector + 1)).min(range.end);
        let mut lane = 0;
        loop {
            let (segment, within) = (at / input.segment_len, at % input.segment_len);
            let run = end.saturating_sub(at).min(input.segment_len - within);
            let lanes = (((1u32 << run) - 1) << lane) as u16;
            let offset = (segment * input.segment_stride + within) as isize - lane as isize;
            // A vector without inputs still needs its (empty) piece; it must not point beyond the row.
            let offset = if run == 0 { 0 } else { offset };
            *pieces.get_mut(count)? = Piece { offset, lanes, first: lane == 0 };
            count += 1;
            lane += run;
            at += run;
            if at >= end {
                break;
            }
        }
    }
    Some(count)
}

/// Brings some groups of all rows into the tiles' order.
///
/// # Safety
/// As for [`split_rows`]; `pieces` are those of `steps`, and lie within every row.
#[inline(always)]
unsafe fn split_steps(
    amx: Amx,
    depth: Depth,
    input: InputView<'_>,
    planes: Planes,
    steps: std::ops::Range<usize>,
    pieces: &[Piece],
) {
    // SAFETY: the token proves AVX-512.
    let splitter = unsafe { Splitter::new() };
    let mut target = planes.data.wrapping_add(steps.start * depth.group_len());
    for group in 0..input.groups {
        for row in 0..input.rows {
            let start = input.data.as_ptr().wrapping_add(group * input.group_stride + row * input.row_stride);
            let mut pieces = pieces.iter().peekable();
            let mut target_group = target;
            for step in steps.clone() {
                // SAFETY: the caller vouches for pieces and planes.
                unsafe {
                    let first = read_vector(amx, start, &mut pieces);
                    if step == depth.groups {
                        splitter.write_tail(target_group, first);
                        break;
                    }
                    let second = read_vector(amx, start, &mut pieces);
                    match depth.precision {
                        Precision::F32 => splitter.write_split(target_group, first, second),
                        Precision::Bf16 => splitter.write_bf16(target_group, first, second),
                    }
                }
                target_group = target_group.wrapping_add(depth.group_len());
            }
            target = target.wrapping_add(planes.row_len);
        }
    }
}

/// The next vector of a row that begins at `start`; lanes of no piece are zero.
///
/// # Safety
/// The pieces' lanes are readable.
#[inline(always)]
unsafe fn read_vector<'a>(
    amx: Amx,
    start: *const f32,
    pieces: &mut std::iter::Peekable<impl Iterator<Item = &'a Piece>>,
) -> <Amx as Isa>::F32 {
    use core::arch::x86_64::{_mm512_mask_loadu_ps, _mm512_maskz_loadu_ps};
    let Some(piece) = pieces.next() else { return amx.zero() };
    // SAFETY: masked lanes are not read, and the caller vouches for the others.
    unsafe {
        let mut values = _mm512_maskz_loadu_ps(piece.lanes, start.wrapping_offset(piece.offset));
        while let Some(piece) = pieces.next_if(|piece| !piece.first) {
            values = _mm512_mask_loadu_ps(values, piece.lanes, start.wrapping_offset(piece.offset));
        }
        values
    }
}
