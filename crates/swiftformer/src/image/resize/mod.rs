//! Pillow's antialiased resampling of byte images, bit for bit.
//!
//! A filter is stretched by the scale when an image shrinks, so every source pixel counts (unlike OpenCV's and PyTorch's
//! defaults). Weights are rounded to 22 fractional bits; one pass resamples rows, one columns, with bytes in between.
//! Rows come first, but for images that lose more than twice as many rows as columns: Pillow 13.0.0 behaves so (a rule read
//! off its results, not its source), earlier releases always take rows first. Where the two disagree, bilinear, box and
//! Hamming differ by one level; bicubic and Lanczos, whose overshoot is clipped between the passes, by 6 and 12 in
//! photographs. A pass whose side does not change is skipped, as Pillow skips it: with both unchanged the image is copied. Pillow's other
//! shortcuts (`draft`, which decodes a JPEG at a fraction of its size, and `reducing_gap`, which shrinks by an integer
//! first) are not used by any evaluation code of these models; the first is an option of reading files, the second left out.
//!
//! Each output pixel depends on nothing but its own weights, so [`resize_window`] makes just the part of the resized image
//! that a crop keeps, and memory does not grow with the parts of the image that are read or left out.
//!
//! Source: `Resample.c` and `Geometry.c` of Pillow, whose results this module reproduces.

mod sweep;
mod taps;

use std::ops::Range;

pub(super) use self::sweep::Sweep;
use super::{Filter, Image, ImageError, Window};

/// Sides of a resized image are bounded by what Pillow can hold in one row of 32-bit pixels.
pub const MAX_RESIZED_SIDE: usize = (i32::MAX as usize) / 4 - 1;

/// Source positions that the nearest filter reads for the output positions `wanted`.
fn nearest_positions(source: usize, target: usize, wanted: Range<usize>) -> Vec<usize> {
    // Pillow adds the step up instead of multiplying, and its rounding errors decide at the edges of pixels.
    let step = source as f64 / target as f64;
    let mut position = step * 0.5;
    for _ in 0..wanted.start {
        position += step;
    }
    let mut positions = Vec::with_capacity(wanted.len());
    for _ in wanted {
        positions.push((position as usize).min(source - 1));
        position += step;
    }
    positions
}

/// Refuses sides and windows that no resized image has.
pub(super) fn check(width: usize, height: usize, window: &Window) -> Result<(), ImageError> {
    if !(1..=MAX_RESIZED_SIDE).contains(&width) || !(1..=MAX_RESIZED_SIDE).contains(&height) {
        return Err(ImageError::ResizedSide { width, height, limit: MAX_RESIZED_SIDE });
    }
    let (columns, rows) = (&window.columns, &window.rows);
    if columns.is_empty() || rows.is_empty() || columns.end > width || rows.end > height {
        return Err(ImageError::Window { window: window.clone(), width, height });
    }
    Ok(())
}

/// The part `window` of `image` resized to `width` × `height`, without the rest being computed.
///
/// # Errors
/// When a side of the resized image is zero or above [`MAX_RESIZED_SIDE`], or the window is empty or reaches beyond it.
pub fn resize_window<const CHANNELS: usize>(
    image: &Image<CHANNELS>,
    width: usize,
    height: usize,
    filter: Filter,
    window: &Window,
) -> Result<Image<CHANNELS>, ImageError> {
    check(width, height, window)?;
    let (columns, rows) = (window.columns.clone(), window.rows.clone());
    if filter == Filter::Nearest {
        let from_columns = nearest_positions(image.width(), width, columns.clone());
        let mut data = Vec::with_capacity(columns.len() * rows.len() * CHANNELS);
        for y in nearest_positions(image.height(), height, rows.clone()) {
            let row = image.row(y).as_chunks::<CHANNELS>().0;
            data.extend(from_columns.iter().flat_map(|&x| row[x]));
        }
        return Image::new(columns.len(), rows.len(), data);
    }
    let mut sweep = Sweep::<CHANNELS>::new((image.width(), image.height()), (width, height), filter, window);
    for y in sweep.source_rows() {
        sweep.push(image.row(y));
    }
    Image::new(columns.len(), rows.len(), sweep.into_bytes())
}

/// `image` resized to `width` × `height` pixels, as Pillow's `Image.resize((width, height), filter)`.
///
/// # Errors
/// When a side is zero or above [`MAX_RESIZED_SIDE`].
///
/// ```
/// use swiftformer::image::{Filter, RgbImage, resize};
///
/// let image = RgbImage::new(2, 1, vec![0, 0, 0, 255, 255, 255])?;
/// assert_eq!(resize(&image, 1, 1, Filter::Bilinear)?.data(), [128, 128, 128]);
/// # Ok::<(), swiftformer::image::ImageError>(())
/// ```
pub fn resize<const CHANNELS: usize>(
    image: &Image<CHANNELS>,
    width: usize,
    height: usize,
    filter: Filter,
) -> Result<Image<CHANNELS>, ImageError> {
    resize_window(image, width, height, filter, &Window { columns: 0..width, rows: 0..height })
}
