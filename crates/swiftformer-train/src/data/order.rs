//! In which order images are seen, and by which process.

use crate::rng::{ORDER, Rng};

/// The order of one epoch for one of several processes that train together.
///
/// Positions are counted over all processes: process `rank` of `world` takes every `world`-th, so that step by step all
/// together see what a single process with the whole batch sees. What is drawn for an image depends on its position.
///
/// With repeated augmentation (arXiv 1901.09335) each image stands several times in a row in the order, and an epoch ends
/// after as many images as there are, rounded down to 256s: timm's `RepeatAugSampler`.
#[derive(Clone, Debug)]
pub struct Order {
    images: Vec<u32>,
    repeats: usize,
    rank: usize,
    world: usize,
    /// Images that this process sees.
    count: usize,
}

impl Order {
    /// The shuffled order of `length` images in epoch `epoch`, each `repeats` times.
    pub fn shuffled(length: usize, seed: u64, epoch: u64, repeats: usize, shard: Shard) -> Self {
        let mut images: Vec<u32> = (0..length as u32).collect();
        Rng::new(seed, &[ORDER, epoch]).shuffle(&mut images);
        let Shard { rank, world } = shard;
        let count = match repeats {
            0 | 1 => length / world,
            _ if length >= 256 => length / 256 * 256 / world,
            _ => length.div_ceil(world),
        };
        // Fewer images than processes: all of them start over.
        Self { images, repeats: repeats.max(1), rank, world, count: count.max(1) }
    }

    /// All images one after the other; the first processes may get one more than the last.
    pub fn sequential(length: usize, shard: Shard) -> Self {
        let Shard { rank, world } = shard;
        let count = length.saturating_sub(rank).div_ceil(world);
        Self { images: (0..length as u32).collect(), repeats: 1, rank, world, count }
    }

    /// Images that this process sees.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Position, over all processes, of the `at`-th image of this one.
    pub fn position(&self, at: usize) -> u64 {
        (at * self.world + self.rank) as u64
    }

    /// The number of the `at`-th image of this process. Past the end the order starts over.
    ///
    /// # Panics
    /// When there are no images.
    pub fn image(&self, at: usize) -> usize {
        let position = self.position(at) as usize / self.repeats;
        self.images[position % self.images.len()] as usize
    }
}

/// One of several processes that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of this process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub world: usize,
}

impl Shard {
    /// A single process.
    pub const WHOLE: Self = Self { rank: 0, world: 1 };
}
