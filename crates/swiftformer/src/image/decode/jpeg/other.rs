//! Progressive JPEGs and those of four inks, by `zune-jpeg`.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Jpeg;
use super::structure::Frame;
use crate::image::decode::{cmyk_to_rgb, rgb_image};
use crate::image::{ImageError, RgbImage};

pub(super) fn decode(bytes: &[u8], frame: &Frame) -> Result<RgbImage, ImageError> {
    let options = DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX);
    let broken = |error: DecodeErrors| Jpeg.malformed(error);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let stored = decoder.input_colorspace();
    let output = match stored {
        // The decoder's own conversions are not Pillow's; it hands these through as they are.
        Some(space @ (ColorSpace::CMYK | ColorSpace::YCCK)) => space,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(output));
    let mut data = decoder.decode().map_err(broken)?;
    if output != ColorSpace::RGB {
        data = four_inks_to_rgb(&data, output == ColorSpace::YCCK);
    }
    rgb_image(Jpeg, frame.width, frame.height, data)
}

/// CMYK or YCCK as stored (inverted, as Adobe writes them and as Pillow takes all of them) to RGB.
fn four_inks_to_rgb(data: &[u8], ycck: bool) -> Vec<u8> {
    let pixels = data.as_chunks::<4>().0.iter();
    let inks = pixels.map(|&[a, b, c, k]| {
        let stored = if ycck { ycc_to_rgb(a, b, c).map(|value| 255 - value) } else { [a, b, c] };
        [255 - stored[0], 255 - stored[1], 255 - stored[2], 255 - k]
    });
    inks.flat_map(cmyk_to_rgb).collect()
}

/// JFIF's YCbCr in libjpeg's 16-bit fixed point.
fn ycc_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((91881 * cr + HALF) >> 16);
    let g = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let b = y + ((116_130 * cb + HALF) >> 16);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}
