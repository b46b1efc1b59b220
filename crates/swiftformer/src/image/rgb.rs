//! Pixels in memory: rows of bytes, 1 or 3 channels.

use super::ImageError;

/// An image of `CHANNELS` interleaved bytes a pixel (0..=255), row by row from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<const CHANNELS: usize> {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

/// Red, green and blue bytes.
pub type RgbImage = Image<3>;

/// One byte of luma a pixel.
pub type GrayImage = Image<1>;

impl<const CHANNELS: usize> Image<CHANNELS> {
    /// Wraps `height` rows of `width` pixels.
    ///
    /// # Errors
    /// When a side is zero or `data` does not hold `width * height * CHANNELS` bytes.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        let needed = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(CHANNELS));
        if width == 0 || height == 0 || needed != Some(data.len()) {
            let needed = needed.unwrap_or(usize::MAX);
            return Err(ImageError::Buffer { width, height, channels: CHANNELS, needed, found: data.len() });
        }
        Ok(Self { width, height, data })
    }

    /// An image whose pixels all have the value `pixel`.
    ///
    /// # Panics
    /// When a side is zero.
    pub fn filled(width: usize, height: usize, pixel: [u8; CHANNELS]) -> Self {
        assert!(width > 0 && height > 0, "an image of {width}x{height} pixels");
        let data = pixel.iter().copied().cycle().take(width * height * CHANNELS).collect();
        Self { width, height, data }
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Interleaved bytes, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Interleaved bytes, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Interleaved bytes without the sides.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The bytes of one row.
    ///
    /// # Panics
    /// When `y` is not below the height.
    pub fn row(&self, y: usize) -> &[u8] {
        let stride = self.width * CHANNELS;
        &self.data[y * stride..(y + 1) * stride]
    }
}

impl RgbImage {
    /// Luma as Pillow's mode `L`: (19595 R + 38470 G + 7471 B + 32768) / 65536, the weights of ITU-R 601-2.
    pub fn to_gray(&self) -> GrayImage {
        let pixels = self.data.as_chunks::<3>().0;
        let data = pixels.iter().map(|&[r, g, b]| luma(r, g, b)).collect();
        GrayImage { width: self.width, height: self.height, data }
    }
}

pub(super) fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}
