//! Random resized crops.

use swiftformer::image::{ImageError, RgbImage, Window, resize};

use super::affine::Sampling;
use crate::rng::Rng;

/// Which part of an image is cut out, before it is scaled to the model's size.
///
/// Source: torchvision's `RandomResizedCrop`, timm's `RandomResizedCropAndInterpolation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// Least and greatest share of the image's area.
    pub scale: [f64; 2],
    /// Least and greatest width divided by height.
    pub ratio: [f64; 2],
    /// How the part is scaled; drawn when `None`.
    pub sampling: Option<Sampling>,
}

impl Default for RandomResizedCrop {
    /// 0.08 to 1 of the area, 3:4 to 4:3, bicubic.
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0], sampling: Some(Sampling::Bicubic) }
    }
}

impl RandomResizedCrop {
    /// Draws a part of an image of `width` × `height` pixels; after ten parts that do not fit, the centre.
    pub fn window(&self, width: usize, height: usize, rng: &mut Rng) -> Window {
        let area = (width * height) as f64;
        let window = |left: usize, top: usize, wide: usize, high: usize| Window {
            columns: left..left + wide,
            rows: top..top + high,
        };
        let [narrowest, widest] = self.ratio;
        let side = |square: f64| square.sqrt().round_ties_even() as usize;
        for _ in 0..10 {
            let target = rng.range(self.scale[0], self.scale[1]) * area;
            let ratio = libm::exp(rng.range(libm::log(narrowest), libm::log(widest)));
            let (wide, high) = (side(target * ratio), side(target / ratio));
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let top = rng.inclusive(0, height - high);
                let left = rng.inclusive(0, width - wide);
                return window(left, top, wide, high);
            }
        }
        let ratio = width as f64 / height as f64;
        let (wide, high) = if ratio < narrowest {
            (width, ((width as f64 / narrowest).round_ties_even() as usize).clamp(1, height))
        } else if ratio > widest {
            (((height as f64 * widest).round_ties_even() as usize).clamp(1, width), height)
        } else {
            (width, height)
        };
        window((width - wide) / 2, (height - high) / 2, wide, high)
    }

    /// Draws a part of `image` and scales it to `width` × `height`.
    ///
    /// # Errors
    /// When the size asked for has a side of zero or beyond [`swiftformer::image::MAX_RESIZED_SIDE`].
    pub fn apply(&self, image: &RgbImage, [height, width]: [usize; 2], rng: &mut Rng) -> Result<RgbImage, ImageError> {
        let window = self.window(image.width(), image.height(), rng);
        let either = [Sampling::Bilinear, Sampling::Bicubic];
        let sampling = self.sampling.unwrap_or_else(|| *rng.choice(&either));
        resize(&cut(image, &window)?, width, height, sampling.into())
    }
}

/// The pixels of `window`.
///
/// # Errors
/// When the window is empty or reaches out of the image.
pub fn cut(image: &RgbImage, window: &Window) -> Result<RgbImage, ImageError> {
    let (columns, rows) = (&window.columns, &window.rows);
    if columns.is_empty() || rows.is_empty() || columns.end > image.width() || rows.end > image.height() {
        let (width, height) = (image.width(), image.height());
        return Err(ImageError::Window { window: window.clone(), width, height });
    }
    let bytes = columns.start * 3..columns.end * 3;
    let data = rows.clone().flat_map(|y| &image.row(y)[bytes.clone()]).copied().collect();
    RgbImage::new(columns.len(), rows.len(), data)
}
