//! The resampling filters of Pillow.

/// Resampling filters with Pillow's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The nearest pixel; the only filter without antialiasing. Pillow's 0.
    Nearest,
    /// Sinc windowed by a sinc over 3 pixels a side. Pillow's 1.
    Lanczos,
    /// A triangle over 1 pixel a side. Pillow's 2.
    Bilinear,
    /// Keys's cubic with a = -0.5 over 2 pixels a side. Pillow's 3.
    Bicubic,
    /// The mean of the covered pixels. Pillow's 4.
    Box,
    /// Sinc windowed by Hamming's window over 1 pixel a side. Pillow's 5.
    Hamming,
}

impl Filter {
    /// Every filter, in the order of Pillow's numbers.
    pub const ALL: [Self; 6] = [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming];

    /// Pillow's number, as `resample` of a `preprocessor_config.json`.
    pub fn pillow_number(self) -> u64 {
        self as u64
    }

    /// The filter with Pillow's number `number`.
    pub fn from_pillow_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The lower-case name that timm uses.
    pub fn name(self) -> &'static str {
        ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"][self as usize]
    }

    /// The filter with timm's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }

    /// Half the width of the filter at scale 1, in source pixels.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at distance `x` from the centre.
    pub(super) fn weight(self, x: f64) -> f64 {
        use std::f64::consts::PI;
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        match self {
            Self::Nearest => 1.0,
            Self::Box => f64::from(x > -0.5 && x <= 0.5),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Hamming => match x.abs() {
                0.0 => 1.0,
                x if x >= 1.0 => 0.0,
                x => (x * PI).sin() / (x * PI) * (0.54 + 0.46 * (x * PI).cos()),
            },
            Self::Bicubic => {
                const A: f64 = -0.5;
                match x.abs() {
                    x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
                    x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
                    _ => 0.0,
                }
            }
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}
