//! Pillow's `ImageOps`, `ImageEnhance` and `ImageFilter` on RGB bytes, bit for bit.

use swiftformer::image::RgbImage;

/// Maps every byte of a channel through that channel's table.
fn map_channels(image: &mut RgbImage, tables: &[[u8; 256]; 3]) {
    for pixel in image.data_mut().as_chunks_mut::<3>().0 {
        for (byte, table) in pixel.iter_mut().zip(tables) {
            *byte = table[usize::from(*byte)];
        }
    }
}

/// Maps every byte.
fn map_bytes(image: &mut RgbImage, map: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|byte| map(byte as u8));
    for byte in image.data_mut() {
        *byte = table[usize::from(*byte)];
    }
}

/// How often each byte occurs in each channel.
fn histograms(image: &RgbImage) -> [[u64; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.data().as_chunks::<3>().0 {
        for (&byte, counts) in pixel.iter().zip(&mut counts) {
            counts[usize::from(byte)] += 1;
        }
    }
    counts
}

/// A table of all bytes as they are.
fn identity() -> [u8; 256] {
    std::array::from_fn(|byte| byte as u8)
}

/// `ImageOps.invert`: 255 minus each byte.
pub fn invert(image: &mut RgbImage) {
    map_bytes(image, |byte| 255 - byte);
}

/// `ImageOps.solarize`: inverts bytes of `threshold` (0..=256) and above.
pub fn solarize(image: &mut RgbImage, threshold: u32) {
    map_bytes(image, |byte| if u32::from(byte) < threshold { byte } else { 255 - byte });
}

/// timm's `solarize_add`: adds `add` to bytes below 128, up to 255.
pub fn solarize_add(image: &mut RgbImage, add: u8) {
    map_bytes(image, |byte| if byte < 128 { byte.saturating_add(add) } else { byte });
}

/// `ImageOps.posterize`: keeps the upper `bits` (0..=8) bits of each byte.
pub fn posterize(image: &mut RgbImage, bits: u32) {
    let dropped = 8 - bits.min(8);
    map_bytes(image, |byte| ((u32::from(byte) >> dropped) << dropped) as u8);
}

/// `ImageOps.autocontrast` without cut-off: stretches each channel to 0..=255.
pub fn auto_contrast(image: &mut RgbImage) {
    let tables = histograms(image).map(|counts| {
        let low = counts.iter().position(|&count| count > 0).unwrap_or(255);
        let high = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        if high <= low {
            return identity();
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        std::array::from_fn(|byte| (byte as f64 * scale + offset) as u8)
    });
    map_channels(image, &tables);
}

/// `ImageOps.equalize`: spreads each channel so that its values occur about equally often.
pub fn equalize(image: &mut RgbImage) {
    let tables = histograms(image).map(|counts| {
        let used = counts.iter().filter(|&&count| count > 0);
        let last = used.clone().next_back().copied().unwrap_or(0);
        let step = (counts.iter().sum::<u64>() - last) / 255;
        if used.count() <= 1 || step == 0 {
            return identity();
        }
        let mut sum = step / 2;
        std::array::from_fn(|byte| {
            let value = (sum / step).min(255);
            sum += counts[byte];
            value as u8
        })
    });
    map_channels(image, &tables);
}

/// `Image.blend`: `from` + `factor` × (`to` − `from`), cut off below the next whole number, clipped.
pub(super) fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // Outside [0, 255] the cast saturates, as Pillow clips.
    (f32::from(from) + factor * (i32::from(to) - i32::from(from)) as f32) as u8
}

/// Whether `ImageEnhance` gives the image back unchanged.
fn no_change(factor: f32) -> bool {
    factor == 1.0
}

/// `ImageEnhance.Brightness`: 0 gives black, 1 the image.
pub fn brightness(image: &mut RgbImage, factor: f64) {
    let factor = factor as f32;
    if !no_change(factor) {
        map_bytes(image, |byte| blend(0, byte, factor));
    }
}

/// `ImageEnhance.Contrast`: 0 gives the mean luma everywhere, 1 the image.
pub fn contrast(image: &mut RgbImage, factor: f64) {
    let factor = factor as f32;
    if no_change(factor) {
        return;
    }
    let gray = image.to_gray();
    let sum: u64 = gray.data().iter().map(|&luma| u64::from(luma)).sum();
    let mean = (sum as f64 / gray.data().len() as f64 + 0.5) as u8;
    map_bytes(image, |byte| blend(mean, byte, factor));
}

/// `ImageEnhance.Color` (torchvision's saturation): 0 gives luma, 1 the image.
pub fn color(image: &mut RgbImage, factor: f64) {
    let factor = factor as f32;
    if no_change(factor) {
        return;
    }
    let gray = image.to_gray();
    for (pixel, &luma) in image.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(gray.data()) {
        *pixel = pixel.map(|byte| blend(luma, byte, factor));
    }
}

/// `ImageEnhance.Sharpness`: 0 gives a mean of 3 × 3 pixels, 1 the image, 2 sharpens.
pub fn sharpness(image: &mut RgbImage, factor: f64) {
    let factor = factor as f32;
    if no_change(factor) {
        return;
    }
    let blurred = smooth(image);
    for (byte, &blurred) in image.data_mut().iter_mut().zip(blurred.data()) {
        *byte = blend(blurred, *byte, factor);
    }
}

/// `ImageFilter.SMOOTH`: a 3 × 3 mean with the centre counted five times; the border stays.
fn smooth(image: &RgbImage) -> RgbImage {
    const EDGE: f32 = 1.0 / 13.0;
    const CENTRE: f32 = 5.0 / 13.0;
    let mut out = image.clone();
    let (width, height) = (image.width(), image.height());
    if width < 3 || height < 3 {
        return out;
    }
    let stride = width * 3;
    let sum = |row: &[u8], at: usize, weights: [f32; 3]| {
        f32::from(row[at - 3]) * weights[0] + f32::from(row[at]) * weights[1] + f32::from(row[at + 3]) * weights[2]
    };
    for y in 1..height - 1 {
        let (above, here, below) = (image.row(y - 1), image.row(y), image.row(y + 1));
        let row = &mut out.data_mut()[y * stride..(y + 1) * stride];
        for (at, byte) in row.iter_mut().enumerate().take(stride - 3).skip(3) {
            // The order of additions is Pillow's: it decides the last bit.
            let mut value = 0.5;
            value += sum(below, at, [EDGE; 3]);
            value += sum(here, at, [EDGE, CENTRE, EDGE]);
            value += sum(above, at, [EDGE; 3]);
            *byte = value as u8;
        }
    }
    out
}

/// Columns in reverse order.
pub fn flip_horizontal(image: &mut RgbImage) {
    let stride = image.width() * 3;
    for row in image.data_mut().chunks_exact_mut(stride) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

/// Rows in reverse order.
pub fn flip_vertical(image: &mut RgbImage) {
    let stride = image.width() * 3;
    let rows = image.height();
    let data = image.data_mut();
    for y in 0..rows / 2 {
        let (top, bottom) = data.split_at_mut((rows - 1 - y) * stride);
        top[y * stride..(y + 1) * stride].swap_with_slice(&mut bottom[..stride]);
    }
}
