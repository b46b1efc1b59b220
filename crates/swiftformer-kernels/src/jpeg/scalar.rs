//! The plain form of every kernel: the definition of the results, and the kernel of most CPUs.

use super::{DctSize, JPEG_LANES, JpegBlocks};

/// Fractional bits of the constants, and of the values between the two passes.
const CONSTANT_BITS: u32 = 13;
const PASS_BITS: u32 = 2;

/// Pairs of constants that two inputs are multiplied by. The names follow jidctint.c: what the rotations of Loeffler,
/// Ligtenberg and Moschytz come to once sums of inputs are multiplied out.
pub(super) mod rotation {
    /// Even part, of inputs 2 and 6.
    pub const EVEN_2: [i16; 2] = [4433, 4433 - 15137];
    pub const EVEN_3: [i16; 2] = [4433 + 6270, 4433];
    /// Odd part, of the sums of inputs 7 and 3, 5 and 1.
    pub const ODD_Z3: [i16; 2] = [9633 - 16069, 9633];
    pub const ODD_Z4: [i16; 2] = [9633, 9633 - 3196];
    /// Odd part, of inputs 7 and 1.
    pub const ODD_0: [i16; 2] = [2446 - 7373, -7373];
    pub const ODD_3: [i16; 2] = [-7373, 12299 - 7373];
    /// Odd part, of inputs 5 and 3.
    pub const ODD_1: [i16; 2] = [16819 - 20995, -20995];
    pub const ODD_2: [i16; 2] = [-20995, 25172 - 20995];
    /// The transform to four samples: inputs 2 and 6, then 7 and 5, 3 and 1 twice.
    pub const FOUR_EVEN: [i16; 2] = [15137, -6270];
    pub const FOUR_75_0: [i16; 2] = [-1730, 11893];
    pub const FOUR_31_0: [i16; 2] = [-17799, 8697];
    pub const FOUR_75_2: [i16; 2] = [-4176, -4926];
    pub const FOUR_31_2: [i16; 2] = [7373, 20995];
    /// The transform to two samples: inputs 7 and 5, 3 and 1.
    pub const TWO_75: [i16; 2] = [-5906, 6967];
    pub const TWO_31: [i16; 2] = [-10426, 29692];
}
use rotation::*;

#[inline(always)]
fn dot([a, b]: [i16; 2], [c, d]: [i16; 2]) -> i32 {
    i32::from(a) * i32::from(c) + i32::from(b) * i32::from(d)
}

#[inline(always)]
fn descale<const SHIFT: u32>(value: i32) -> i16 {
    (value >> SHIFT).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// One dimension of eight samples; results lose `SHIFT` bits.
#[inline(always)]
fn eight<const SHIFT: u32>(x: [i16; 8]) -> [i16; 8] {
    let scaled = |value: i16| (i32::from(value) << CONSTANT_BITS).wrapping_add(1 << (SHIFT - 1));
    let two = dot([x[2], x[6]], EVEN_2);
    let three = dot([x[2], x[6]], EVEN_3);
    let (sum, difference) = (scaled(x[0].wrapping_add(x[4])), scaled(x[0].wrapping_sub(x[4])));
    let even =
        [sum.wrapping_add(three), difference.wrapping_add(two), difference.wrapping_sub(two), sum.wrapping_sub(three)];
    let z = [x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1])];
    let (z3, z4) = (dot(z, ODD_Z3), dot(z, ODD_Z4));
    let odd = [
        dot([x[7], x[1]], ODD_3).wrapping_add(z4),
        dot([x[5], x[3]], ODD_2).wrapping_add(z3),
        dot([x[5], x[3]], ODD_1).wrapping_add(z4),
        dot([x[7], x[1]], ODD_0).wrapping_add(z3),
    ];
    std::array::from_fn(|at| match at {
        0..4 => descale::<SHIFT>(even[at].wrapping_add(odd[at])),
        _ => descale::<SHIFT>(even[7 - at].wrapping_sub(odd[7 - at])),
    })
}

