//! GIF, by `gif`.

use std::io::Cursor;
use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::ImageFormat::Gif;
use super::{DecodeLimits, apply_palette, rgb_image};
use crate::image::{ImageError, RgbImage};

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let broken = |error: DecodingError| match error {
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Gif.truncated(format!("{} bytes, more expected", bytes.len()))
        }
        error => Gif.malformed(error),
    };
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(NonZeroU64::new(limits.max_memory).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(broken)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let (screen_width, screen_height) = (u64::from(decoder.width()), u64::from(decoder.height()));
    limits.check(Gif, screen_width, screen_height, 1 + 3)?;
    let frame = decoder.next_frame_info().map_err(broken)?.ok_or_else(|| Gif.truncated("no image"))?.clone();
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    // A frame that reaches out of the screen enlarges it.
    let width = screen_width.max((left + frame_width) as u64);
    let height = screen_height.max((top + frame_height) as u64);
    limits.check(Gif, width, height, 1 + 1 + 3)?;
    let mut pixels = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut pixels).map_err(broken)?;

    // What the frame leaves uncovered is its transparent colour, or the first one.
    let stride = width as usize;
    let mut indices = vec![frame.transparent.unwrap_or(0); stride * height as usize];
    if frame_width > 0 {
        let covered = indices.chunks_exact_mut(stride).skip(top).take(frame_height);
        for (row, source) in covered.zip(pixels.chunks_exact(frame_width)) {
            row[left..left + frame_width].copy_from_slice(source);
        }
    }
    let data = match frame.palette.as_deref().or(global.as_deref()) {
        Some(palette) => apply_palette(&indices, palette.as_chunks::<3>().0),
        None => indices.iter().flat_map(|&index| [index; 3]).collect(),
    };
    rgb_image(Gif, width, height, data)
}
