//! The operations that policies draw from, and what a magnitude means for each.

use swiftformer::image::RgbImage;

use super::{affine, blur, pillow};
use crate::{
    augment::affine::{Canvas, Sampling},
    rng::Rng,
};

/// The magnitude at which operations act in full.
pub const FULL_MAGNITUDE: f64 = 10.0;

/// What policies share beside the magnitudes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Colour of uncovered pixels; timm takes the mean of the data set, in bytes.
    pub fill: [u8; 3],
    /// How pixels are read; one of the two is drawn for each operation when `None`.
    pub sampling: Option<Sampling>,
    /// The widest relative shift, as a share of the side.
    pub translate_share: f64,
    /// The widest absolute shift in pixels.
    pub translate_pixels: f64,
}

impl Default for Setting {
    /// timm's: gray 128, either sampling, 0.45 of the side, 250 pixels.
    fn default() -> Self {
        Self { fill: [128; 3], sampling: None, translate_share: 0.45, translate_pixels: 250.0 }
    }
}

impl Setting {
    fn canvas(&self, rng: &mut Rng) -> Canvas {
        let either = [Sampling::Bilinear, Sampling::Bicubic];
        Canvas { fill: self.fill, sampling: self.sampling.unwrap_or_else(|| *rng.choice(&either)) }
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// An operation of timm's policies, under timm's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// timm's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    /// Stretches each channel to the full range.
    AutoContrast,
    /// Makes the values of each channel equally frequent.
    Equalize,
    /// Inverts.
    Invert,
    /// Turns by up to 30 degrees.
    Rotate,
    /// Keeps 0 to 4 bits, more with the magnitude.
    Posterize,
    /// Keeps 4 to 0 bits, fewer with the magnitude.
    PosterizeIncreasing,
    /// Keeps 4 to 8 bits, more with the magnitude.
    PosterizeOriginal,
    /// Inverts bytes from 0 to 256 on, fewer with the magnitude.
    Solarize,
    /// Inverts bytes from 256 to 0 on, more with the magnitude.
    SolarizeIncreasing,
    /// Adds up to 110 to dark bytes.
    SolarizeAdd,
    /// Saturation by 0.1 to 1.9.
    Color,
    /// Saturation by 1 − 0.9 to 1 + 0.9, further from 1 with the magnitude.
    ColorIncreasing,
    /// Contrast by 0.1 to 1.9.
    Contrast,
    /// Contrast by 1 − 0.9 to 1 + 0.9, further from 1 with the magnitude.
    ContrastIncreasing,
    /// Brightness by 0.1 to 1.9.
    Brightness,
    /// Brightness by 1 − 0.9 to 1 + 0.9, further from 1 with the magnitude.
    BrightnessIncreasing,
    /// Sharpness by 0.1 to 1.9.
    Sharpness,
    /// Sharpness by 1 − 0.9 to 1 + 0.9, further from 1 with the magnitude.
    SharpnessIncreasing,
    /// Shears along x by up to 0.3.
    ShearX,
    /// Shears along y by up to 0.3.
    ShearY,
    /// Shifts along x by up to [`Setting::translate_pixels`].
    TranslateX,
    /// Shifts along y by up to [`Setting::translate_pixels`].
    TranslateY,
    /// Shifts along x by up to [`Setting::translate_share`].
    TranslateXRel,
    /// Shifts along y by up to [`Setting::translate_share`].
    TranslateYRel,
    /// Takes away half to all of the colour.
    Desaturate,
    /// Blurs by 0.1 to 2 pixels.
    GaussianBlur,
    /// Blurs by 0.1 to twice the magnitude's share, drawn.
    GaussianBlurRand,
}

impl Operation {
    /// The operation that timm calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operation| operation.name() == name)
    }