/// One dimension of four samples out of eight coefficients; the fifth plays no part.
#[inline(always)]
fn four<const SHIFT: u32>(x: [i16; 8]) -> [i16; 4] {
    let base = (i32::from(x[0]) << (CONSTANT_BITS + 1)).wrapping_add(1 << (SHIFT - 1));
    let even = dot([x[2], x[6]], FOUR_EVEN);
    let (plus, minus) = (base.wrapping_add(even), base.wrapping_sub(even));
    let zero = dot([x[7], x[5]], FOUR_75_0).wrapping_add(dot([x[3], x[1]], FOUR_31_0));
    let two = dot([x[7], x[5]], FOUR_75_2).wrapping_add(dot([x[3], x[1]], FOUR_31_2));
    [
        descale::<SHIFT>(plus.wrapping_add(two)),
        descale::<SHIFT>(minus.wrapping_add(zero)),
        descale::<SHIFT>(minus.wrapping_sub(zero)),
        descale::<SHIFT>(plus.wrapping_sub(two)),
    ]
}

/// Sum and difference of the two samples out of `base` (scaled) and the odd coefficients.
#[inline(always)]
fn two(base: i32, x: [i16; 8]) -> [i32; 2] {
    let odd = dot([x[7], x[5]], TWO_75).wrapping_add(dot([x[3], x[1]], TWO_31));
    [base.wrapping_add(odd), base.wrapping_sub(odd)]
}

#[inline(always)]
fn to_sample(value: i16) -> u8 {
    (value.clamp(-128, 127) + 128) as u8
}

/// Both passes: `N` samples on a side by transforms of `columns` and `rows`. Where nothing but the first row of coefficients
/// is there (a fifth one does not count for `N` of 4), sums do not saturate but wrap, as in libjpeg-turbo.
#[inline(always)]
fn block<const N: usize>(
    stored: impl Fn(usize) -> i16,
    quantization: &[i16; 64],
    columns: impl Fn([i16; 8]) -> [i16; N],
    rows: impl Fn([i16; 8]) -> [i16; N],
) -> [[u8; N]; N] {
    let coefficient = |at: usize| stored(at).wrapping_mul(quantization[at]);
    let is_shallow = (8..64).all(|at| stored(at) == 0 || (N == 4 && at / 8 == 4));
    let middle: [[i16; N]; 8] = std::array::from_fn(|column| match is_shallow {
        true => [coefficient(column) << PASS_BITS; N],
        false => columns(std::array::from_fn(|row| coefficient(8 * row + column))),
    });
    std::array::from_fn(|row| rows(std::array::from_fn(|column| middle[column][row])).map(to_sample))
}

/// Both passes to two samples on a side. The first column keeps 32 bits between them.
#[inline(always)]
fn block_of_two(coefficient: impl Fn(usize) -> i16) -> [[u8; 2]; 2] {
    let columns: [[i32; 2]; 8] = std::array::from_fn(|column| {
        let x: [i16; 8] = std::array::from_fn(|row| coefficient(8 * row + column));
        let base = (i32::from(x[0]) << (CONSTANT_BITS + 2)).wrapping_add(1 << (FIRST + 1));
        two(base, x).map(|value| value >> (FIRST + 2))
    });
    std::array::from_fn(|row| {
        let base = (columns[0][row] << (CONSTANT_BITS + 2)).wrapping_add(1 << (SECOND + 1));
        let x = std::array::from_fn(|column| descale::<0>(columns[column][row]));
        two(base, x).map(|value| to_sample(descale::<{ SECOND + 2 }>(value)))
    })
}

/// Bits that the first and the second pass drop.
const FIRST: u32 = CONSTANT_BITS - PASS_BITS;
const SECOND: u32 = CONSTANT_BITS + PASS_BITS + 3;

