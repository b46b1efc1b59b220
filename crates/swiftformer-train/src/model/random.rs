//! Random decisions of a forward pass.

use crate::rng::Rng;

/// `count` values that are 0 with probability `rate` and `1 / (1 - rate)` otherwise, so that their mean is 1.
pub(super) fn keep(random: &mut Rng, count: usize, rate: f64) -> Vec<f32> {
    let kept = if rate < 1.0 { (1.0 / (1.0 - rate)) as f32 } else { 0.0 };
    (0..count).map(|_| if random.uniform() < rate { 0.0 } else { kept }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_values_average_one() {
        let mask = keep(&mut Rng::new(3, &[]), 200_000, 0.2);
        let mean = mask.iter().map(|&v| f64::from(v)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 5e-3, "{mean}");
        assert!(mask.iter().all(|&v| v == 0.0 || v == 1.25));
        assert_eq!(keep(&mut Rng::new(3, &[]), 4, 1.0), [0.0; 4]);
    }
}
