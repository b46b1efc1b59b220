//! Random numbers that depend on what they are for, not on who draws them when.
//!
//! A stream is keyed by a seed and a few numbers (purpose, epoch, position of a sample): the same key gives the same numbers
//! on every machine, in every thread and after every restart. The generator is SplitMix64 (Steele, Lea and Flood, 2014) used
//! as a counter: the n-th number is a hash of key and n. Logarithms and cosines come from the `libm` crate, because those of
//! operating systems differ in the last bit.

/// First words of keys: what a stream is for.
pub(crate) const SPLIT: u64 = 1;
pub(crate) const ORDER: u64 = 2;
pub(crate) const AUGMENT: u64 = 3;
pub(crate) const MIX: u64 = 4;
pub(crate) const SYNTH: u64 = 5;
#[cfg(feature = "engine")]
pub(crate) const DROP: u64 = 6;
#[cfg(feature = "engine")]
pub(crate) const HEADS: u64 = 7;

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser.
fn hash(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// One stream of random numbers.
///
/// ```
/// use swiftformer_train::rng::Rng;
///
/// let (seed, epoch, sample) = (7, 3, 1234);
/// let first = Rng::new(seed, &[epoch, sample]).uniform();
/// assert_eq!(first, Rng::new(seed, &[epoch, sample]).uniform());
/// assert_ne!(first, Rng::new(seed, &[epoch, sample + 1]).uniform());
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The stream of `seed` and `key`.
    pub fn new(seed: u64, key: &[u64]) -> Self {
        let fold = |state: u64, &word: &u64| hash(state.wrapping_add(GAMMA) ^ hash(word.wrapping_add(GAMMA)));
        // The length goes in, so that [1] and [1, 0] differ.
        let key = key.iter().fold(hash(seed ^ (key.len() as u64).wrapping_mul(GAMMA)), fold);
        Self { key, counter: 0 }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        hash(self.key.wrapping_add(self.counter.wrapping_mul(GAMMA)))
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [`low`, `high`).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with probability `probability`.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// A whole number in 0..`bound`, each with the same probability; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound < 2 {
            return 0;
        }
        // Numbers past the last whole multiple of `bound` are drawn again.
        let last = u64::MAX - (u64::MAX % bound + 1) % bound;
        loop {
            let value = self.next_u64();
            if value <= last {
                return (value % bound) as usize;
            }
        }
    }

    /// A whole number in `low..=high`; `low` when there is none.
    pub fn inclusive(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Normal with mean 0 and standard deviation 1, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Gamma with shape `shape` above 0 and scale 1, by Marsaglia and Tsang (2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::pow(1.0 - self.uniform(), 1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let cube = 1.0 + c * x;
            if cube <= 0.0 {
                continue;
            }
            let v = cube * cube * cube;
            if libm::log(1.0 - self.uniform()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    /// Beta with both parameters above 0; 0.5 where both underlying draws underflow.
    pub fn beta(&mut self, alpha: f64, beta: f64) -> f64 {
        let (a, b) = (self.gamma(alpha), self.gamma(beta));
        if a + b > 0.0 { a / (a + b) } else { 0.5 }
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }

    /// One of `items`, each with the same probability.
    ///
    /// # Panics
    /// When there is none.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// The position of one of `weights`, with a probability in proportion to it.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.uniform() * weights.iter().sum::<f64>();
        for (at, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return at;
            }
        }
        // Rounding may leave a little over.
        weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance)
    }

    #[test]
    fn numbers_stay_what_they_are() {
        // Saved runs resume with these streams.
        let mut rng = Rng::new(1, &[2, 3]);
        assert_eq!([rng.next_u64(), rng.next_u64()], [18_153_841_757_273_885_083, 9_558_784_826_412_284_066]);
    }

    #[test]
    fn distributions_have_their_means_and_variances() {
        let mut rng = Rng::new(5, &[]);
        // Four standard errors of 20 000 draws are below 0.03 for all of these.
        for ((mean, variance), (expected_mean, expected_variance), name) in [
            (moments(|| rng.uniform()), (0.5, 1.0 / 12.0), "uniform"),
            (moments(|| Rng::new(9, &[rng.next_u64()]).uniform()), (0.5, 1.0 / 12.0), "first of a stream"),
            (moments(|| rng.normal()), (0.0, 1.0), "normal"),
            (moments(|| rng.beta(0.8, 0.8)), (0.5, 0.25 / 2.6), "beta 0.8"),
            (moments(|| rng.beta(2.0, 5.0)), (2.0 / 7.0, 10.0 / (49.0 * 8.0)), "beta 2 5"),
            (moments(|| rng.below(7) as f64), (3.0, 4.0), "below 7"),
            (moments(|| rng.weighted(&[1.0, 0.0, 3.0]) as f64), (1.5, 0.75), "weighted"),
        ] {
            let scale = f64::sqrt(expected_variance);
            assert!((mean - expected_mean).abs() < 0.03 * scale, "{name}: mean {mean}, not {expected_mean}");
            assert!((variance / expected_variance - 1.0).abs() < 0.05, "{name}: variance {variance}");
        }
    }

    #[test]
    fn keys_of_different_length_or_order_give_different_streams() {
        let keys: [&[u64]; 6] = [&[], &[0], &[0, 0], &[1, 0], &[0, 1], &[1]];
        let mut first: Vec<u64> = keys.iter().map(|key| Rng::new(0, key).next_u64()).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), keys.len());
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::new(3, &[]).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
