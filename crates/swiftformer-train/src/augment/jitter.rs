//! Random changes of brightness, contrast, saturation and hue.

use swiftformer::image::RgbImage;

use super::{hue, pillow};
use crate::rng::Rng;

/// torchvision's `ColorJitter`: each change by a factor of 1 ± its value (hue: a shift of ± its value), in random order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// Brightness changes by 1 ± this.
    pub brightness: f64,
    /// Contrast changes by 1 ± this.
    pub contrast: f64,
    /// Saturation changes by 1 ± this.
    pub saturation: f64,
    /// The hue turns by up to this share of the circle, 0..=0.5.
    pub hue: f64,
}

impl ColorJitter {
    /// The same for brightness, contrast and saturation, no hue: what timm makes of one number.
    pub fn new(amount: f64) -> Self {
        Self { brightness: amount, contrast: amount, saturation: amount, hue: 0.0 }
    }

    /// Changes `image` by amounts and in an order drawn from `rng`.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut Rng) {
        let mut order = [0, 1, 2, 3];
        rng.shuffle(&mut order);
        let mut factor = |amount: f64| (amount > 0.0).then(|| rng.range((1.0 - amount).max(0.0), 1.0 + amount));
        let [brightness, contrast, saturation] = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let turn = self.hue.min(0.5);
        let turn = (turn > 0.0).then(|| rng.range(-turn, turn));
        for change in order {
            match (change, brightness, contrast, saturation, turn) {
                (0, Some(factor), ..) => pillow::brightness(image, factor),
                (1, _, Some(factor), ..) => pillow::contrast(image, factor),
                (2, _, _, Some(factor), _) => pillow::color(image, factor),
                (3, .., Some(turn)) => hue::adjust_hue(image, turn),
                _ => {}
            }
        }
    }
}
