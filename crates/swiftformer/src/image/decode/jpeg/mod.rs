//! JPEG: files of one Huffman-coded sequential scan, as cameras write them, by a decoder of our own that gives
//! libjpeg-turbo's bytes and streams rows; all others (progressive, four inks, several sequential scans) by `zune-jpeg`.
//!
//! ```text
//! bytes ─ structure ─→ checked ─ header ─→ tables ─ scan (entropy, bits, huffman) ─→ planes ─ rows ─→ RGB rows
//! ```
//!
//! Entropy-coded data that breaks off early or makes no sense is filled up with zeros, as libjpeg does: only a file without
//! an end-of-image marker is an error.

mod bits;
mod entropy;
mod header;
mod huffman;
mod other;
mod rows;
mod scan;
mod structure;

use std::ops::Range;

use super::ImageFormat::Jpeg;
use super::{DecodeLimits, Scale, rgb_image};
use crate::image::{ImageError, RgbImage};

/// A file whose rows come one after the other.
pub(in crate::image) struct RowDecoder<'a> {
    bytes: &'a [u8],
    layout: scan::Layout,
    header: header::Header,
}

impl<'a> RowDecoder<'a> {
    /// `None` for files that [`decode`] has to decode as a whole. `scale` is told the sides of the image.
    ///
    /// # Errors
    /// When the file is cut off, or larger than `limits` allow.
    pub(in crate::image) fn new(
        bytes: &'a [u8],
        limits: &DecodeLimits,
        scale: impl FnOnce(usize, usize) -> Scale,
    ) -> Result<Option<Self>, ImageError> {
        structure::read_structure(bytes, limits)?;
        Ok(Self::of_checked(bytes, scale))
    }

    fn of_checked(bytes: &'a [u8], scale: impl FnOnce(usize, usize) -> Scale) -> Option<Self> {
        let header = header::Header::read(bytes)?;
        let scale = scale(header.width, header.height);
        let layout = scan::Layout::new(&header, scale)?;
        Some(Self { bytes, layout, header })
    }

    /// Width and height of what is decoded.
    pub(in crate::image) fn size(&self) -> (usize, usize) {
        (self.layout.width, self.layout.height)
    }

    /// Hands the RGB rows `wanted` to `sink`, from the top.
    pub(in crate::image) fn rows(self, wanted: Range<usize>, sink: &mut dyn FnMut(&[u8])) {
        scan::decode(self.bytes, &self.header, &self.layout, wanted, sink);
    }
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits, scale: Scale) -> Result<RgbImage, ImageError> {
    let frame = structure::read_structure(bytes, limits)?;
    let Some(decoder) = RowDecoder::of_checked(bytes, |_, _| scale) else { return other::decode(bytes, &frame) };
    let (width, height) = decoder.size();
    let mut data = Vec::with_capacity(width * height * 3);
    decoder.rows(0..height, &mut |row| data.extend_from_slice(row));
    rgb_image(Jpeg, width as u64, height as u64, data)
}
