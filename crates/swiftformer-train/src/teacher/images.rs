//! Images of one mean and deviation as those of another.

use swiftformer::{
    image::{IMAGENET_MEAN, IMAGENET_STD, Normalize},
    tensor::Tensor,
};

/// ImageNet's mean and deviation.
pub(super) fn imagenet() -> Normalize {
    Normalize { mean: IMAGENET_MEAN.to_vec(), std: IMAGENET_STD.to_vec() }
}

/// A factor and a summand for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shift {
    factors: [f32; 3],
    summands: [f32; 3],
}

impl Shift {
    /// From `from` to `to`; `None` where they are the same.
    pub(super) fn new(from: &Normalize, to: &Normalize) -> Option<Self> {
        if from == to {
            return None;
        }
        // (x · std + mean − mean') / std'
        let three = |values: &[f64], other: f64| -> [f64; 3] {
            std::array::from_fn(|channel| values.get(channel).copied().unwrap_or(other))
        };
        let (mean, std) = (three(&from.mean, 0.0), three(&from.std, 1.0));
        let (other_mean, other_std) = (three(&to.mean, 0.0), three(&to.std, 1.0));
        Some(Self {
            factors: std::array::from_fn(|channel| (std[channel] / other_std[channel]) as f32),
            summands: std::array::from_fn(|channel| {
                ((mean[channel] - other_mean[channel]) / other_std[channel]) as f32
            }),
        })
    }

    /// The images `[count, 3, height, width]`, moved.
    pub(super) fn apply(&self, images: &Tensor) -> Tensor {
        let mut images = images.clone();
        let plane: usize = images.shape().iter().skip(2).product();
        for (number, plane) in images.data_mut().chunks_exact_mut(plane.max(1)).enumerate() {
            let (factor, summand) = (self.factors[number % 3], self.summands[number % 3]);
            plane.iter_mut().for_each(|value| *value = *value * factor + summand);
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_images_are_those_of_the_other_mean_and_deviation() {
        let imagenet = imagenet();
        let half = Normalize { mean: vec![0.5; 3], std: vec![0.25; 3] };
        assert_eq!(Shift::new(&half, &half), None);
        let raw = [0.1f32, 0.9, 0.4, 0.6, 0.0, 1.0];
        let of = |normalize: &Normalize| {
            let value =
                |(at, &raw): (usize, &f32)| ((f64::from(raw) - normalize.mean[at / 2]) / normalize.std[at / 2]) as f32;
            Tensor::new([1, 3, 1, 2], raw.iter().enumerate().map(value).collect()).unwrap()
        };
        let moved = Shift::new(&half, &imagenet).unwrap().apply(&of(&half));
        let expected = of(&imagenet);
        assert_eq!(moved.shape(), expected.shape());
        for (a, b) in moved.data().iter().zip(expected.data()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}
