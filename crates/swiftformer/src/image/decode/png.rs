//! PNG, by `png`.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits};

use super::ImageFormat::Png;
use super::{DecodeLimits, apply_palette, rgb_image, unpack_bits};
use crate::image::{ImageError, RgbImage};

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let (width, height) = check_header(bytes, limits)?;
    let broken = |error: DecodingError| match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Png.truncated(format!("{} bytes, more expected", bytes.len()))
        }
        DecodingError::LimitsExceeded => Png.malformed("chunks need more memory than the limit"),
        error => Png.malformed(error),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limits.memory() });
    decoder.set_ignore_text_chunk(true);
    // Colours are taken as they are, as Pillow takes them; a profile could unpack to gigabytes.
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size().ok_or_else(|| Png.malformed("size of the decoded image overflows"))?;
    let mut raw = vec![0; size];
    let info = reader.next_frame(&mut raw).map_err(broken)?;
    if (u64::from(info.width), u64::from(info.height)) != (width, height) {
        return Err(Png.unsupported(format!("a first frame of {}x{} pixels", info.width, info.height)));
    }
    raw.truncate(info.buffer_size());
    let palette = reader.info().palette.as_deref().unwrap_or_default();
    let data = to_rgb(raw, info.width as usize, info.color_type, info.bit_depth, palette);
    rgb_image(Png, width, height, data)
}

/// Checks the sides in the header against the limits and against what the file can hold.
fn check_header(bytes: &[u8], limits: &DecodeLimits) -> Result<(u64, u64), ImageError> {
    let header = bytes.get(16..26).ok_or_else(|| Png.truncated("no header chunk"))?;
    let side = |at: usize| u64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let (width, height) = (side(0), side(4));
    let channels: u64 = match header[9] {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let bits = channels * u64::from(header[8]);
    limits.check(Png, width, height, bits.div_ceil(8) + 3)?;
    // Deflate turns 1 byte into 1032 at the very most.
    if width * height * bits / 8 > (bytes.len() as u64).saturating_mul(1032) {
        return Err(Png.truncated(format!("{width}x{height} pixels cannot come from {} bytes", bytes.len())));
    }
    Ok((width, height))
}

fn to_rgb(raw: Vec<u8>, width: usize, color: ColorType, depth: BitDepth, palette: &[u8]) -> Vec<u8> {
    let wide = depth == BitDepth::Sixteen;
    let gray = |values: &[u8]| values.iter().flat_map(|&value| [value; 3]).collect();
    match color {
        ColorType::Indexed => apply_palette(&unpack_bits(&raw, width, depth as usize), palette.as_chunks::<3>().0),
        ColorType::Grayscale if wide => {
            raw.as_chunks::<2>().0.iter().flat_map(|&[high, low]| [if high > 0 { 255 } else { low }; 3]).collect()
        }
        ColorType::Grayscale => {
            let scale = 255 / ((1u16 << depth as u32) - 1) as u8;
            let values: Vec<u8> = unpack_bits(&raw, width, depth as usize).iter().map(|value| value * scale).collect();
            gray(&values)
        }
        ColorType::GrayscaleAlpha if wide => raw.as_chunks::<4>().0.iter().flat_map(|pixel| [pixel[0]; 3]).collect(),
        ColorType::GrayscaleAlpha => raw.as_chunks::<2>().0.iter().flat_map(|pixel| [pixel[0]; 3]).collect(),
        ColorType::Rgb if wide => raw.as_chunks::<2>().0.iter().map(|&[high, _]| high).collect(),
        ColorType::Rgb => raw,
        ColorType::Rgba if wide => {
            raw.as_chunks::<8>().0.iter().flat_map(|pixel| [pixel[0], pixel[2], pixel[4]]).collect()
        }
        ColorType::Rgba => raw.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
    }
}
