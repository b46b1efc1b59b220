//! Where the parts of a file lie: found, and checked, before anything is decoded.

use super::Jpeg;
use crate::image::ImageError;
use crate::image::decode::DecodeLimits;

/// Scans that an image of any size may have. Encoders write about ten, the most thorough about twenty for small images.
const MANY_SCANS: u64 = 16;
/// Blocks of 8x8 pixels that the scans of an image of more scans may pass over, repeats counted. Passing over one costs tens
/// of nanoseconds and can take next to no bytes.
const MAX_PASSES: u64 = 1 << 25;

/// What the frame header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub width: u64,
    pub height: u64,
}

/// Walks the markers up to the end of the image, and refuses what is too large, not supported or cut off.
pub(super) fn read_structure(bytes: &[u8], limits: &DecodeLimits) -> Result<Frame, ImageError> {
    let cut_off = |at: usize| Jpeg.truncated(format!("{} bytes, no end-of-image marker after byte {at}", bytes.len()));
    let mut frame = None;
    let mut scans = 0;
    let mut at = 2;
    loop {
        // Entropy-coded data has 0xff followed by 0 or a restart marker; anything else begins a segment.
        let Some(skipped) = bytes.get(at..).and_then(find_marker) else { return Err(cut_off(at)) };
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

/// The first byte of ones in eight bytes that begin with the lowest.
#[inline(always)]
pub(super) fn first_ones(word: u64) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let others = !word;
    // The lowest bit found is exact: what borrows from it lies above.
    let found = others.wrapping_sub(LOW) & !others & LOW << 7;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Where the first byte of ones stands. Entropy-coded data holds few: many bytes are looked at together.
pub(super) fn find_marker(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, &word) in words.iter().enumerate() {
        if let Some(at) = first_ones(u64::from_le_bytes(word)) {
            return Some(index * 8 + at);
        }
    }
    rest.iter().position(|&byte| byte == 0xff).map(|at| words.len() * 8 + at)
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
