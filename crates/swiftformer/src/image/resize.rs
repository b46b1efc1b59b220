//! Pillow's antialiased resampling of byte images, bit for bit.
//!
//! A filter is stretched by the scale when an image shrinks, so every source pixel counts (unlike OpenCV's and PyTorch's
//! defaults). Weights are rounded to 22 fractional bits; one pass resamples rows, one columns, with bytes in between.
//! Rows come first, but for images that lose more than twice as many rows as columns: Pillow 13.0.0 behaves so (a rule read
//! off its results, not its source), earlier releases always take rows first. Where the two disagree, bilinear, box and
//! Hamming differ by one level; bicubic and Lanczos, whose overshoot is clipped between the passes, by 6 and 12 in
//! photographs. A pass whose side does not change is skipped, as Pillow skips it: with both unchanged the image is copied. Pillow's other
//! shortcuts (`draft`, which decodes a JPEG at a fraction of its size, and `reducing_gap`, which shrinks by an integer
//! first) are not used by any evaluation code of these models, so they are left out.
//!
//! Each output pixel depends on nothing but its own weights, so [`resize_window`] makes just the part of the resized image
//! that a crop keeps, and memory does not grow with the parts of the image that are read or left out.
//!
//! Source: `Resample.c` and `Geometry.c` of Pillow, whose results this module reproduces.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Filter, Image, ImageError, Window};

/// Sides of a resized image are bounded by what Pillow can hold in one row of 32-bit pixels.
pub const MAX_RESIZED_SIDE: usize = (i32::MAX as usize) / 4 - 1;

/// Fractional bits of a weight: 8 bits of the sum are the result, 2 are headroom for overshooting filters.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// One half in those units, where every sum starts.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Weights of a row that are kept in memory (64 MiB).
const MAX_CACHED_WEIGHTS: usize = 1 << 24;

/// One side being resampled by an antialiasing filter.
struct Side {
    filter: Filter,
    source: usize,
    scale: f64,
    filter_scale: f64,
}

/// The weights of some output positions along one side.
#[derive(Default)]
struct Taps {
    /// First source position and the place of its weights, for each output position.
    spans: Vec<(usize, Range<usize>)>,
    /// Weights as integers of 22 fractional bits, one span after another.
    weights: Vec<i32>,
}

impl Side {
    fn new(filter: Filter, source: usize, target: usize) -> Self {
        let scale = source as f64 / target as f64;
        Self { filter, source, scale, filter_scale: scale.max(1.0) }
    }

    /// The source positions that the output position `position` reads.
    fn span(&self, position: usize) -> Range<usize> {
        let center = (position as f64 + 0.5) * self.scale;
        let support = self.filter.support() * self.filter_scale;
        // Float-to-integer casts cut off towards zero, as C's do.
        let first = (center - support + 0.5).max(0.0) as usize;
        first..((center + support + 0.5) as usize).min(self.source)
    }

