//! Random decisions of a forward pass.

/// SplitMix64: tiny, and the same on every platform and in every release.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed ^ 0x5357_4946_5446_4f52);
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

    /// Uniform in `0..1`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `count` values that are 0 with probability `rate` and `1 / (1 - rate)` otherwise, so that their mean is 1.
    pub(crate) fn keep(&mut self, count: usize, rate: f64) -> Vec<f32> {
        let kept = if rate < 1.0 { (1.0 / (1.0 - rate)) as f32 } else { 0.0 };
        (0..count).map(|_| if self.uniform() < rate { 0.0 } else { kept }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_values_average_one() {
        let mask = Random::new(3).keep(200_000, 0.2);
        let mean = mask.iter().map(|&v| f64::from(v)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 5e-3, "{mean}");
        assert!(mask.iter().all(|&v| v == 0.0 || v == 1.25));
        assert_eq!(Random::new(3).keep(4, 1.0), [0.0; 4]);
    }
}
