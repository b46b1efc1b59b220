//! Pillow's `Image.transform(AFFINE)` on RGB bytes, bit for bit: shears, shifts and rotations.

use std::f64::consts::PI;

use swiftformer::image::RgbImage;

/// How a transform reads between pixels. (Not the antialiased filters of a resize: Pillow's transforms have no support
/// that grows with the scale.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The plane through 2 × 2 pixels.
    Bilinear,
    /// Keys's cubic with a = -1 through 4 × 4 pixels.
    Bicubic,
}

/// The colour outside the image and the way pixels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Colour of output pixels that lie outside the input.
    pub fill: [u8; 3],
    /// How output pixels are read from the input.
    pub sampling: Sampling,
}

/// Where output pixels come from: (x, y) is read at (a x + b y + c, d x + e y + f), all in pixels.
pub type Matrix = [f64; 6];

/// Cubic through four values, `at` (0..1) of the way between the second and the third.
fn cubic([v1, v2, v3, v4]: [f64; 4], at: f64) -> f64 {
    let p2 = -v1 + v3;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = -v1 + v2 - v3 + v4;
    v2 + at * (p2 + at * (p3 + at * p4))
}

/// The whole number below `value`, and the rest.
fn split(value: f64) -> (isize, f64) {
    let whole = value.floor();
    (whole as isize, value - whole)
}

/// `image.transform(image.size, AFFINE, matrix, resample, fillcolor)`.
pub fn transform(image: &RgbImage, matrix: Matrix, canvas: Canvas) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let [a, b, c, d, e, f] = matrix;
    let mut out = RgbImage::filled(width, height, canvas.fill);
    for (y, row) in out.data_mut().chunks_exact_mut(width * 3).enumerate() {
        let y = y as f64 + 0.5;
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let x = x as f64 + 0.5;
            let (x, y) = (a * x + b * y + c, d * x + e * y + f);
            if x < 0.0 || x >= width as f64 || y < 0.0 || y >= height as f64 {
                continue;
            }
            *pixel = match canvas.sampling {
                Sampling::Bilinear => bilinear(image, x - 0.5, y - 0.5),
                Sampling::Bicubic => bicubic(image, x - 0.5, y - 0.5),
            };
        }
    }
    out
}

fn bilinear(image: &RgbImage, x: f64, y: f64) -> [u8; 3] {
    let ((x, dx), (y, dy)) = (split(x), split(y));
    let columns = [x, x + 1].map(|x| x.clamp(0, image.width() as isize - 1) as usize * 3);
    let rows = [y, y + 1].map(|y| image.row(y.clamp(0, image.height() as isize - 1) as usize));
    std::array::from_fn(|channel| {
        let [top, bottom] = rows.map(|row| {
            let [left, right] = columns.map(|x| f64::from(row[x + channel]));
            left + (right - left) * dx
        });
        (top + (bottom - top) * dy) as u8
    })
}

fn bicubic(image: &RgbImage, x: f64, y: f64) -> [u8; 3] {
    let ((x, dx), (y, dy)) = (split(x), split(y));
    let columns = [x - 1, x, x + 1, x + 2].map(|x| x.clamp(0, image.width() as isize - 1) as usize * 3);
    let rows = [y - 1, y, y + 1, y + 2].map(|y| image.row(y.clamp(0, image.height() as isize - 1) as usize));
    std::array::from_fn(|channel| {
        let along = rows.map(|row| cubic(columns.map(|x| f64::from(row[x + channel])), dx));
        // The cast saturates where the cubic overshoots.
        cubic(along, dy) as u8
    })
}

/// Shears along x: row y moves by `factor` × y pixels to the left.
pub fn shear_x(image: &RgbImage, factor: f64, canvas: Canvas) -> RgbImage {
    transform(image, [1.0, factor, 0.0, 0.0, 1.0, 0.0], canvas)
}

/// Shears along y: column x moves up by `factor` × x pixels.
pub fn shear_y(image: &RgbImage, factor: f64, canvas: Canvas) -> RgbImage {
    transform(image, [1.0, 0.0, 0.0, factor, 1.0, 0.0], canvas)
}

/// Moves the image `pixels` to the left.
pub fn translate_x(image: &RgbImage, pixels: f64, canvas: Canvas) -> RgbImage {
    transform(image, [1.0, 0.0, pixels, 0.0, 1.0, 0.0], canvas)
}

/// Moves the image up by `pixels`.
pub fn translate_y(image: &RgbImage, pixels: f64, canvas: Canvas) -> RgbImage {
    transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels], canvas)
}

/// Turns the image by `degrees` counter-clockwise about its centre; the corners are cut off.
pub fn rotate(image: &RgbImage, degrees: f64, canvas: Canvas) -> RgbImage {
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 0.0 {
        return image.clone();
    }
    let angle = -(degrees * (PI / 180.0));
    let (sin, cos) = (round_15(libm::sin(angle)), round_15(libm::cos(angle)));
    let (x, y) = (image.width() as f64 / 2.0, image.height() as f64 / 2.0);
    // The sums are written as Pillow forms them, zeros included.
    let c = cos * -x + sin * -y + 0.0;
    let f = round_15(-libm::sin(angle)) * -x + cos * -y + 0.0;
    transform(image, [cos, sin, c + x, -sin, cos, f + y], canvas)
}

/// Python's `round(value, 15)`.
fn round_15(value: f64) -> f64 {
    // Formatting rounds the exact binary value, as Python does.
    format!("{value:.15}").parse().unwrap_or(value)
}
