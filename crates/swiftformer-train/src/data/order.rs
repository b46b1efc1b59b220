//! In which order images are seen, and by which process.

use crate::rng::{ORDER, Rng};

/// The order of one epoch for one of several processes that train together.
///
/// Positions are counted over all processes, and [`Shard::place`] says which of a batch's a process takes, so that step by
/// step all together see what a single process with the whole batch sees. What is drawn for an image depends on its
/// position.
///
/// With repeated augmentation (arXiv 1901.09335) each image stands several times in a row in the order, and an epoch ends
/// after as many images as there are, rounded down to 256s: timm's `RepeatAugSampler`.
#[derive(Clone, Debug)]
pub struct Order {
    images: Vec<u32>,
    repeats: usize,
    shard: Shard,
    /// Images of this process's batches.
    batch: usize,
    /// Images that this process sees.
    count: usize,
}

impl Order {
    /// The shuffled order of `length` images in epoch `epoch`, each `repeats` times, for batches of `batch` images.
    pub fn shuffled(length: usize, seed: u64, epoch: u64, repeats: usize, shard: Shard, batch: usize) -> Self {
        let mut images: Vec<u32> = (0..length as u32).collect();
        Rng::new(seed, &[ORDER, epoch]).shuffle(&mut images);
        let count = match repeats {
            0 | 1 => length,
            _ if length >= 256 => length / 256 * 256,
            _ => length,
        };
        // Fewer images than processes: all of them start over.
        Self { images, repeats: repeats.max(1), shard, batch: batch.max(1), count: (count / shard.world).max(1) }
    }

    /// All images one after the other; the first processes may get one more than the last.
    pub fn sequential(length: usize, shard: Shard) -> Self {
        let Shard { rank, world } = shard;
        let count = length.saturating_sub(rank).div_ceil(world);
        Self { images: (0..length as u32).collect(), repeats: 1, shard, batch: 1, count }
    }

    /// Images that this process sees.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Position, over all processes, of the `at`-th image of this one.
    pub fn position(&self, at: usize) -> u64 {
        let (step, slot) = (at / self.batch, at % self.batch);
        (step * self.batch * self.shard.world + self.shard.place(slot, self.batch)) as u64
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

    /// The place, in the batch of all processes, of image `slot` of this process's `batch` images. The images as far from
    /// both ends, which Mixup and CutMix bring together, are the same process's (but for the middle one of an odd number).
    pub fn place(self, slot: usize, batch: usize) -> usize {
        let Self { rank, world } = self;
        slot * world + if 2 * slot < batch { rank } else { world - 1 - rank }
    }

    /// The values of this process's `count` images among those of all processes' images.
    pub(crate) fn select<T: Clone>(self, all: &[T], count: usize) -> Vec<T> {
        (0..count).map(|slot| all[self.place(slot, count)].clone()).collect()
    }
}
