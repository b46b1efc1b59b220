//! JPEG, by `zune-jpeg`.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::ImageFormat::Jpeg;
use super::{DecodeLimits, cmyk_to_rgb, rgb_image};
use crate::image::{ImageError, RgbImage};

/// Scans that an image of any size may have. Encoders write about ten, the most thorough about twenty for small images.
const MANY_SCANS: u64 = 16;
/// Blocks of 8x8 pixels that the scans of an image of more scans may pass over, repeats counted. Passing over one costs tens
/// of nanoseconds and can take next to no bytes.
const MAX_PASSES: u64 = 1 << 25;

/// What the frame header says.
struct Frame {
    width: u64,
    height: u64,
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let frame = read_structure(bytes, limits)?;
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

/// Walks the markers up to the end of the image, and refuses what is too large, not supported or cut off.
fn read_structure(bytes: &[u8], limits: &DecodeLimits) -> Result<Frame, ImageError> {
    let cut_off = |at: usize| Jpeg.truncated(format!("{} bytes, no end-of-image marker after byte {at}", bytes.len()));
    let mut frame = None;
    let mut scans = 0;
    let mut at = 2;
    loop {
        // Entropy-coded data has 0xff followed by 0 or a restart marker; anything else begins a segment.
        let Some(skipped) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) else {
            return Err(cut_off(at));
        };
        at += skipped + 1;
        let Some(&marker) = bytes.get(at) else { return Err(cut_off(at)) };
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            0xff => {}
            0xd9 => return frame.ok_or_else(|| Jpeg.malformed("no frame header before the end-of-image marker")),
            _ => {
                let length = bytes.get(at + 1..at + 3).ok_or_else(|| cut_off(at))?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                let body = bytes.get(at + 3..at + 1 + length.max(2)).ok_or_else(|| cut_off(at))?;
                if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) && frame.is_none() {
                    frame = Some(read_frame(marker, body, bytes.len(), limits)?);
                }
                if let (0xda, Some(frame)) = (marker, &frame) {
                    scans += 1;
                    check_scans(frame, scans)?;
                }
                at += 1 + length.max(2);
            }
        }
    }
}

/// Refuses a progressive image of so many scans that a small file would take long to decode.
fn check_scans(frame: &Frame, scans: u64) -> Result<(), ImageError> {
    let blocks = frame.width.div_ceil(8) * frame.height.div_ceil(8);
    if scans > MANY_SCANS && scans * blocks > MAX_PASSES {
        let Frame { width, height } = frame;
        return Err(Jpeg.unsupported(format!("{scans} or more scans of {width}x{height} pixels")));
    }
    Ok(())
}

fn read_frame(marker: u8, body: &[u8], file_length: usize, limits: &DecodeLimits) -> Result<Frame, ImageError> {
    let &[precision, h0, h1, w0, w1, components, ..] = body else {
        return Err(Jpeg.malformed(format!("frame header of {} bytes", body.len())));
    };
    match marker {
        0xc0..=0xc2 => {}
        0xc3 | 0xc7 | 0xcb | 0xcf => return Err(Jpeg.unsupported("lossless coding")),
        0xc5 | 0xc6 => return Err(Jpeg.unsupported("hierarchical coding")),
        _ => return Err(Jpeg.unsupported("arithmetic coding")),
    }
    if precision != 8 {
        return Err(Jpeg.unsupported(format!("{precision} bits a sample")));
    }
    if !matches!(components, 1 | 3 | 4) {
        return Err(Jpeg.unsupported(format!("{components} components")));
    }
    let frame =
        Frame { width: u64::from(u16::from_be_bytes([w0, w1])), height: u64::from(u16::from_be_bytes([h0, h1])) };
    // Output and its conversion; progressive files also keep every coefficient in 16 bits.
    let bytes_per_pixel = 3 + u64::from(components) * if marker == 0xc2 { 3 } else { 1 };
    limits.check(Jpeg, frame.width, frame.height, bytes_per_pixel)?;
    // Every 8x8 block of the finest component takes one bit at least.
    if frame.width.div_ceil(8) * frame.height.div_ceil(8) > 8 * file_length as u64 {
        let Frame { width, height, .. } = frame;
        return Err(Jpeg.truncated(format!("{width}x{height} pixels cannot come from {file_length} bytes")));
    }
    Ok(frame)
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
