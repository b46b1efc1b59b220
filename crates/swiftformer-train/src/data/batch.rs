//! What a loader hands over.

use swiftformer::tensor::Tensor;

use super::{DataError, Dataset, Shard, View};
use crate::{
    augment::{Pixels, mixed_targets},
    rng::{MIX, Rng},
};

/// Images of one step, ready for a model.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Normalised images `[count, channels, height, width]`.
    pub images: Tensor,
    /// The label of each image.
    pub labels: Vec<usize>,
    /// Shares of the classes `[count, classes]`, with smoothing and mixing; each row sums to 1.
    pub targets: Vec<f32>,
    /// The share of its own label that mixing left each image; the rest belongs to the image at the same place from the end.
    pub kept: Vec<f32>,
    /// Numbers of the images in the data set.
    pub indices: Vec<usize>,
    /// Positions in the epoch, over all processes: with seed and epoch they decide what was drawn for an image.
    pub positions: Vec<u64>,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The step in the epoch, from 0.
    pub step: usize,
}

impl Batch {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image, because all of them were broken.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// One image on its way into a batch.
pub(super) struct Sample {
    pub(super) values: Vec<f32>,
    pub(super) shape: [usize; 3],
    pub(super) index: usize,
    pub(super) position: u64,
}

/// Where a batch stands, and which stream its mixing is drawn from.
pub(super) struct Place {
    pub(super) seed: u64,
    pub(super) shard: Shard,
    pub(super) epoch: u64,
    pub(super) step: usize,
}

/// Puts samples together and mixes them.
pub(super) fn assemble(
    samples: Vec<Sample>,
    data: &dyn Dataset,
    view: &View,
    place: &Place,
) -> Result<Batch, DataError> {
    let shape = samples.first().map_or([3, 1, 1], |sample| sample.shape);
    let [channels, height, width] = shape;
    let mut values = Vec::with_capacity(samples.len() * channels * height * width);
    for sample in &samples {
        if sample.shape != shape {
            let [_, found_height, found_width] = sample.shape;
            let (expected, found) = ([height, width], [found_height, found_width]);
            return Err(DataError::Sizes { name: data.name(sample.index), expected, found });
        }
        values.extend_from_slice(&sample.values);
    }
    let labels: Vec<usize> = samples.iter().map(|sample| data.label(sample.index)).collect();
    let (mut kept, mut smoothing) = (vec![1.0; labels.len()], 0.0);
    if let View::Train(view) = view {
        smoothing = view.smoothing;
        if let Some(mix) = &view.mix {
            // Drawn for the batch of all processes, of which these are some.
            let mut rng = Rng::new(place.seed, &[MIX, place.epoch, place.step as u64, 0]);
            let blends = mix.blends(labels.len() * place.shard.world, [height, width], &mut rng);
            let own = place.shard.select(&blends, labels.len());
            kept = Pixels { values: &mut values, channels, size: [height, width] }.mix(&own);
        }
    }
    let targets = mixed_targets(&labels, data.classes().len(), smoothing, &kept);
    let images = Tensor::new([labels.len(), channels, height, width], values)
        .map_err(|error| DataError::Setting(error.to_string()))?;
    Ok(Batch {
        images,
        targets,
        kept,
        indices: samples.iter().map(|sample| sample.index).collect(),
        positions: samples.iter().map(|sample| sample.position).collect(),
        labels,
        epoch: place.epoch,
        step: place.step,
    })
}
