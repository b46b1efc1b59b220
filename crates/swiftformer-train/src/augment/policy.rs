//! Policies in timm's words: `rand-m9-mstd0.5-inc1`, `original-mstd0.5`, `3a`, `augmix-m5-w4`.

mod tables;

use std::{fmt, str::FromStr};

use swiftformer::image::RgbImage;

use super::{
    operation::{FULL_MAGNITUDE, Operation, Setting},
    pillow,
};
use crate::rng::Rng;

/// A policy's text that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The first section names no policy.
    #[error("`{text}` is no augmentation policy: it begins with rand, augmix, original, originalr, v0, v0r or 3a")]
    Name {
        /// The text.
        text: String,
    },
    /// A section has no key of this policy.
    #[error("`{section}` in the policy `{text}`: the keys are {known}")]
    Section {
        /// The section.
        section: String,
        /// The whole text.
        text: String,
        /// The keys there are.
        known: &'static str,
    },
    /// The value behind a key cannot be used.
    #[error("`{section}` in the policy `{text}`: {expected}")]
    Value {
        /// The section.
        section: String,
        /// The whole text.
        text: String,
        /// What is expected.
        expected: String,
    },
}

/// One operation as part of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// How likely.
    pub probability: f64,
    /// How strongly, 0..=10.
    pub magnitude: f64,
}

/// Noise of magnitudes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation; infinite for uniform between 0 and the magnitude.
    pub std: f64,
    /// The greatest magnitude.
    pub max: f64,
}

impl Noise {
    const NONE: Self = Self { std: 0.0, max: FULL_MAGNITUDE };

    fn magnitude(self, mean: f64, rng: &mut Rng) -> f64 {
        let magnitude = match self.std {
            std if std == f64::INFINITY => rng.range(0.0, mean),
            std if std > 0.0 => mean + std * rng.normal(),
            _ => mean,
        };
        magnitude.clamp(0.0, self.max)
    }
}

impl Step {
    fn apply(&self, image: &mut RgbImage, noise: Noise, setting: &Setting, rng: &mut Rng) {
        if !rng.chance(self.probability) {
            return;
        }
        let magnitude = noise.magnitude(self.magnitude, rng);
        let argument = self.operation.argument(magnitude, rng.chance(0.5), setting);
        self.operation.apply(image, argument, setting, rng);
    }
}

/// How a policy picks operations.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// RandAugment: `layers` of the steps, with replacement, or without and by `weights`.
    Rand { steps: Vec<Step>, layers: usize, weights: Option<Vec<f64>> },
    /// AutoAugment: all steps of one sub-policy.
    Auto { policies: Vec<Vec<Step>> },
    /// AugMix: `width` chains of `depth` steps (1 to 3, drawn, when `None`), blended with the image.
    Mix { steps: Vec<Step>, width: usize, depth: Option<usize>, alpha: f64 },
}

/// An augmentation policy; [`str::parse`] reads timm's notation.
///
/// | text | meaning |
/// |---|---|
/// | `rand-mM-nN-pP-mstdS-mmaxX-incB-tT` | RandAugment: magnitude M (10), N operations an image (2), each with probability P (0.5), noise of standard deviation S (0; uniform above 100), greatest magnitude X (10), B = 1 for operations that grow with the magnitude, T one of `weights`, `3a`, `3aw` for other sets of operations |
/// | `original`, `originalr`, `v0`, `v0r`, `3a`, with `-mstdS` | AutoAugment's published policies |
/// | `augmix-mM-wW-dD-aA-mstdS` | AugMix: magnitude M (3), W chains (3) of D operations (1 to 3), Dirichlet's and Beta's A (1) |
///
/// Source: timm 1.0.31 `auto_augment.py`. timm passes over sections without a number in silence; here they are errors.
/// AugMix's `b1` (blending in place) is not offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    kind: Kind,
    noise: Noise,
    text: String,
}

/// A section split into key and value, with the errors that quote it.
struct Section<'a> {
    text: &'a str,
    section: &'a str,
    key: &'a str,
    value: &'a str,
}

impl<'a> Section<'a> {
    fn all(text: &'a str) -> impl Iterator<Item = Self> {
        text.split('-').skip(1).map(move |section| {
            let number = section.find(|character: char| character.is_ascii_digit());
            // `mstdinf` is the one number without a digit.
            let at = number.or(section.find("inf").filter(|&at| at > 0)).unwrap_or(section.len());
            let (key, value) = section.split_at(at);
            Self { text, section, key, value }
        })
    }

    fn wrong(&self, expected: impl Into<String>) -> PolicyError {
        PolicyError::Value { section: self.section.into(), text: self.text.into(), expected: expected.into() }
    }

    fn unknown(&self, known: &'static str) -> PolicyError {
        PolicyError::Section { section: self.section.into(), text: self.text.into(), known }
    }

    fn whole(&self) -> Result<usize, PolicyError> {
        // Beyond this a policy is a typing error that would only take time.
        match self.value.parse() {
            Ok(value) if value <= 1000 => Ok(value),
            _ => Err(self.wrong("expected a whole number up to 1000")),
        }
    }

    fn real(&self) -> Result<f64, PolicyError> {
        match self.value.parse::<f64>() {
            Ok(value) if !value.is_nan() => Ok(value),
            _ => Err(self.wrong("expected a number")),
        }
    }

    fn std(&self) -> Result<f64, PolicyError> {
        Ok(match self.real()? {
            std if std > 100.0 => f64::INFINITY,
            std => std,
        })
    }

