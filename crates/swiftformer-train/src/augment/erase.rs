//! Random erasing of rectangles.

use std::str::FromStr;

use swiftformer::image::Window;

use crate::rng::Rng;

/// What takes the place of an erased rectangle, in normalised values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseMode {
    /// Zeros: the mean colour.
    Const,
    /// One normal number a channel.
    Rand,
    /// A normal number for each value.
    Pixel,
}

impl FromStr for EraseMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "const" => Ok(Self::Const),
            "rand" => Ok(Self::Rand),
            "pixel" => Ok(Self::Pixel),
            _ => Err(format!("`{name}` is no way to erase: const, rand or pixel")),
        }
    }
}

/// Erases rectangles of normalised images (arXiv 1708.04896), as timm's `RandomErasing`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomErasing {
    /// How likely an image is changed.
    pub probability: f64,
    /// What is put in.
    pub mode: EraseMode,
    /// Least and greatest share of the image's area.
    pub area: [f64; 2],
    /// Least and greatest height divided by width.
    pub aspect: [f64; 2],
    /// Least and greatest number of rectangles; each has its share of the area.
    pub count: [usize; 2],
}

impl RandomErasing {
    /// timm's defaults: one rectangle of 0.02 to 1/3 of the area, 0.3 to 1/0.3 as high as wide.
    pub fn new(probability: f64, mode: EraseMode) -> Self {
        Self { probability, mode, area: [0.02, 1.0 / 3.0], aspect: [0.3, 1.0 / 0.3], count: [1, 1] }
    }

    /// Draws a rectangle, of `count` in all, in an image of `width` × `height`; `None` after ten that do not fit.
    fn window(&self, width: usize, height: usize, count: usize, rng: &mut Rng) -> Option<Window> {
        let area = (width * height) as f64;
        for _ in 0..10 {
            let target = rng.range(self.area[0], self.area[1]) * area / count as f64;
            let aspect = libm::exp(rng.range(libm::log(self.aspect[0]), libm::log(self.aspect[1])));
            let high = (target * aspect).sqrt().round_ties_even() as usize;
            let wide = (target / aspect).sqrt().round_ties_even() as usize;
            if wide < width && high < height {
                let top = rng.inclusive(0, height - high);
                let left = rng.inclusive(0, width - wide);
                return Some(Window { columns: left..left + wide, rows: top..top + high });
            }
        }
        None
    }

    /// Puts noise into `window` of `values` `[channels, height, width]`, `width` values a row.
    pub fn erase(&self, values: &mut [f32], size: [usize; 2], window: &Window, rng: &mut Rng) {
        match self.mode {
            EraseMode::Const => paste(values, size, window, |_| 0.0),
            EraseMode::Pixel => paste(values, size, window, |_| rng.normal() as f32),
            EraseMode::Rand => {
                let channels = values.len() / (size[0] * size[1]).max(1);
                let colours: Vec<f32> = (0..channels).map(|_| rng.normal() as f32).collect();
                paste(values, size, window, |channel| colours[channel]);
            }
        }
    }

    /// Erases rectangles drawn from `rng` in `values` `[channels, height, width]`.
    pub fn apply(&self, values: &mut [f32], [height, width]: [usize; 2], rng: &mut Rng) {
        if !rng.chance(self.probability) {
            return;
        }
        let count = rng.inclusive(self.count[0], self.count[1]).max(1);
        for _ in 0..count {
            if let Some(window) = self.window(width, height, count, rng) {
                self.erase(values, [height, width], &window, rng);
            }
        }
    }
}

/// Puts what `value` gives for a channel, again and again, into `window` of `values` `[channels, height, width]`: channel by
/// channel, row by row.
pub fn paste(values: &mut [f32], [height, width]: [usize; 2], window: &Window, mut value: impl FnMut(usize) -> f32) {
    for (channel, plane) in values.chunks_exact_mut(height * width).enumerate() {
        for row in plane.chunks_exact_mut(width).skip(window.rows.start).take(window.rows.len()) {
            row[window.columns.clone()].iter_mut().for_each(|place| *place = value(channel));
        }
    }
}
