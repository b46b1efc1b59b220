//! BMP: Windows and OS/2 bitmaps of 1, 4, 8, 16, 24 and 32 bits, plain, with bit fields or run-length encoded.
//!
//! Source: the structures `BITMAPCOREHEADER` to `BITMAPV5HEADER` of the Windows documentation; the layouts of bit fields
//! are those that Pillow reads.

use super::ImageFormat::Bmp;
use super::{DecodeLimits, apply_palette, rgb_image, unpack_bits};
use crate::image::{ImageError, RgbImage};

/// The fields of the header that say how pixels are stored.
struct Header {
    width: u64,
    height: u64,
    top_down: bool,
    bits: u16,
    compression: u32,
    /// Red, green, blue and alpha masks of [`BITFIELDS`].
    masks: [u32; 4],
    palette: Vec<[u8; 3]>,
    pixels_at: usize,
}

const PLAIN: u32 = 0;
const RUNS_OF_8_BITS: u32 = 1;
const RUNS_OF_4_BITS: u32 = 2;
const BITFIELDS: u32 = 3;

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ImageError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map(|&field| u16::from_le_bytes(field)).ok_or_else(|| Bmp.truncated("header"))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ImageError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map(|&field| u32::from_le_bytes(field)).ok_or_else(|| Bmp.truncated("header"))
}

fn read_header(bytes: &[u8], limits: &DecodeLimits) -> Result<Header, ImageError> {
    let pixels_at = u32_at(bytes, 10)? as usize;
    let size = u32_at(bytes, 14)?;
    let mut after = 14 + size as usize;
    let old = size == 12;
    let (width, height, top_down, bits) = match size {
        12 => (u16_at(bytes, 18)?.into(), u16_at(bytes, 20)?.into(), false, u16_at(bytes, 24)?),
        40 | 52 | 56 | 64 | 108 | 124 => {
            let height = u32_at(bytes, 22)? as i32;
            (u32_at(bytes, 18)?.into(), u64::from(height.unsigned_abs()), height < 0, u16_at(bytes, 28)?)
        }
        _ => return Err(Bmp.unsupported(format!("a header of {size} bytes"))),
    };
    limits.check(Bmp, width, height, 1 + 3)?;
    if !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
        return Err(Bmp.unsupported(format!("{bits} bits a pixel")));
    }
    let compression = if old { PLAIN } else { u32_at(bytes, 30)? };
    let mut masks = [0; 4];
    if compression == BITFIELDS {
        // Headers of 52 bytes and more hold the masks, shorter ones are followed by three of them.
        let count = if matches!(size, 56 | 108 | 124) { 4 } else { 3 };
        for (index, mask) in masks.iter_mut().take(count).enumerate() {
            *mask = u32_at(bytes, 54 + 4 * index)?;
        }
        after = after.max(54 + 12);
    }
    let mut palette = Vec::new();
    if bits <= 8 {
        let claimed = if old { 0 } else { u32_at(bytes, 46)? };
        let colors = if claimed == 0 { 1 << bits } else { claimed.min(256) } as usize;
        let entries = bytes.get(after..).ok_or_else(|| Bmp.truncated("palette"))?;
        palette.extend(
            entries.chunks_exact(if old { 3 } else { 4 }).take(colors).map(|entry| [entry[2], entry[1], entry[0]]),
        );
    }
    Ok(Header { width, height, top_down, bits, compression, masks, palette, pixels_at })
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let header = read_header(bytes, limits)?;
    let data = bytes.get(header.pixels_at..).unwrap_or_default();
    let (width, height) = (header.width as usize, header.height as usize);
    let rgb = match header.compression {
        RUNS_OF_8_BITS | RUNS_OF_4_BITS if header.bits <= 8 => {
            let indices = expand_runs(data, width, height, header.compression == RUNS_OF_4_BITS)?;
            apply_palette(&indices, &header.palette)
        }
        PLAIN | BITFIELDS => read_rows(&header, data, width, height)?,
        other => return Err(Bmp.unsupported(format!("compression {other} of {} bits", header.bits))),
    };
    if header.top_down {
        return rgb_image(Bmp, header.width, header.height, rgb);
    }
    let turned = rgb.chunks_exact(width * 3).rev().flatten().copied().collect();
    rgb_image(Bmp, header.width, header.height, turned)
}

