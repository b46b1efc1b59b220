//! The operations and probabilities of the published policies.
//!
//! Source: AutoAugment (arXiv 1805.09501), TPU EfficientNet's `v0`, DeiT III's 3-Augment (arXiv 2204.07118), AugMix
//! (arXiv 1912.02781), in the forms of timm 1.0.31.

use super::Step;
use crate::augment::operation::Operation::{self, *};

/// Operations, with the weights of a choice without replacement where there are some.
type Set = &'static [(Operation, Option<f64>)];

/// A sub-policy: operation, probability, magnitude.
type Entry = &'static [(Operation, f64, f64)];

/// RandAugment's operations.
const DECREASING: Set = &[
    (AutoContrast, None),
    (Equalize, None),
    (Invert, None),
    (Rotate, None),
    (Posterize, None),
    (Solarize, None),
    (SolarizeAdd, None),
    (Color, None),
    (Contrast, None),
    (Brightness, None),
    (Sharpness, None),
    (ShearX, None),
    (ShearY, None),
    (TranslateXRel, None),
    (TranslateYRel, None),
];

/// RandAugment's operations of which each grows with the magnitude.
const INCREASING: Set = &[
    (AutoContrast, None),
    (Equalize, None),
    (Invert, None),
    (Rotate, None),
    (PosterizeIncreasing, None),
    (SolarizeIncreasing, None),
    (SolarizeAdd, None),
    (ColorIncreasing, None),
    (ContrastIncreasing, None),
    (BrightnessIncreasing, None),
    (SharpnessIncreasing, None),
    (ShearX, None),
    (ShearY, None),
    (TranslateXRel, None),
    (TranslateYRel, None),
];

/// 3-Augment's operations.
const THREE: Set = &[(SolarizeIncreasing, None), (Desaturate, None), (GaussianBlur, None)];

/// 3-Augment's operations first, the others seldom.
const THREE_WEIGHTED: Set = &[
    (SolarizeIncreasing, Some(6.0)),
    (Desaturate, Some(6.0)),
    (GaussianBlur, Some(6.0)),
    (Rotate, Some(3.0)),
    (ShearX, Some(2.0)),
    (ShearY, Some(2.0)),
    (PosterizeIncreasing, Some(1.0)),
    (AutoContrast, Some(1.0)),
    (ColorIncreasing, Some(1.0)),
    (SharpnessIncreasing, Some(1.0)),
    (ContrastIncreasing, Some(1.0)),
    (BrightnessIncreasing, Some(1.0)),
    (Equalize, Some(1.0)),
    (Invert, Some(1.0)),
];

/// timm's experimental weights.
const WEIGHTED: Set = &[
    (Rotate, Some(3.0)),
    (ShearX, Some(2.0)),
    (ShearY, Some(2.0)),
    (TranslateXRel, Some(1.0)),
    (TranslateYRel, Some(1.0)),
    (ColorIncreasing, Some(0.25)),
    (SharpnessIncreasing, Some(0.25)),
    (AutoContrast, Some(0.25)),
    (SolarizeIncreasing, Some(0.05)),
    (SolarizeAdd, Some(0.05)),
    (ContrastIncreasing, Some(0.05)),
    (BrightnessIncreasing, Some(0.05)),
    (Equalize, Some(0.05)),
    (PosterizeIncreasing, Some(0.05)),
    (Invert, Some(0.05)),
];

/// AugMix's operations.
pub(super) const AUGMIX: &[Operation] = &[
    AutoContrast,
    ColorIncreasing,
    ContrastIncreasing,
    BrightnessIncreasing,
    SharpnessIncreasing,
    Equalize,
    Rotate,
    PosterizeIncreasing,
    SolarizeIncreasing,
    ShearX,
    ShearY,
    TranslateXRel,
    TranslateYRel,
];

/// AutoAugment's policy for ImageNet.
const ORIGINAL: &[Entry] = &[
    &[(PosterizeOriginal, 0.4, 8.0), (Rotate, 0.6, 9.0)],
    &[(Solarize, 0.6, 5.0), (AutoContrast, 0.6, 5.0)],
    &[(Equalize, 0.8, 8.0), (Equalize, 0.6, 3.0)],
    &[(PosterizeOriginal, 0.6, 7.0), (PosterizeOriginal, 0.6, 6.0)],
    &[(Equalize, 0.4, 7.0), (Solarize, 0.2, 4.0)],
    &[(Equalize, 0.4, 4.0), (Rotate, 0.8, 8.0)],
    &[(Solarize, 0.6, 3.0), (Equalize, 0.6, 7.0)],
    &[(PosterizeOriginal, 0.8, 5.0), (Equalize, 1.0, 2.0)],
    &[(Rotate, 0.2, 3.0), (Solarize, 0.6, 8.0)],
    &[(Equalize, 0.6, 8.0), (PosterizeOriginal, 0.4, 6.0)],
    &[(Rotate, 0.8, 8.0), (Color, 0.4, 0.0)],
    &[(Rotate, 0.4, 9.0), (Equalize, 0.6, 2.0)],
    &[(Equalize, 0.0, 7.0), (Equalize, 0.8, 8.0)],
    &[(Invert, 0.6, 4.0), (Equalize, 1.0, 8.0)],
    &[(Color, 0.6, 4.0), (Contrast, 1.0, 8.0)],
    &[(Rotate, 0.8, 8.0), (Color, 1.0, 2.0)],
    &[(Color, 0.8, 8.0), (Solarize, 0.8, 7.0)],
    &[(Sharpness, 0.4, 7.0), (Invert, 0.6, 8.0)],
    &[(ShearX, 0.6, 5.0), (Equalize, 1.0, 9.0)],
    &[(Color, 0.4, 0.0), (Equalize, 0.6, 3.0)],
    &[(Equalize, 0.4, 7.0), (Solarize, 0.2, 4.0)],
    &[(Solarize, 0.6, 5.0), (AutoContrast, 0.6, 5.0)],
    &[(Invert, 0.6, 4.0), (Equalize, 1.0, 8.0)],
    &[(Color, 0.6, 4.0), (Contrast, 1.0, 8.0)],
    &[(Equalize, 0.8, 8.0), (Equalize, 0.6, 3.0)],
];