    /// Weights of the output positions `wanted`.
    fn taps(&self, wanted: Range<usize>) -> Taps {
        let mut taps = Taps::default();
        let mut exact = Vec::new();
        let inverse = 1.0 / self.filter_scale;
        for position in wanted {
            let center = (position as f64 + 0.5) * self.scale;
            let span = self.span(position);
            exact.clear();
            exact.extend(span.clone().map(|x| self.filter.weight((x as f64 - center + 0.5) * inverse)));
            let sum: f64 = exact.iter().sum();
            let start = taps.weights.len();
            taps.weights.extend(exact.iter().map(|&weight| {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                let scaled = weight * f64::from(1u32 << PRECISION_BITS);
                (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
            }));
            taps.spans.push((span.start, start..taps.weights.len()));
        }
        taps
    }
}

/// Whether Pillow 13.0.0 resamples columns before rows: when more than twice as many rows as columns are removed. The rule
/// predicts the order in all of 3242 resizes of random sizes in which the order shows.
fn columns_first((width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> bool {
    let removed = |from: usize, to: usize| from as i64 - to as i64;
    to_height < height && removed(height, to_height) > 2 * removed(width, to_width)
}

/// A sum of weighted bytes, rounded and clipped to a byte.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The pass along rows: makes the columns `wanted` of one row at a time.
struct RowPass {
    wanted: Range<usize>,
    /// `None` when the width does not change.
    side: Option<Side>,
    /// Weights made once. For an extremely wide image they are made anew for each of its few rows, to bound memory.
    cached: Option<Taps>,
}

impl RowPass {
    fn new(filter: Filter, source: usize, target: usize, wanted: Range<usize>) -> Self {
        let side = (source != target).then(|| Side::new(filter, source, target));
        let cached = side.as_ref().and_then(|side| {
            let weights = side.span(wanted.start).len().saturating_mul(wanted.len());
            (weights <= MAX_CACHED_WEIGHTS).then(|| side.taps(wanted.clone()))
        });
        Self { wanted, side, cached }
    }

    /// The columns of the source that are read.
    fn source(&self) -> Range<usize> {
        match &self.side {
            None => self.wanted.clone(),
            Some(side) => side.span(self.wanted.start).start..side.span(self.wanted.end - 1).end,
        }
    }

    /// Resamples `row`, which begins at column `start` of the source.
    fn apply<const CHANNELS: usize>(&self, row: &[u8], start: usize, out: &mut [u8]) {
        match (&self.side, &self.cached) {
            (None, _) => {
                let wanted = (self.wanted.start - start) * CHANNELS..(self.wanted.end - start) * CHANNELS;
                out.copy_from_slice(&row[wanted]);
            }
            (Some(_), Some(taps)) => resample_row::<CHANNELS>(row, start, taps, out),
            (Some(side), None) => {
                for (position, out) in self.wanted.clone().zip(out.chunks_exact_mut(CHANNELS)) {
                    resample_row::<CHANNELS>(row, start, &side.taps(position..position + 1), out);
                }
            }
        }
    }
}

/// Resamples one row that begins at column `start` of the source; `out` has a pixel for each span.
fn resample_row<const CHANNELS: usize>(row: &[u8], start: usize, taps: &Taps, out: &mut [u8]) {
    let pixels = row.as_chunks::<CHANNELS>().0;
    let out = out.as_chunks_mut::<CHANNELS>().0;
    for (out, (first, weights)) in out.iter_mut().zip(&taps.spans) {
        let weights = &taps.weights[weights.clone()];
        let mut sums = [HALF; CHANNELS];
        for (pixel, weight) in pixels[first - start..][..weights.len()].iter().zip(weights) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(byte) * weight;
            }
        }
        *out = sums.map(to_byte);
    }
}

/// An output row that some of its source rows have been added to.
struct OpenRow {
    taps: Taps,
    sums: Vec<i32>,
}

impl OpenRow {
    fn end(&self) -> usize {
        self.taps.spans[0].0 + self.taps.weights.len()
    }
}

/// Both passes in one sweep over the source rows, each of which is added to the output rows that read it. The row pass
/// runs before that, or after it on finished rows when `columns_first`.
fn resample<const CHANNELS: usize>(
    image: &Image<CHANNELS>,
    row_pass: &RowPass,
    column_side: &Side,
    rows: Range<usize>,
    columns_first: bool,
) -> Vec<u8> {
    let source = row_pass.source();
    let mut row = vec![0; row_pass.wanted.len() * CHANNELS];
    let mut out = Vec::with_capacity(row.len() * rows.len());
    let summed = if columns_first { source.len() * CHANNELS } else { row.len() };
    let mut open: VecDeque<OpenRow> = VecDeque::new();
    let first = column_side.span(rows.start).start;
    let mut waiting = rows.peekable();
    for y in first..image.height() {
        while let Some(position) = waiting.next_if(|&position| column_side.span(position).start <= y) {
            open.push_back(OpenRow { taps: column_side.taps(position..position + 1), sums: vec![HALF; summed] });
        }
        let pixels = if columns_first {
            &image.row(y)[source.start * CHANNELS..source.end * CHANNELS]
        } else {
            row_pass.apply::<CHANNELS>(image.row(y), 0, &mut row);
            &row
        };
        for OpenRow { taps, sums } in &mut open {
            let weight = taps.weights[y - taps.spans[0].0];
            for (sum, &byte) in sums.iter_mut().zip(pixels) {
                *sum += i32::from(byte) * weight;
            }
        }
        while let Some(done) = open.pop_front_if(|front| front.end() == y + 1) {
            if columns_first {
                let bytes: Vec<u8> = done.sums.into_iter().map(to_byte).collect();
                row_pass.apply::<CHANNELS>(&bytes, source.start, &mut row);
                out.extend_from_slice(&row);
            } else {
                out.extend(done.sums.into_iter().map(to_byte));
            }
        }
        if open.is_empty() && waiting.peek().is_none() {
            break;
        }
    }
    out
}

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
    if !(1..=MAX_RESIZED_SIDE).contains(&width) || !(1..=MAX_RESIZED_SIDE).contains(&height) {
        return Err(ImageError::ResizedSide { width, height, limit: MAX_RESIZED_SIDE });
    }
    let (columns, rows) = (window.columns.clone(), window.rows.clone());
    if columns.is_empty() || rows.is_empty() || columns.end > width || rows.end > height {
        return Err(ImageError::Window { window: window.clone(), width, height });
    }
    if filter == Filter::Nearest {
        let from_columns = nearest_positions(image.width(), width, columns.clone());
        let mut data = Vec::with_capacity(columns.len() * rows.len() * CHANNELS);
        for y in nearest_positions(image.height(), height, rows.clone()) {
            let row = image.row(y).as_chunks::<CHANNELS>().0;
            data.extend(from_columns.iter().flat_map(|&x| row[x]));
        }
        return Image::new(columns.len(), rows.len(), data);
    }
    let row_pass = RowPass::new(filter, image.width(), width, columns.clone());
    let data = if height == image.height() {
        let stride = columns.len() * CHANNELS;
        let mut data = vec![0; stride * rows.len()];
        for (y, out) in rows.clone().zip(data.chunks_exact_mut(stride)) {
            row_pass.apply::<CHANNELS>(image.row(y), 0, out);
        }
        data
    } else {
        let columns_first = columns_first((image.width(), image.height()), (width, height));
        resample(image, &row_pass, &Side::new(filter, image.height(), height), rows.clone(), columns_first)
    };
    Image::new(columns.len(), rows.len(), data)
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
