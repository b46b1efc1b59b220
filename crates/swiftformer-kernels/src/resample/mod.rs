//! Resampling of interleaved bytes in fixed point: weighted sums of 22 fractional bits, rounded and clipped to bytes.
//!
//! All instruction sets give the same bytes: the sums are integers modulo 2³², whatever the order and however a weight
//! is split into the narrow factors that a CPU multiplies fastest.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use crate::{IsaKind, Kernels};

/// Fractional bits of a weight: 8 bits of a sum are the result, 2 are headroom for overshooting filters.
pub const RESAMPLE_BITS: u32 = 32 - 8 - 2;

/// One half in those units, where every sum starts.
pub const RESAMPLE_HALF: i32 = 1 << (RESAMPLE_BITS - 1);

/// Whether the AVX-512 kernels run: on CPUs with AMX too, whose tiles are of no use for bytes of images.
#[cfg(target_arch = "x86_64")]
fn is_avx512(kind: IsaKind) -> bool {
    matches!(kind, IsaKind::Amx | IsaKind::Avx512)
}

/// The source pixels of one output pixel, and the place of their weights.
#[derive(Clone, Debug)]
struct Span {
    first: usize,
    weights: Range<usize>,
    /// The first group of packed weights.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only its kernels read packed weights"))]
    group: usize,
}

/// Weights of the output pixels of a row, laid out for one instruction set and a number of channels.
#[derive(Clone, Debug)]
pub struct ResampleTaps {
    spans: Vec<Span>,
    weights: Vec<i32>,
    packed: Packed,
    /// Source pixels that the spans reach to.
    reach: usize,
}

/// Weights as the fast kernels for three channels read them, in groups of pixels, the last one of a span filled with zeros.
#[derive(Clone, Debug)]
enum Packed {
    /// The scalar kernel reads the weights themselves.
    None,
    /// Four pixels: `weight >> 15` of each, then the low 15 bits of each.
    #[cfg(target_arch = "x86_64")]
    Halves(Vec<[i16; 8]>),
    /// Sixteen pixels: three signed digits to the base 256, lowest first.
    #[cfg(target_arch = "x86_64")]
    Digits(Vec<[[i8; 16]; 3]>),
}

impl ResampleTaps {
    /// Packs, for each output pixel, its first source pixel and its range of `weights` (one a source pixel).
    ///
    /// # Panics
    /// When a range reaches out of `weights`.
    pub fn pack(kernels: Kernels, channels: usize, spans: &[(usize, Range<usize>)], weights: Vec<i32>) -> Self {
        let reach = spans.iter().map(|(first, range)| first + range.len()).max().unwrap_or(0);
        let spans = spans.iter().map(|(first, range)| Span { first: *first, weights: range.clone(), group: 0 });
        let mut taps = Self { spans: spans.collect(), weights, packed: Packed::None, reach };
        taps.pack_for(kernels.kind(), channels);
        taps
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn pack_for(&mut self, _: IsaKind, _: usize) {}

    #[cfg(target_arch = "x86_64")]
    fn pack_for(&mut self, kind: IsaKind, channels: usize) {
        if channels != 3 {
            return;
        }
        let digits_fit = self.weights.iter().all(|weight| weight.unsigned_abs() < 127 << 16);
        if is_avx512(kind) && x86::has_byte_dots() && digits_fit {
            let groups = self.groups(|weights: &[i32; 16]| {
                // Each digit is the low byte with its sign; what it leaves is divided by the base.
                let digit = |weight: i32| (weight as i8, (weight - i32::from(weight as i8)) >> 8);
                let low = weights.map(digit);
                let middle = low.map(|(_, rest)| digit(rest));
                [low.map(|(digit, _)| digit), middle.map(|(digit, _)| digit), middle.map(|(_, rest)| rest as i8)]
            });
            self.packed = Packed::Digits(groups);
        } else if is_avx512(kind) || kind == IsaKind::Avx2 {
            let groups = self.groups(|&[a, b, c, d]: &[i32; 4]| {
                let high = |weight: i32| (weight >> 15) as i16;
                let low = |weight: i32| (weight & 0x7fff) as i16;
                [high(a), high(b), high(c), high(d), low(a), low(b), low(c), low(d)]
            });
            self.packed = Packed::Halves(groups);
        }
    }

    /// Packs the weights of every span by groups of `N`.
    #[cfg(target_arch = "x86_64")]
    fn groups<const N: usize, T>(&mut self, pack: impl Fn(&[i32; N]) -> T) -> Vec<T> {
        let mut groups = Vec::new();
        for span in &mut self.spans {
            span.group = groups.len();
            for weights in self.weights[span.weights.clone()].chunks(N) {
                let mut group = [0; N];
                group[..weights.len()].copy_from_slice(weights);
                groups.push(pack(&group));
            }
        }
        groups
    }

    /// Output pixels.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no output pixel.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

impl Kernels {
    /// Weighted sums of the pixels of `row`, each of `CHANNELS` bytes, one for each output pixel of `taps`.
    ///
    /// # Panics
    /// When `taps` reach beyond `row`, or `out` does not hold exactly their pixels.
    pub fn resample_row<const CHANNELS: usize>(self, row: &[u8], taps: &ResampleTaps, out: &mut [u8]) {
        assert!(row.len() / CHANNELS >= taps.reach, "{} pixels of {CHANNELS} bytes in {}", taps.reach, row.len());
        assert_eq!(out.len(), taps.len() * CHANNELS, "bytes of {} pixels", taps.len());
        match &taps.packed {
            #[cfg(target_arch = "x86_64")]
            Packed::Digits(groups) if CHANNELS == 3 && is_avx512(self.kind()) && x86::has_byte_dots() => {
                // SAFETY: the CPU has the instructions, and the spans lie inside of `row` and of `groups`.
                unsafe { x86::row_by_digits(row, &taps.spans, groups, out) }
            }
            #[cfg(target_arch = "x86_64")]
            Packed::Halves(groups) if CHANNELS == 3 && (is_avx512(self.kind()) || self.kind() == IsaKind::Avx2) => {
                // SAFETY: as above.
                unsafe { x86::row_by_halves(row, &taps.spans, groups, out) }
            }
            _ => scalar::row::<CHANNELS>(row, &taps.spans, &taps.weights, out),
        }
    }

    /// `sums += bytes · weight`, modulo 2³².
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn add_weighted_bytes(self, sums: &mut [i32], bytes: &[u8], weight: i32) {
        assert_eq!(sums.len(), bytes.len(), "sums and bytes");
        match self.kind() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the instructions.
            IsaKind::Amx | IsaKind::Avx512 => unsafe { x86::add_weighted_bytes_avx512(sums, bytes, weight) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the instructions.
            IsaKind::Avx2 => unsafe { x86::add_weighted_bytes_avx2(sums, bytes, weight) },
            _ => scalar::add_weighted_bytes(sums, bytes, weight),
        }
    }

    /// Sums as bytes: the fractional bits cut off (sums start at [`RESAMPLE_HALF`]), the rest clipped to 0..=255.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn sums_to_bytes(self, sums: &[i32], out: &mut [u8]) {
        assert_eq!(sums.len(), out.len(), "sums and bytes");
        match self.kind() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the instructions.
            IsaKind::Amx | IsaKind::Avx512 => unsafe { x86::sums_to_bytes_avx512(sums, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the instructions.
            IsaKind::Avx2 => unsafe { x86::sums_to_bytes_avx2(sums, out) },
            _ => scalar::sums_to_bytes(sums, out),
        }
    }
}
