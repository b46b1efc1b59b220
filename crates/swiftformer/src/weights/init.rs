//! Fresh weights, as the references initialise them.
//!
//! Convolutions and linear layers: normal with σ 0.02 (PyTorch's `trunc_normal_` cuts it at ±2, a hundred σ, where no
//! value ever lies); biases 0; BatchNorm 1, 0, 0, 1; `w_g` standard normal; conv blocks' layer scales 1;
//! `layer_scale_1/2` the config's value.

use crate::{
    arch::{Arch, Module, Param, ParamKind, Part},
    config::Activation,
    tensor::RawTensor,
};

use super::{
    names::{Layout, Names},
    state::StateDict,
};

/// Standard deviation of fresh weights.
const SIGMA: f64 = 0.02;

impl StateDict {
    /// Fresh weights from a seed. A tensor's values depend on the seed, its name and its shape alone.
    pub fn initialised(arch: &Arch, seed: u64) -> Self {
        let names = Names::new(arch, Layout::HuggingFace);
        Self::from_fn(arch, |param| {
            let mut random = Random::new(seed, names.name(param).unwrap_or_default().as_bytes());
            fresh(arch, param, &mut random)
        })
    }
}

fn fresh(arch: &Arch, param: &Param, random: &mut Random) -> RawTensor {
    let count = param.len();
    let values = match param.kind {
        ParamKind::ConvWeight | ParamKind::DepthwiseWeight | ParamKind::LinearWeight => random.normals(count, SIGMA),
        ParamKind::TokenWeights => random.normals(count, 1.0),
        ParamKind::Bias | ParamKind::NormBias | ParamKind::RunningMean => vec![0.0; count],
        ParamKind::NormWeight | ParamKind::RunningVar => vec![1.0; count],
        ParamKind::NumBatchesTracked => return RawTensor::from_i64_scalar(0),
        ParamKind::LayerScale => {
            let learnt = matches!(param.module, Module::Block { part: Part::LayerScale1 | Part::LayerScale2, .. });
            vec![if learnt { arch.config.layer_scale_init_value as f32 } else { 1.0 }; count]
        }
        ParamKind::ActivationValue => vec![activation_value(param); count],
    };
    RawTensor::from_f32(param.shape.clone(), &values).unwrap_or_else(|error| panic!("{error}"))
}

/// Initial values of learnt activations: PyTorch's PReLU, transformers' xIELU.
fn activation_value(param: &Param) -> f32 {
    let crate::arch::Leaf::Activation(name) = param.leaf else { return 0.0 };
    debug_assert!(
        [Activation::Prelu, Activation::Xielu].iter().any(|act| act.parameters().iter().any(|&(n, _)| n == name))
    );
    let inverse_softplus = |value: f64| value.exp_m1().ln() as f32;
    match name {
        "weight" => 0.25,
        "alpha_p" => inverse_softplus(0.8),
        "alpha_n" => inverse_softplus(0.8 - 0.5),
        "beta" => 0.5,
        _ => -1e-6,
    }
}

/// SplitMix64: tiny, and the same on every platform and in every release.
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each `(seed, name)`; FNV-1a mixes the name in.
    pub(crate) fn new(seed: u64, name: &[u8]) -> Self {
        let hash = name
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let mut random = Self(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1].
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// `count` values of a normal distribution, by Box and Muller.
    pub(crate) fn normals(&mut self, count: usize, sigma: f64) -> Vec<f32> {
        let mut values = vec![0.0; count];
        for values in values.chunks_mut(BLOCK) {
            // Drawn one after the other; what is made of them needs no order, and goes side by side.
            let (mut radii, mut turns) = ([1.0; BLOCK], [1.0; BLOCK]);
            for (radius, turn) in radii.iter_mut().zip(&mut turns).take(values.len()) {
                *radius = self.uniform();
                *turn = self.uniform();
            }
            radii.iter_mut().for_each(|radius| *radius = -2.0 * ln(*radius));
            radii.iter_mut().for_each(|radius| *radius = sigma * radius.sqrt());
            turns.iter_mut().for_each(|turn| *turn = cos_turns(*turn));
            let pairs = radii.iter().zip(&turns);
            values.iter_mut().zip(pairs).for_each(|(value, (radius, cosine))| *value = (radius * cosine) as f32);
        }
        values
    }
}

/// Values that are computed side by side.
const BLOCK: usize = 64;

/// Adding it to a number of at most 2⁵¹ rounds the number to a whole one, and leaves that in the last bits.
const ROUND: f64 = (3_u64 << 51) as f64;

/// The natural logarithm of a normal positive number, to about 1e-15; only arithmetic, so the same on every platform.
fn ln(x: f64) -> f64 {
    // x = 2^e · m with m from √½ to √2, and ln m = 2 artanh((m - 1) / (m + 1)).
    const SQRT_HALF: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let bits = x.to_bits() + (1.0_f64.to_bits() - SQRT_HALF);
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) + SQRT_HALF);
    let exponent = f64::from_bits((bits >> 52) | ROUND.to_bits()) - ROUND - 1023.0;
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    exponent * std::f64::consts::LN_2 + 2.0 * ratio * polynomial(square, ODD_RECIPROCALS)
}

