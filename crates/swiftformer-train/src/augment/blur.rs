//! Pillow's Gaussian blur on RGB bytes, bit for bit: three box blurs with fractional edges.

use swiftformer::image::RgbImage;

/// Box blurs that stand for one Gaussian.
const PASSES: usize = 3;

/// Radius of the box whose [`PASSES`]-fold blur has the standard deviation `sigma` (Gwosdek et al., SSVM 2011).
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    whole + part / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)))
}

/// The weights of a box blur: `whole` pixels a side of full weight and one beyond of less, of 24 fractional bits.
struct BoxFilter {
    whole: usize,
    full: u32,
    edge: u32,
}

impl BoxFilter {
    fn new(radius: f32) -> Self {
        let whole = radius as usize;
        let full = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
        let edge = ((1u32 << 24) - (whole as u32 * 2 + 1) * full) / 2;
        Self { whole, full, edge }
    }

    /// Blurs one line; past its ends the outermost pixels go on.
    fn line(&self, line: &[[u8; 3]], out: &mut [[u8; 3]]) {
        let last = line.len() - 1;
        let at = |x: isize| line[x.clamp(0, last as isize) as usize].map(u32::from);
        let reach = self.whole as isize;
        let mut sums = [0u32; 3];
        for x in -reach..=reach {
            let pixel = at(x);
            sums = std::array::from_fn(|channel| sums[channel] + pixel[channel]);
        }
        for (x, out) in out.iter_mut().enumerate() {
            let x = x as isize;
            let (left, right) = (at(x - reach - 1), at(x + reach + 1));
            *out = std::array::from_fn(|channel| {
                let value = sums[channel] * self.full + (left[channel] + right[channel]) * self.edge;
                (value.wrapping_add(1 << 23) >> 24) as u8
            });
            let gone = at(x - reach);
            sums = std::array::from_fn(|channel| sums[channel] + right[channel] - gone[channel]);
        }
    }

    /// Blurs every row of `width` pixels [`PASSES`] times.
    fn rows(&self, pixels: &mut [[u8; 3]], width: usize) {
        let mut from = vec![[0; 3]; width];
        for row in pixels.chunks_exact_mut(width) {
            for _ in 0..PASSES {
                from.copy_from_slice(row);
                self.line(&from, row);
            }
        }
    }
}

/// Pixels with rows and columns exchanged.
fn transposed(pixels: &[[u8; 3]], width: usize) -> Vec<[u8; 3]> {
    (0..width).flat_map(|x| pixels.iter().skip(x).step_by(width).copied()).collect()
}

/// `ImageFilter.GaussianBlur(sigma)`; `sigma` in pixels.
pub fn gaussian_blur(image: &mut RgbImage, sigma: f64) {
    let radius = box_radius(sigma as f32);
    if radius.is_nan() || radius <= 0.0 {
        return;
    }
    let filter = BoxFilter::new(radius);
    let (width, height) = (image.width(), image.height());
    filter.rows(image.data_mut().as_chunks_mut::<3>().0, width);
    let mut turned = transposed(image.data().as_chunks::<3>().0, width);
    filter.rows(&mut turned, height);
    image.data_mut().as_chunks_mut::<3>().0.copy_from_slice(&transposed(&turned, height));
}