    /// What `magnitude` (0..=10, more where a policy allows it) means: degrees, a factor, bits, a threshold, a shift or a
    /// radius. With `negative` the other of two directions, for operations that have two. `None` without an argument.
    pub fn argument(self, magnitude: f64, negative: bool, setting: &Setting) -> Option<f64> {
        let share = magnitude / FULL_MAGNITUDE;
        let signed = |value: f64| Some(if negative { -value } else { value });
        // Python's int() cuts off.
        let whole = |value: f64| (share * value).trunc();
        let between = |low: f64, high: f64| (low + (high - low) * share).clamp(low, high);
        match self {
            Self::AutoContrast | Self::Equalize | Self::Invert => None,
            Self::Rotate => signed(share * 30.0),
            Self::Posterize => Some(whole(4.0)),
            Self::PosterizeIncreasing => Some(4.0 - whole(4.0)),
            Self::PosterizeOriginal => Some(whole(4.0) + 4.0),
            Self::Solarize => Some(whole(256.0).min(256.0)),
            Self::SolarizeIncreasing => Some(256.0 - whole(256.0).min(256.0)),
            Self::SolarizeAdd => Some(whole(110.0).min(128.0)),
            Self::Color | Self::Contrast | Self::Brightness | Self::Sharpness => Some(share * 1.8 + 0.1),
            Self::ColorIncreasing
            | Self::ContrastIncreasing
            | Self::BrightnessIncreasing
            | Self::SharpnessIncreasing => {
                let change = share * 0.9;
                Some((1.0 + if negative { -change } else { change }).max(0.1))
            }
            Self::ShearX | Self::ShearY => signed(share * 0.3),
            Self::TranslateX | Self::TranslateY => signed(share * setting.translate_pixels),
            Self::TranslateXRel | Self::TranslateYRel => signed(share * setting.translate_share),
            Self::Desaturate => Some(between(0.5, 1.0)),
            Self::GaussianBlur => Some(between(0.1, 2.0)),
            Self::GaussianBlurRand => Some(between(0.0, 1.0)),
        }
    }

    /// Applies the operation with what [`Self::argument`] gave (0 stands in where there is none).
    pub fn apply(self, image: &mut RgbImage, argument: Option<f64>, setting: &Setting, rng: &mut Rng) {
        let value = argument.unwrap_or(0.0);
        match self {
            Self::AutoContrast => pillow::auto_contrast(image),
            Self::Equalize => pillow::equalize(image),
            Self::Invert => pillow::invert(image),
            Self::Rotate => *image = affine::rotate(image, value, setting.canvas(rng)),
            // Bits below 0, which magnitudes above 10 give, keep nothing.
            Self::Posterize | Self::PosterizeIncreasing | Self::PosterizeOriginal => {
                pillow::posterize(image, value as u32);
            }
            Self::Solarize | Self::SolarizeIncreasing => pillow::solarize(image, value as u32),
            Self::SolarizeAdd => pillow::solarize_add(image, value as u8),
            Self::Color | Self::ColorIncreasing => pillow::color(image, value),
            Self::Contrast | Self::ContrastIncreasing => pillow::contrast(image, value),
            Self::Brightness | Self::BrightnessIncreasing => pillow::brightness(image, value),
            Self::Sharpness | Self::SharpnessIncreasing => pillow::sharpness(image, value),
            Self::ShearX => *image = affine::shear_x(image, value, setting.canvas(rng)),
            Self::ShearY => *image = affine::shear_y(image, value, setting.canvas(rng)),
            Self::TranslateX => *image = affine::translate_x(image, value, setting.canvas(rng)),
            Self::TranslateY => *image = affine::translate_y(image, value, setting.canvas(rng)),
            Self::TranslateXRel => {
                let pixels = value * image.width() as f64;
                *image = affine::translate_x(image, pixels, setting.canvas(rng));
            }
            Self::TranslateYRel => {
                let pixels = value * image.height() as f64;
                *image = affine::translate_y(image, pixels, setting.canvas(rng));
            }
            Self::Desaturate => pillow::color(image, (1.0 - value).clamp(0.0, 1.0)),
            Self::GaussianBlur => blur::gaussian_blur(image, value),
            Self::GaussianBlurRand => blur::gaussian_blur(image, rng.range(0.1, 2.0 * value)),
        }
    }
}
