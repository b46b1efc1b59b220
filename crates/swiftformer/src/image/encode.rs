//! Writing images: PNG, which loses nothing.

use std::io::{self, Write};

use super::RgbImage;

/// Writes `image` as an 8-bit RGB PNG.
///
/// # Errors
/// When `out` cannot be written, or the image has more than 2³² − 1 pixels on a side.
pub fn encode_png(image: &RgbImage, out: impl Write) -> io::Result<()> {
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let mut encoder = png::Encoder::new(out, side(image.width())?, side(image.height())?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.data())?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{DecodeLimits, Orientation, decode};

    #[test]
    fn a_png_decodes_to_the_image_it_was_made_of() {
        let image = RgbImage::new(3, 2, (0..18).map(|value| value * 14).collect()).unwrap();
        let mut bytes = Vec::new();
        encode_png(&image, &mut bytes).unwrap();
        assert_eq!(decode(&bytes, Orientation::Apply, &DecodeLimits::default()).unwrap(), image);
    }
}
