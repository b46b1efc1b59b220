//! Pixels of a JPEG out of its coefficients: inverse DCT, upsampling of chroma, and colours.
//!
//! The integers are those of libjpeg-turbo's vector code for its accurate transform (`JDCT_ISLOW`), "fancy" upsampling and
//! colour conversion, so that every instruction set gives its bytes. Sums are 16 bits wide where that code has them so:
//! coefficients that no encoder writes wrap and saturate as they do there.

mod bits;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use self::bits::{BitTask, with_bit_instructions};
#[cfg(target_arch = "x86_64")]
use crate::IsaKind;
use crate::Kernels;

/// Blocks that are transformed together.
pub const JPEG_LANES: usize = 32;

/// Rows of samples are worked on in steps of so many pixels.
pub const JPEG_STEP: usize = 64;

/// Coefficients of [`JPEG_LANES`] blocks that lie side by side, before dequantisation. Those of one position in all blocks
/// are neighbours: position `8 · v + u` (vertical and horizontal frequency) of block `b` stands at
/// `JPEG_LANES · (8 · v + u) + JpegBlocks::lane(b)`.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct JpegBlocks([i16; 64 * JPEG_LANES]);

impl Default for JpegBlocks {
    fn default() -> Self {
        Self([0; 64 * JPEG_LANES])
    }
}

impl JpegBlocks {
    /// The place of block `block` (counted from the left, modulo [`JPEG_LANES`]) among those of a position. Pairs of
    /// blocks are dealt out to the 128-bit lanes of a register, so that transformed rows leave it in order.
    #[inline(always)]
    pub const fn lane(block: usize) -> usize {
        (block & 6) << 2 | (block & 24) >> 2 | (block & 1)
    }

    /// All coefficients.
    #[inline(always)]
    pub fn coefficients(&self) -> &[i16; 64 * JPEG_LANES] {
        &self.0
    }

    /// All coefficients, to be changed.
    #[inline(always)]
    pub fn coefficients_mut(&mut self) -> &mut [i16; 64 * JPEG_LANES] {
        &mut self.0
    }

    /// Sets all coefficients to zero.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }
}

/// Samples across and down that a block of 8x8 coefficients becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DctSize {
    /// One: the mean of the block.
    One,
    /// Two, by libjpeg's reduced transform.
    Two,
    /// Four, by libjpeg's reduced transform.
    Four,
    /// Eight: all of them.
    Eight,
}

impl DctSize {
    /// Samples on a side.
    pub const fn samples(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// Which instructions the kernels of a CPU use.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vectors {
    Scalar,
    Avx2,
    Avx512,
}

#[cfg(target_arch = "x86_64")]
fn vectors(kind: IsaKind) -> Vectors {
    match kind {
        IsaKind::Amx | IsaKind::Avx512 if x86::has_byte_permutations() => Vectors::Avx512,
        IsaKind::Amx | IsaKind::Avx512 | IsaKind::Avx2 => Vectors::Avx2,
        _ => Vectors::Scalar,
    }
}

impl Kernels {
    /// Dequantises and transforms `blocks` to samples (0..=255): `size` rows of `JPEG_LANES · size` bytes, each `stride`
    /// bytes after the one before. `quantization` is in the order of the positions of [`JpegBlocks`]. `used` is how many
    /// positions, in the zigzag order of files, may differ from zero.
    ///
    /// # Panics
    /// When `out` is too short for the rows.
    pub fn jpeg_inverse_dct(
        self,
        size: DctSize,
        blocks: &JpegBlocks,
        used: usize,
        quantization: &[i16; 64],
        out: &mut [u8],
        stride: usize,
    ) {
        let samples = size.samples();
        let needed = stride.checked_mul(samples - 1).and_then(|start| start.checked_add(JPEG_LANES * samples));
        assert!(needed.is_some_and(|needed| out.len() >= needed), "{samples} rows at {stride} in {}", out.len());
        if used <= 1 || size == DctSize::One {
            return scalar::flat(size, blocks, quantization[0], out, stride);
        }
        #[cfg(target_arch = "x86_64")]
        match (vectors(self.kind()), size) {
            (Vectors::Scalar, _) => {}
            (Vectors::Avx2, _) => {
                // SAFETY: the CPU has the instructions, and `out` holds the rows.
                return unsafe { x86::avx2::inverse_dct(size, blocks, used, quantization, out, stride) };
            }
            (Vectors::Avx512, _) => {
                // SAFETY: as above.
                return unsafe { x86::avx512::inverse_dct(size, blocks, used, quantization, out, stride) };
            }
        }
        scalar::inverse_dct(size, blocks, quantization, out, stride);
    }

