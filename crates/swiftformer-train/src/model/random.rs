//! Random decisions of a forward pass.

use crate::{data::Shard, rng::Rng};

/// The decisions of one forward pass in one of several processes.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    stream: Rng,
    shard: Shard,
}

impl Random {
    /// The stream of a seed, for one of several processes.
    pub(crate) fn new(seed: u64, shard: Shard) -> Self {
        Self { stream: Rng::new(seed, &[]), shard }
    }

    /// `count` values that are 0 with probability `rate` and `1 / (1 - rate)` otherwise, so that their mean is 1.
    pub(crate) fn keep(&mut self, count: usize, rate: f64) -> Vec<f32> {
        let kept = if rate < 1.0 { (1.0 / (1.0 - rate)) as f32 } else { 0.0 };
        (0..count).map(|_| if self.stream.uniform() < rate { 0.0 } else { kept }).collect()
    }

    /// As [`Random::keep`] for each image of this process's batch: those that the batch of all processes gets.
    pub(crate) fn keep_images(&mut self, batch: usize, rate: f64) -> Vec<f32> {
        let all = self.keep(batch * self.shard.world, rate);
        self.shard.select(&all, batch)
    }

    /// As [`Random::keep`] for each value of an activation: other ones in each process.
    pub(crate) fn keep_values(&mut self, count: usize, rate: f64) -> Vec<f32> {
        // A stream of its own, so that this one stays the same in all processes.
        let seed = self.stream.next_u64().wrapping_add(self.shard.rank as u64);
        Self::new(seed, self.shard).keep(count, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_values_average_one() {
        let mask = Random::new(3, Shard::WHOLE).keep(200_000, 0.2);
        let mean = mask.iter().map(|&v| f64::from(v)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 5e-3, "{mean}");
        assert!(mask.iter().all(|&v| v == 0.0 || v == 1.25));
        assert_eq!(Random::new(3, Shard::WHOLE).keep(4, 1.0), [0.0; 4]);
    }

    #[test]
    fn processes_drop_the_images_that_one_process_drops() {
        let mut whole = Random::new(5, Shard::WHOLE);
        let mut parts = [0, 1].map(|rank| Random::new(5, Shard { rank, world: 2 }));
        for _ in 0..3 {
            let all = whole.keep_images(8, 0.5);
            for part in &mut parts {
                let own = part.keep_images(4, 0.5);
                assert!((0..4).all(|slot| own[slot] == all[part.shard.place(slot, 4)]));
            }
            let [one, two] = [0, 1].map(|at: usize| parts[at].keep_values(64, 0.5));
            assert_ne!(one, two);
            assert_eq!(whole.keep_values(64, 0.5), one, "as the first process");
        }
    }
}
