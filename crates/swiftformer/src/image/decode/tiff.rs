//! TIFF, by `tiff`.

use std::borrow::Cow;
use std::io::Cursor;

use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use super::ImageFormat::Tiff;
use super::{DecodeLimits, apply_palette, cmyk_to_rgb, rgb_image, unpack_bits};
use crate::image::exif::TiffBlock;
use crate::image::{ImageError, RgbImage};

/// `ExtraSamples` of an alpha channel that colours are multiplied by.
const ASSOCIATED_ALPHA: u16 = 1;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let broken = |error: TiffError| match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Tiff.truncated(format!("{} bytes, more expected", bytes.len()))
        }
        TiffError::UnsupportedError(error) => Tiff.unsupported(error),
        error => Tiff.malformed(error),
    };
    let mut allowed = Limits::default();
    allowed.decoding_buffer_size = limits.memory();
    allowed.intermediate_buffer_size = limits.memory();
    let (bytes, paletted) = palette_as_gray(bytes);
    let mut decoder = Decoder::new(Cursor::new(&bytes[..])).map_err(broken)?.with_limits(allowed);
    let (width, height) = decoder.dimensions().map_err(broken)?;
    let color = decoder.colortype().map_err(broken)?;
    limits.check(Tiff, width.into(), height.into(), u64::from(color.bit_depth()) * 4 / 8 + 3)?;
    let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(broken)? == Some(2);
    if planar && color.num_samples() > 1 {
        return Err(Tiff.unsupported("channels stored as separate planes"));
    }
    let premultiplied = decoder
        .find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)
        .map_err(broken)?
        .is_some_and(|extra| extra.first() == Some(&ASSOCIATED_ALPHA));
    let palette = match paletted {
        true => Some(read_palette(&decoder.get_tag_u16_vec(Tag::ColorMap).map_err(broken)?)),
        false => None,
    };
    let raw = decoder.read_image().map_err(broken)?;
    let data = to_rgb(raw, width as usize, color, palette.as_deref(), premultiplied)?;
    rgb_image(Tiff, width.into(), height.into(), data)
}

/// The decoder knows no palettes: with the field that announces one changed to gray, it gives the indices.
fn palette_as_gray(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    const PHOTOMETRIC: u64 = 262;
    const SHORT: u64 = 3;
    let place = TiffBlock::new(bytes).and_then(|tiff| {
        let (kind, _, at) = tiff.entry(PHOTOMETRIC)?;
        (kind == SHORT && tiff.number(at, 2)? == 3).then_some(at)
    });
    let Some(at) = place else { return (Cow::Borrowed(bytes), false) };
    let mut changed = bytes.to_vec();
    // The value is 3 in either byte order, so its non-zero byte becomes 1.
    changed[at..at + 2].iter_mut().filter(|byte| **byte == 3).for_each(|byte| *byte = 1);
    (Cow::Owned(changed), true)
}

/// A colour map holds all reds, then all greens, then all blues, in 16 bits.
fn read_palette(map: &[u16]) -> Vec<[u8; 3]> {
    let colors = map.len() / 3;
    (0..colors).map(|index| [0, 1, 2].map(|channel| (map[channel * colors + index] >> 8) as u8)).collect()
}

fn to_rgb(
    raw: DecodingResult,
    width: usize,
    color: ColorType,
    palette: Option<&[[u8; 3]]>,
    premultiplied: bool,
) -> Result<Vec<u8>, ImageError> {
    let gray = |values: Vec<u8>| values.into_iter().flat_map(|value| [value; 3]).collect();
    if let Some(palette) = palette {
        return match (color, raw) {
            (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(raw)) => {
                Ok(apply_palette(&unpack_bits(&raw, width, bits.into()), palette))
            }
            (color, _) => Err(Tiff.unsupported(format!("a palette with {color:?}"))),
        };
    }
    Ok(match (color, raw) {
        (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(raw)) => {
            let scale = 255 / ((1u16 << bits) - 1) as u8;
            gray(unpack_bits(&raw, width, bits.into()).iter().map(|value| value * scale).collect())
        }
        // Deeper gray is clipped, not scaled, as PNG's.
        (ColorType::Gray(_), DecodingResult::U16(raw)) => gray(raw.iter().map(|&v| v.min(255) as u8).collect()),
        (ColorType::Gray(_), DecodingResult::U32(raw)) => gray(raw.iter().map(|&v| v.min(255) as u8).collect()),
        (ColorType::Gray(_), DecodingResult::I16(raw)) => gray(raw.iter().map(|&v| v.clamp(0, 255) as u8).collect()),
        (ColorType::Gray(_), DecodingResult::I32(raw)) => gray(raw.iter().map(|&v| v.clamp(0, 255) as u8).collect()),
        (ColorType::Gray(_), DecodingResult::F32(raw)) => gray(raw.iter().map(|&v| v as u8).collect()),
        (ColorType::GrayA(8) | ColorType::Multiband { bit_depth: 8, num_samples: 2 }, DecodingResult::U8(raw)) => {
            gray(raw.as_chunks::<2>().0.iter().map(|v| v[0]).collect())
        }
        (ColorType::RGB(8), DecodingResult::U8(raw)) => raw,
        (ColorType::RGB(16), DecodingResult::U16(raw)) => raw.iter().map(|value| (value >> 8) as u8).collect(),
        (ColorType::RGBA(8), DecodingResult::U8(raw)) => {
            raw.as_chunks::<4>().0.iter().flat_map(|&pixel| drop_alpha(pixel, premultiplied)).collect()
        }
        (ColorType::RGBA(16), DecodingResult::U16(raw)) => {
            let pixels = raw.as_chunks::<4>().0.iter();
            pixels.flat_map(|pixel| drop_alpha(pixel.map(|value| (value >> 8) as u8), premultiplied)).collect()
        }
        (ColorType::CMYK(8), DecodingResult::U8(raw)) => {
            raw.as_chunks::<4>().0.iter().flat_map(|&inks| cmyk_to_rgb(inks)).collect()
        }
        (color, _) => return Err(Tiff.unsupported(format!("{color:?}"))),
    })
}

/// The colour without alpha; one that was multiplied by alpha is divided by it again.
fn drop_alpha([r, g, b, alpha]: [u8; 4], premultiplied: bool) -> [u8; 3] {
    if !premultiplied || alpha == 0 {
        return [r, g, b];
    }
    [r, g, b].map(|value| (u16::from(value) * 255 / u16::from(alpha)).min(255) as u8)
}
