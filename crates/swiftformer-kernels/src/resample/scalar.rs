//! The plain form of every kernel: the definition of the results, and the kernel of most CPUs.

use super::{RESAMPLE_BITS, RESAMPLE_HALF, Span};

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> RESAMPLE_BITS).clamp(0, 255) as u8
}

pub(super) fn row<const CHANNELS: usize>(row: &[u8], spans: &[Span], weights: &[i32], out: &mut [u8]) {
    let pixels = row.as_chunks::<CHANNELS>().0;
    for (out, span) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(spans) {
        let weights = &weights[span.weights.clone()];
        let mut sums = [RESAMPLE_HALF; CHANNELS];
        for (pixel, &weight) in pixels[span.first..][..weights.len()].iter().zip(weights) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(i32::from(byte).wrapping_mul(weight));
            }
        }
        *out = sums.map(to_byte);
    }
}

// Inlined into functions that enable wider instructions: the compiler vectorises both loops below well.
#[inline(always)]
pub(super) fn add_weighted_bytes(sums: &mut [i32], bytes: &[u8], weight: i32) {
    for (sum, &byte) in sums.iter_mut().zip(bytes) {
        *sum = sum.wrapping_add(i32::from(byte).wrapping_mul(weight));
    }
}

#[inline(always)]
pub(super) fn sums_to_bytes(sums: &[i32], out: &mut [u8]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = to_byte(sum);
    }
}