    fn probability(&self) -> Result<f64, PolicyError> {
        match self.real()? {
            probability if (0.0..=1.0).contains(&probability) => Ok(probability),
            _ => Err(self.wrong("expected a probability, 0 to 1")),
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (kind, noise) = match text.split('-').next().unwrap_or_default() {
            "rand" => rand(text)?,
            "augmix" => augmix(text)?,
            name => {
                let policies = tables::policies(name).ok_or_else(|| PolicyError::Name { text: text.to_owned() })?;
                let mut noise = Noise::NONE;
                for section in Section::all(text) {
                    match section.key {
                        "mstd" => noise.std = section.std()?,
                        _ => return Err(section.unknown("mstd")),
                    }
                }
                (Kind::Auto { policies }, noise)
            }
        };
        Ok(Self { kind, noise, text: text.to_owned() })
    }
}

fn rand(text: &str) -> Result<(Kind, Noise), PolicyError> {
    let (mut magnitude, mut layers, mut probability) = (FULL_MAGNITUDE, 2, 0.5);
    let (mut increasing, mut noise, mut set) = (false, Noise::NONE, None);
    for section in Section::all(text) {
        match section.key {
            "m" => magnitude = section.whole()? as f64,
            "n" => layers = section.whole()?,
            "p" => probability = section.probability()?,
            "mstd" => noise.std = section.std()?,
            "mmax" => noise.max = section.whole()? as f64,
            "inc" => increasing = section.whole()? != 0,
            _ if section.section.starts_with('t') => {
                let name = &section.section[1..];
                set = Some(tables::set(name).ok_or_else(|| section.wrong("the sets are weights, 3a and 3aw"))?);
            }
            _ => return Err(section.unknown("m, n, p, mstd, mmax, inc and t")),
        }
    }
    let set = set.unwrap_or_else(|| tables::default_set(increasing));
    let steps: Vec<Step> = set.iter().map(|&(operation, _)| Step { operation, probability, magnitude }).collect();
    let weights: Option<Vec<f64>> = set.iter().map(|&(_, weight)| weight).collect();
    if weights.is_some() && layers > steps.len() {
        let expected = format!("there are {} operations to choose from without replacement", steps.len());
        return Err(PolicyError::Value { section: format!("n{layers}"), text: text.into(), expected });
    }
    Ok((Kind::Rand { steps, layers, weights }, noise))
}

fn augmix(text: &str) -> Result<(Kind, Noise), PolicyError> {
    let (mut magnitude, mut width, mut depth, mut alpha) = (3.0, 3, None, 1.0);
    let mut noise = Noise { std: f64::INFINITY, ..Noise::NONE };
    for section in Section::all(text) {
        match section.key {
            "m" => magnitude = section.whole()? as f64,
            "w" => width = section.whole()?.max(1),
            "d" => depth = Some(section.whole()?).filter(|&depth| depth > 0),
            "a" if section.real()? > 0.0 => alpha = section.real()?,
            "a" => return Err(section.wrong("expected a number above 0")),
            "mstd" => noise.std = section.std()?,
            _ => return Err(section.unknown("m, w, d, a and mstd")),
        }
    }
    let step = |&operation: &Operation| Step { operation, probability: 1.0, magnitude };
    Ok((Kind::Mix { steps: tables::AUGMIX.iter().map(step).collect(), width, depth, alpha }, noise))
}

impl Policy {
    /// Changes `image` by operations drawn from `rng`.
    pub fn apply(&self, image: &mut RgbImage, setting: &Setting, rng: &mut Rng) {
        let noise = self.noise;
        match &self.kind {
            Kind::Rand { steps, layers, weights: None } => {
                for _ in 0..*layers {
                    rng.choice(steps).apply(image, noise, setting, rng);
                }
            }
            Kind::Rand { steps, layers, weights: Some(weights) } => {
                let mut weights = weights.clone();
                for _ in 0..*layers {
                    let chosen = rng.weighted(&weights);
                    weights[chosen] = 0.0;
                    steps[chosen].apply(image, noise, setting, rng);
                }
            }
            Kind::Auto { policies } => {
                for step in rng.choice(policies) {
                    step.apply(image, noise, setting, rng);
                }
            }
            Kind::Mix { steps, width, depth, alpha } => {
                // Normalised gamma draws are Dirichlet's; Beta with a second parameter of all others' sum is its margin.
                let mut rest = 1.0;
                let mut mixed = vec![0.0f32; image.data().len()];
                for chain in 0..*width {
                    let others = (*width - chain - 1) as f64 * alpha;
                    let weight = if others > 0.0 { rest * rng.beta(*alpha, others) } else { rest };
                    rest -= weight;
                    let mut branch = image.clone();
                    for _ in 0..depth.unwrap_or_else(|| rng.inclusive(1, 3)) {
                        rng.choice(steps).apply(&mut branch, noise, setting, rng);
                    }
                    for (sum, &byte) in mixed.iter_mut().zip(branch.data()) {
                        *sum += weight as f32 * f32::from(byte);
                    }
                }
                let share = rng.beta(*alpha, *alpha) as f32;
                for (byte, &mixed) in image.data_mut().iter_mut().zip(&mixed) {
                    *byte = pillow::blend(*byte, mixed as u8, share);
                }
            }
        }
    }

    /// The steps there are to draw from, all sub-policies one after the other.
    pub fn steps(&self) -> Vec<Step> {
        match &self.kind {
            Kind::Rand { steps, .. } | Kind::Mix { steps, .. } => steps.clone(),
            Kind::Auto { policies } => policies.concat(),
        }
    }

    /// How magnitudes vary.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Whether colour jitter goes with this policy; timm leaves it out with all but those of `3a`.
    pub fn keeps_color_jitter(&self) -> bool {
        self.text.contains("3a")
    }
}

impl fmt::Display for Policy {
    /// The text that it was read from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
