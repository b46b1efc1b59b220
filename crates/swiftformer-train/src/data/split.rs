//! Parts of a data set.

use std::sync::Arc;

use swiftformer::image::{Orientation, RgbImage};

use super::{DataError, Dataset};
use crate::rng::Rng;

/// Some images of a data set, with all its classes.
#[derive(Debug)]
pub struct Subset {
    whole: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The images `indices` of `whole`, in this order.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn new(whole: Arc<dyn Dataset>, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&index| index < whole.len()), "a part of {} images", whole.len());
        Self { whole, indices }
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> &[String] {
        self.whole.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.whole.label(self.indices[index])
    }

    fn name(&self, index: usize) -> String {
        self.whole.name(self.indices[index])
    }

    fn read(&self, index: usize, orientation: Orientation) -> Result<RgbImage, DataError> {
        self.whole.read(self.indices[index], orientation)
    }
}

/// Splits off `share` of the images of each class, at least one where a class has two. Which ones depends on the seed and
/// their order in the class alone, so other classes may come and go.
pub(super) fn split(whole: &Arc<dyn Dataset>, share: f64, seed: u64) -> (Subset, Subset) {
    let mut classes = vec![Vec::new(); whole.classes().len()];
    for index in 0..whole.len() {
        classes[whole.label(index)].push(index);
    }
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (label, mut indices) in classes.into_iter().enumerate() {
        let name = whole.classes()[label].bytes().map(u64::from);
        let key: Vec<u64> = std::iter::once(crate::rng::SPLIT).chain(name).collect();
        Rng::new(seed, &key).shuffle(&mut indices);
        let most = indices.len().saturating_sub(1);
        let count = ((indices.len() as f64 * share).round() as usize).clamp(1.min(most), most);
        validation.extend_from_slice(&indices[..count]);
        train.extend_from_slice(&indices[count..]);
    }
    train.sort_unstable();
    validation.sort_unstable();
    (Subset::new(whole.clone(), train), Subset::new(whole.clone(), validation))
}