    /// Twice as many samples across, interpolated: `row` holds the samples and one neighbour on either side.
    ///
    /// # Panics
    /// When `out` is not twice as long as the samples, or no multiple of [`JPEG_STEP`].
    pub fn jpeg_upsample_h2v1(self, row: &[u8], out: &mut [u8]) {
        check_upsampling(row, out);
        #[cfg(target_arch = "x86_64")]
        match vectors(self.kind()) {
            Vectors::Scalar => {}
            // SAFETY: the CPU has the instructions, and the lengths were checked.
            Vectors::Avx2 => return unsafe { x86::avx2::upsample_h2v1(row, out) },
            // SAFETY: as above.
            Vectors::Avx512 => return unsafe { x86::avx512::upsample_h2v1(row, out) },
        }
        scalar::upsample_h2v1(row, out);
    }

    /// Twice as many samples across and down, interpolated: one of the two output rows between `near`, which it belongs
    /// to, and `far`, its other neighbour. Both hold the samples and one neighbour on either side.
    ///
    /// # Panics
    /// When `out` is not twice as long as the samples, or no multiple of [`JPEG_STEP`].
    pub fn jpeg_upsample_h2v2(self, near: &[u8], far: &[u8], out: &mut [u8]) {
        check_upsampling(near, out);
        check_upsampling(far, out);
        #[cfg(target_arch = "x86_64")]
        match vectors(self.kind()) {
            Vectors::Scalar => {}
            // SAFETY: the CPU has the instructions, and the lengths were checked.
            Vectors::Avx2 => return unsafe { x86::avx2::upsample_h2v2(near, far, out) },
            // SAFETY: as above.
            Vectors::Avx512 => return unsafe { x86::avx512::upsample_h2v2(near, far, out) },
        }
        scalar::upsample_h2v2(near, far, out);
    }

    /// Twice as many samples down, interpolated: the upper (`below` false) or lower of the two output rows of `near`,
    /// whose other neighbour is `far`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn jpeg_upsample_h1v2(self, near: &[u8], far: &[u8], below: bool, out: &mut [u8]) {
        assert!(near.len() == out.len() && far.len() == out.len(), "samples of rows");
        // Rare, and plain enough for the compiler to vectorise.
        scalar::upsample_h1v2(near, far, below, out);
    }

    /// JFIF's YCbCr to interleaved RGB.
    ///
    /// # Panics
    /// When the lengths differ, or are no multiple of [`JPEG_STEP`] pixels.
    pub fn jpeg_ycc_to_rgb(self, luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
        let pixels = luma.len();
        assert!(pixels.is_multiple_of(JPEG_STEP), "{pixels} pixels in steps of {JPEG_STEP}");
        assert!(blue.len() == pixels && red.len() == pixels && out.len() == 3 * pixels, "bytes of {pixels} pixels");
        #[cfg(target_arch = "x86_64")]
        match vectors(self.kind()) {
            Vectors::Scalar => {}
            // SAFETY: the CPU has the instructions, and the lengths were checked.
            Vectors::Avx2 => return unsafe { x86::avx2::ycc_to_rgb(luma, blue, red, out) },
            // SAFETY: as above.
            Vectors::Avx512 => return unsafe { x86::avx512::ycc_to_rgb(luma, blue, red, out) },
        }
        scalar::ycc_to_rgb(luma, blue, red, out);
    }
}

fn check_upsampling(row: &[u8], out: &[u8]) {
    assert!(out.len().is_multiple_of(JPEG_STEP), "{} samples in steps of {JPEG_STEP}", out.len());
    assert_eq!(row.len(), out.len() / 2 + 2, "samples of a row and two neighbours");
}
