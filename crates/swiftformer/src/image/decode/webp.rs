//! WebP, by `image-webp`.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::ImageFormat::WebP;
use super::{DecodeLimits, rgb_image};
use crate::image::{ImageError, RgbImage};

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let broken = |error: DecodingError| match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            WebP.truncated(format!("{} bytes, more expected", bytes.len()))
        }
        error => WebP.malformed(error),
    };
    // The container says how long it is; a shorter file has lost its end, whatever can still be decoded.
    let claimed =
        bytes.get(4..8).map_or(0, |field| u64::from(u32::from_le_bytes([field[0], field[1], field[2], field[3]])));
    if claimed + 8 > bytes.len() as u64 {
        return Err(WebP.truncated(format!("{} bytes of {}", bytes.len(), claimed + 8)));
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    let (width, height) = decoder.dimensions();
    limits.check(WebP, width.into(), height.into(), 4 + 4 + 3)?;
    decoder.set_memory_limit(limits.memory());
    let size = decoder.output_buffer_size().ok_or_else(|| WebP.malformed("size of the decoded image overflows"))?;
    let mut data = vec![0; size];
    decoder.read_image(&mut data).map_err(broken)?;
    if decoder.has_alpha() {
        data = data.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    }
    rgb_image(WebP, width.into(), height.into(), data)
}