/// cos(2π · x) for x from 0 to 1, to about 1e-16; only arithmetic.
fn cos_turns(x: f64) -> f64 {
    let rounded = 4.0 * x + ROUND;
    let quarters = rounded.to_bits();
    let angle = std::f64::consts::TAU * (x - 0.25 * (rounded - ROUND));
    let square = angle * angle;
    // Taylor's series up to 45°.
    let cosine = polynomial(square, COSINE);
    let sine = angle * polynomial(square, SINE);
    let value = if quarters & 1 == 0 { cosine } else { sine };
    // Quarters 1 and 2 are negative.
    f64::from_bits(value.to_bits() ^ ((quarters + 1) & 2) << 62)
}

/// 1/21, 1/19, … 1.
const ODD_RECIPROCALS: [f64; 11] = {
    let mut reciprocals = [0.0; 11];
    let mut index = 0;
    while index < 11 {
        reciprocals[index] = 1.0 / (21 - 2 * index) as f64;
        index += 1;
    }
    reciprocals
};
const COSINE: [f64; 9] = taylor(0);
const SINE: [f64; 9] = taylor(1);

/// Coefficients of cosine (0) or sine (1), of the highest power first: (-1)^i / (2i + first)!
const fn taylor(first: u64) -> [f64; 9] {
    let mut coefficients = [0.0; 9];
    let (mut factorial, mut index) = (1.0, 0);
    while index < 9 {
        coefficients[8 - index as usize] = if index % 2 == 0 { 1.0 } else { -1.0 } / factorial;
        let last = 2 * index + first;
        factorial *= ((last + 1) * (last + 2)) as f64;
        index += 1;
    }
    coefficients
}

/// Horner's scheme, the highest power's coefficient first.
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use crate::{
        arch::{Arch, Leaf, Module, Part, TailKind},
        config::Variant,
        weights::state::StateDict,
    };

    #[test]
    fn fresh_weights_have_the_references_distributions() {
        let arch = Arch::build(&Variant::Xs.config(), TailKind::Classifier).unwrap();
        let state = StateDict::initialised(&arch, 7);
        let head = state.values(Module::Head, Leaf::Weight);
        let mean = head.iter().sum::<f32>() / head.len() as f32;
        let deviation = (head.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / head.len() as f32).sqrt();
        // 220 000 draws: the standard error of both is under 5e-5.
        assert!(mean.abs() < 3e-4 && (deviation - 0.02).abs() < 3e-4, "{mean} {deviation}");
        assert!(state.values(Module::Head, Leaf::Bias).iter().all(|&v| v == 0.0));
        let scale = |part| state.values(Module::Block { stage: 1, block: 2, part }, Leaf::Value);
        assert!(scale(Part::LayerScale1).iter().all(|&v| v == 1e-5));
        assert!(scale(Part::LocalLayerScale).iter().all(|&v| v == 1.0));
    }

    #[test]
    fn logarithm_and_cosine_are_the_standard_librarys() {
        let mut random = super::Random::new(0, b"functions");
        let edges = [1.0, 1.0 - f64::EPSILON, 0.5, 0.25, 0.125, 0.375, 0.625, 0.75, 0.875, 2f64.powi(-53)];
        for x in edges.into_iter().chain((0..100_000).map(|_| random.uniform())) {
            let (found, expected) = (super::ln(x), x.ln());
            assert!((found - expected).abs() <= 1e-15 * expected.abs().max(0.1), "ln {x}: {found} {expected}");
            // The standard library's angle is rounded; its error grows with the angle.
            let (found, expected) = (super::cos_turns(x), (std::f64::consts::TAU * x).cos());
            assert!((found - expected).abs() < 2e-15, "cos {x}: {found} {expected}");
        }
    }

    /// The first values of a tensor, so that no release gives others for the same seed.
    #[test]
    fn fresh_values_stay_the_same_in_every_release() {
        let mut random = super::Random::new(0, b"head.weight");
        assert_eq!(random.normals(3, 1.0), [-0.70244646, 0.024753358, 1.8289756]);
    }

    #[test]
    fn a_seed_gives_the_same_weights_and_another_seed_others() {
        let arch = Arch::build(&Variant::Xs.config(), TailKind::Classifier).unwrap();
        let head = |seed| StateDict::initialised(&arch, seed).values(Module::Head, Leaf::Weight);
        assert_eq!(head(3), head(3));
        assert_ne!(head(3), head(4));
        assert_ne!(head(3), StateDict::initialised(&arch, 3).values(Module::DistHead, Leaf::Weight));
    }
}
