//! Fresh weights, as the references initialise them.
//!
//! Convolutions and linear layers: normal with σ 0.02, truncated at ±2 as PyTorch's `trunc_normal_`; biases 0; BatchNorm
//! 1, 0, 0, 1; `w_g` standard normal; conv blocks' layer scales 1; `layer_scale_1/2` the config's value.

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
/// Bound of the truncation, absolute.
const BOUND: f64 = 2.0;

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
        ParamKind::ConvWeight | ParamKind::DepthwiseWeight | ParamKind::LinearWeight => {
            (0..count).map(|_| random.truncated_normal() as f32).collect()
        }
        ParamKind::TokenWeights => (0..count).map(|_| random.normal() as f32).collect(),
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

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn truncated_normal(&mut self) -> f64 {
        loop {
            let value = SIGMA * self.normal();
            if value.abs() <= BOUND {
                return value;
            }
        }
    }
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
    fn a_seed_gives_the_same_weights_and_another_seed_others() {
        let arch = Arch::build(&Variant::Xs.config(), TailKind::Classifier).unwrap();
        let head = |seed| StateDict::initialised(&arch, seed).values(Module::Head, Leaf::Weight);
        assert_eq!(head(3), head(3));
        assert_ne!(head(3), head(4));
        assert_ne!(head(3), StateDict::initialised(&arch, 3).values(Module::DistHead, Leaf::Weight));
    }
}