pub(super) fn inverse_dct(size: DctSize, blocks: &JpegBlocks, quantization: &[i16; 64], out: &mut [u8], stride: usize) {
    for index in 0..JPEG_LANES {
        let lane = JpegBlocks::lane(index);
        let stored = |at: usize| blocks.coefficients()[at * JPEG_LANES + lane];
        match size {
            DctSize::One => out[index] = mean(size, stored(0), quantization[0]),
            DctSize::Two => {
                let coefficient = |at: usize| stored(at).wrapping_mul(quantization[at]);
                store(block_of_two(coefficient), index, out, stride);
            }
            DctSize::Four => {
                let samples = block(stored, quantization, four::<{ FIRST + 1 }>, four::<{ SECOND + 1 }>);
                store(samples, index, out, stride);
            }
            DctSize::Eight => store(block(stored, quantization, eight::<FIRST>, eight::<SECOND>), index, out, stride),
        }
    }
}

fn store<const N: usize>(samples: [[u8; N]; N], index: usize, out: &mut [u8], stride: usize) {
    for (row, samples) in samples.iter().enumerate() {
        out[row * stride + index * N..][..N].copy_from_slice(samples);
    }
}

/// The sample of a block that has no other coefficient than its first: an eighth of it, as the transforms round it, and as
/// they wrap what is too large.
#[inline(always)]
fn mean(size: DctSize, stored: i16, quantization: i16) -> u8 {
    let first = stored.wrapping_mul(quantization);
    match size {
        DctSize::One => {
            let eighth = (i32::from(stored) * i32::from(quantization) + 4) >> 3;
            // Ten bits with a sign.
            to_sample(((eighth << 22) >> 22) as i16)
        }
        DctSize::Two => to_sample(descale::<20>((i32::from(first) << 17).wrapping_add(1 << 19))),
        DctSize::Four | DctSize::Eight => to_sample(((i32::from(first << PASS_BITS) + 16) >> 5) as i16),
    }
}

/// Blocks of one colour each.
pub(super) fn flat(size: DctSize, blocks: &JpegBlocks, quantization: i16, out: &mut [u8], stride: usize) {
    let samples = size.samples();
    let (first, _) = blocks.coefficients().as_chunks::<JPEG_LANES>();
    let Some(first) = first.first() else { return };
    for row in 0..samples {
        for (index, out) in out[row * stride..][..JPEG_LANES * samples].chunks_exact_mut(samples).enumerate() {
            out.fill(mean(size, first[JpegBlocks::lane(index)], quantization));
        }
    }
}

pub(super) fn upsample_h2v1(row: &[u8], out: &mut [u8]) {
    for (out, near) in out.as_chunks_mut::<2>().0.iter_mut().zip(row.windows(3)) {
        let [left, this, right] = [near[0], near[1], near[2]].map(u16::from);
        *out = [((3 * this + left + 1) >> 2) as u8, ((3 * this + right + 2) >> 2) as u8];
    }
}

pub(super) fn upsample_h2v2(near: &[u8], far: &[u8], out: &mut [u8]) {
    let sum = |at: usize| 3 * u16::from(near[at]) + u16::from(far[at]);
    for (at, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let (left, this, right) = (sum(at), sum(at + 1), sum(at + 2));
        *out = [((3 * this + left + 8) >> 4) as u8, ((3 * this + right + 7) >> 4) as u8];
    }
}

pub(super) fn upsample_h1v2(near: &[u8], far: &[u8], below: bool, out: &mut [u8]) {
    let bias = if below { 2 } else { 1 };
    for ((out, &near), &far) in out.iter_mut().zip(near).zip(far) {
        *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
    }
}

pub(super) fn ycc_to_rgb(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    for (((out, &y), &cb), &cr) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(blue).zip(red) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let r = y + ((91881 * cr + HALF) >> 16);
        let g = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
        let b = y + ((116_130 * cb + HALF) >> 16);
        *out = [r, g, b].map(|value| value.clamp(0, 255) as u8);
    }
}