/// Rows as stored, as RGB.
fn read_rows(header: &Header, data: &[u8], width: usize, height: usize) -> Result<Vec<u8>, ImageError> {
    let bits = usize::from(header.bits);
    let used = (width * bits).div_ceil(8);
    let stride = used.next_multiple_of(4);
    // The padding of the last row may be missing.
    let needed = stride * (height - 1) + used;
    if data.len() < needed {
        return Err(Bmp.truncated(format!("{} bytes of pixels, {needed} expected", data.len())));
    }
    let rows = data.chunks(stride).take(height).map(|row| &row[..used]);
    if bits <= 8 {
        return Ok(rows.flat_map(|row| apply_palette(&unpack_bits(row, width, bits), &header.palette)).collect());
    }
    let place = places(header)?;
    Ok(match bits {
        16 => {
            rows.flat_map(|row| row.as_chunks::<2>().0).flat_map(|&pixel| sixteen_bits(pixel, place[1] == 6)).collect()
        }
        24 => rows.flat_map(|row| row.as_chunks::<3>().0).flat_map(|&[b, g, r]| [r, g, b]).collect(),
        _ => rows.flat_map(|row| row.as_chunks::<4>().0).flat_map(|pixel| place.map(|at| pixel[at])).collect(),
    })
}

/// For 32 bits, the byte of a pixel that holds red, green and blue; for 16 bits, the width of each field.
fn places(header: &Header) -> Result<[usize; 3], ImageError> {
    let plain = if header.bits == 16 { [5, 5, 5] } else { [2, 1, 0] };
    if header.compression == PLAIN {
        return Ok(plain);
    }
    let [red, green, blue, alpha] = header.masks;
    Ok(match (header.bits, [red, green, blue], alpha) {
        (16, [0xf800, 0x07e0, 0x001f], _) => [5, 6, 5],
        (16, [0x7c00, 0x03e0, 0x001f], _) | (24, [0xff_0000, 0xff00, 0xff], _) => plain,
        (32, [0xff_0000, 0xff00, 0xff], 0 | 0xff00_0000) | (32, [0, 0, 0], 0) => plain,
        (32, [0xff00_0000, 0xff_0000, 0xff00], 0 | 0xff) => [3, 2, 1],
        (32, [0xff00_0000, 0xff00, 0xff], 0 | 0xff_0000) => [3, 1, 0],
        (32, [0xff, 0xff00, 0xff_0000], 0xff00_0000) => [0, 1, 2],
        (bits, masks, alpha) => {
            return Err(Bmp.unsupported(format!("{bits} bits with the masks {masks:x?}, alpha {alpha:x}")));
        }
    })
}

/// Fields of 5 bits (green 5 or 6), stretched to 0..=255 and cut off.
fn sixteen_bits(pixel: [u8; 2], green_of_6: bool) -> [u8; 3] {
    let value = u16::from_le_bytes(pixel);
    let stretch = |field: u16, most: u16| ((field & most) * 255 / most) as u8;
    if green_of_6 {
        [stretch(value >> 11, 31), stretch(value >> 5, 63), stretch(value, 31)]
    } else {
        [stretch(value >> 10, 31), stretch(value >> 5, 31), stretch(value, 31)]
    }
}

/// Expands run-length encoded indices; what the code skips or leaves out stays 0.
fn expand_runs(data: &[u8], width: usize, height: usize, of_4_bits: bool) -> Result<Vec<u8>, ImageError> {
    let cut_off = || Bmp.truncated("run-length encoded pixels");
    // Two bytes give 255 pixels; twice that leaves room for rows that are skipped.
    if width * height > (data.len() * 255).max(1 << 20) {
        return Err(cut_off());
    }
    let mut indices = vec![0; width * height];
    let (mut x, mut y, mut at) = (0usize, 0usize, 0usize);
    let index = |byte: u8, place: usize| match (of_4_bits, place % 2) {
        (false, _) => byte,
        (true, 0) => byte >> 4,
        (true, _) => byte & 15,
    };
    while y < height {
        let &[count, value] = data.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut_off)?;
        at += 2;
        let room = width - x;
        let start = y * width + x;
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => {
                let &[right, up] = data.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut_off)?;
                at += 2;
                (x, y) = ((x + usize::from(right)).min(width), y + usize::from(up));
            }
            (0, literal) => {
                let literal = usize::from(literal);
                let length = if of_4_bits { literal.div_ceil(2) } else { literal };
                let source = data.get(at..at + length).ok_or_else(cut_off)?;
                for place in 0..literal.min(room) {
                    indices[start + place] = index(source[if of_4_bits { place / 2 } else { place }], place);
                }
                at += length.next_multiple_of(2);
                x += literal.min(room);
            }
            (run, value) => {
                let run = usize::from(run).min(room);
                (0..run).for_each(|place| indices[start + place] = index(value, place));
                x += run;
            }
        }
    }
    Ok(indices)
}