/// The policy of the TPU EfficientNet.
const V0: &[Entry] = &[
    &[(Equalize, 0.8, 1.0), (ShearY, 0.8, 4.0)],
    &[(Color, 0.4, 9.0), (Equalize, 0.6, 3.0)],
    &[(Color, 0.4, 1.0), (Rotate, 0.6, 8.0)],
    &[(Solarize, 0.8, 3.0), (Equalize, 0.4, 7.0)],
    &[(Solarize, 0.4, 2.0), (Solarize, 0.6, 2.0)],
    &[(Color, 0.2, 0.0), (Equalize, 0.8, 8.0)],
    &[(Equalize, 0.4, 8.0), (SolarizeAdd, 0.8, 3.0)],
    &[(ShearX, 0.2, 9.0), (Rotate, 0.6, 8.0)],
    &[(Color, 0.6, 1.0), (Equalize, 1.0, 2.0)],
    &[(Invert, 0.4, 9.0), (Rotate, 0.6, 0.0)],
    &[(Equalize, 1.0, 9.0), (ShearY, 0.6, 3.0)],
    &[(Color, 0.4, 7.0), (Equalize, 0.6, 0.0)],
    &[(Posterize, 0.4, 6.0), (AutoContrast, 0.4, 7.0)],
    &[(Solarize, 0.6, 8.0), (Color, 0.6, 9.0)],
    &[(Solarize, 0.2, 4.0), (Rotate, 0.8, 9.0)],
    &[(Rotate, 1.0, 7.0), (TranslateYRel, 0.8, 9.0)],
    &[(ShearX, 0.0, 0.0), (Solarize, 0.8, 4.0)],
    &[(ShearY, 0.8, 0.0), (Color, 0.6, 4.0)],
    &[(Color, 1.0, 0.0), (Rotate, 0.6, 2.0)],
    &[(Equalize, 0.8, 4.0), (Equalize, 0.0, 8.0)],
    &[(Equalize, 1.0, 4.0), (AutoContrast, 0.6, 2.0)],
    &[(ShearY, 0.4, 7.0), (SolarizeAdd, 0.6, 7.0)],
    &[(Posterize, 0.8, 2.0), (Solarize, 0.6, 10.0)],
    &[(Solarize, 0.6, 8.0), (Equalize, 0.6, 1.0)],
    &[(Color, 0.8, 6.0), (Rotate, 0.4, 5.0)],
];

/// 3-Augment as a policy.
const THREE_POLICY: &[Entry] = &[&[(Solarize, 1.0, 5.0)], &[(Desaturate, 1.0, 10.0)], &[(GaussianBlurRand, 1.0, 10.0)]];

/// The set that RandAugment's key `t` calls `name`.
pub(super) fn set(name: &str) -> Option<Set> {
    match name {
        "weights" => Some(WEIGHTED),
        "3a" => Some(THREE),
        "3aw" => Some(THREE_WEIGHTED),
        _ => None,
    }
}

/// The set without that key.
pub(super) fn default_set(increasing: bool) -> Set {
    if increasing { INCREASING } else { DECREASING }
}

/// AutoAugment's sub-policies; those ending in `r` drop more bits with the magnitude.
pub(super) fn policies(name: &str) -> Option<Vec<Vec<Step>>> {
    let (entries, increasing) = match name {
        "original" => (ORIGINAL, false),
        "originalr" => (ORIGINAL, true),
        "v0" => (V0, false),
        "v0r" => (V0, true),
        "3a" => (THREE_POLICY, false),
        _ => return None,
    };
    let step = |&(operation, probability, magnitude): &(Operation, f64, f64)| {
        let operation = match operation {
            Posterize | PosterizeOriginal if increasing => PosterizeIncreasing,
            other => other,
        };
        Step { operation, probability, magnitude }
    };
    Some(entries.iter().map(|entry| entry.iter().map(step).collect()).collect())
}
