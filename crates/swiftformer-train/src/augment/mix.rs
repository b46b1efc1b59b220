//! Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899) of a batch, and the soft targets that come of it.
//!
//! Each image is mixed with the one at the same place from the other end of the batch. Source: timm's `Mixup`.

use std::str::FromStr;

use swiftformer::image::Window;

use crate::rng::Rng;

/// How often the amount is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MixMode {
    /// Once for the whole batch.
    Batch,
    /// Once for each pair of images.
    Pair,
    /// For each image.
    Element,
}

impl FromStr for MixMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "batch" => Ok(Self::Batch),
            "pair" => Ok(Self::Pair),
            "elem" => Ok(Self::Element),
            _ => Err(format!("`{name}` is no way to mix: batch, pair or elem")),
        }
    }
}

/// Mixing of images and labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Beta's parameter of Mixup; 0 turns it off.
    pub mixup_alpha: f64,
    /// Beta's parameter of CutMix; 0 turns it off.
    pub cutmix_alpha: f64,
    /// Least and greatest side of CutMix's rectangle, as shares of the image's; replaces its Beta.
    pub cutmix_minmax: Option<[f64; 2]>,
    /// How likely anything is mixed.
    pub probability: f64,
    /// How likely it is CutMix, where both are on.
    pub switch_probability: f64,
    /// How often amounts are drawn.
    pub mode: MixMode,
}

impl Mix {
    /// Mixup and CutMix of whole batches, always one of the two with equal probability.
    pub fn new(mixup_alpha: f64, cutmix_alpha: f64) -> Self {
        let mode = MixMode::Batch;
        Self { mixup_alpha, cutmix_alpha, cutmix_minmax: None, probability: 1.0, switch_probability: 0.5, mode }
    }

    /// Whether anything is ever mixed.
    pub fn is_active(&self) -> bool {
        self.probability > 0.0 && (self.mixup_alpha > 0.0 || self.cutmix_alpha > 0.0 || self.cutmix_minmax.is_some())
    }

    /// Draws what happens to one image, pair or batch of `height` × `width`.
    fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Blend {
        if !self.is_active() || !rng.chance(self.probability) {
            return Blend::None;
        }
        let cutmix_alpha = if self.cutmix_minmax.is_some() { 1.0 } else { self.cutmix_alpha };
        let cut = match (self.mixup_alpha > 0.0, cutmix_alpha > 0.0) {
            (true, true) => rng.chance(self.switch_probability),
            (_, cutmix) => cutmix,
        };
        if !cut {
            return Blend::Mixup(rng.beta(self.mixup_alpha, self.mixup_alpha));
        }
        Blend::Cutmix(match self.cutmix_minmax {
            Some(bounds) => window_between(size, bounds, rng),
            None => {
                let lambda = rng.beta(cutmix_alpha, cutmix_alpha);
                let [height, width] = size;
                let centre = [rng.below(height), rng.below(width)];
                cutmix_window(size, lambda, centre)
            }
        })
    }

    /// Mixes `batch` in place and returns the share that each image keeps of its own label.
    pub fn apply(&self, batch: &mut Pixels<'_>, rng: &mut Rng) -> Vec<f32> {
        let blends = self.blends(batch.count(), batch.size, rng);
        batch.mix(&blends)
    }

    /// Draws what happens to each of `count` images of a batch, `size` being their height and width.
    pub fn blends(&self, count: usize, size: [usize; 2], rng: &mut Rng) -> Vec<Blend> {
        match self.mode {
            MixMode::Batch => vec![self.draw(size, rng); count],
            MixMode::Element => (0..count).map(|_| self.draw(size, rng)).collect(),
            MixMode::Pair => {
                let mut blends: Vec<Blend> = (0..count / 2).map(|_| self.draw(size, rng)).collect();
                let second: Vec<Blend> = blends.iter().rev().cloned().collect();
                blends.extend((count % 2 == 1).then_some(Blend::None));
                blends.extend(second);
                blends
            }
        }
    }
}

/// Sides of a CutMix rectangle: `int(side × sqrt(1 − lambda))`.
fn cut_sides([height, width]: [usize; 2], lambda: f64) -> [usize; 2] {
    let ratio = (1.0 - lambda).max(0.0).sqrt();
    [height, width].map(|side| (side as f64 * ratio) as usize)
}

/// CutMix's rectangle about `centre` (row, column), cut off at the image's border.
pub fn cutmix_window(size: [usize; 2], lambda: f64, centre: [usize; 2]) -> Window {
    let sides = cut_sides(size, lambda);
    let [rows, columns] = [0, 1].map(|axis| {
        let (cut, centre, side) = (sides[axis], centre[axis], size[axis]);
        centre.saturating_sub(cut / 2)..(centre + cut.div_ceil(2)).min(side)
    });
    Window { columns, rows }
}

/// A rectangle with sides between shares of the image's, inside it.
fn window_between(size: [usize; 2], [least, most]: [f64; 2], rng: &mut Rng) -> Window {
    let [rows, columns] = size.map(|side| {
        let bounds = [least, most].map(|share| ((side as f64 * share) as usize).min(side));
        // numpy's upper bound is left out.
        let cut = bounds[0] + rng.below(bounds[1].saturating_sub(bounds[0]));
        let start = rng.inclusive(0, side - cut);
        start..start + cut
    });
    Window { columns, rows }
}

/// What happens to one image.
#[derive(Clone, Debug, PartialEq)]
pub enum Blend {
    /// Nothing.
    None,
    /// lambda × image + (1 − lambda) × partner.
    Mixup(f64),
    /// The partner's pixels in a rectangle.
    Cutmix(Window),
}

/// Normalised images `[count, 3 or any, height, width]`.
#[derive(Debug)]
pub struct Pixels<'a> {
    /// The values.
    pub values: &'a mut [f32],
    /// Channels of each image.
    pub channels: usize,
    /// Height and width.
    pub size: [usize; 2],
}

impl Pixels<'_> {
    fn image_length(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.image_length().max(1)
    }

    /// Mixes each image with the one as far from the other end; returns the share it keeps.
    pub fn mix(&mut self, blends: &[Blend]) -> Vec<f32> {
        let count = self.count();
        let length = self.image_length();
        let mut kept = vec![1.0; count];
        // Pairs need both originals, so two images are handled at a time and one is copied.
        for first in 0..count.div_ceil(2) {
            let second = count - 1 - first;
            let (head, tail) = self.values.split_at_mut(second * length);
            let tail = &mut tail[..length];
            if first == second {
                let original = tail.to_vec();
                kept[first] = blend_into(tail, &original, &blends[first], self.size);
                continue;
            }
            let head = &mut head[first * length..(first + 1) * length];
            let original = head.to_vec();
            kept[first] = blend_into(head, tail, &blends[first], self.size);
            kept[second] = blend_into(tail, &original, &blends[second], self.size);
        }
        kept
    }
}

/// Blends `partner` into `image`; the share that `image` keeps.
fn blend_into(image: &mut [f32], partner: &[f32], blend: &Blend, [height, width]: [usize; 2]) -> f32 {
    match blend {
        Blend::None => 1.0,
        Blend::Mixup(lambda) => {
            let (own, other) = (*lambda as f32, (1.0 - lambda) as f32);
            for (value, &partner) in image.iter_mut().zip(partner) {
                *value = *value * own + partner * other;
            }
            own
        }
        Blend::Cutmix(window) => {
            for (image, partner) in image.chunks_exact_mut(height * width).zip(partner.chunks_exact(height * width)) {
                for y in window.rows.clone() {
                    let row = y * width + window.columns.start..y * width + window.columns.end;
                    image[row.clone()].copy_from_slice(&partner[row]);
                }
            }
            let area = window.rows.len() * window.columns.len();
            (1.0 - area as f64 / (height * width) as f64) as f32
        }
    }
}

/// Soft targets `[labels, classes]`: smoothing s gives s / classes to each class and 1 − s to the label; each row is mixed
/// with the row as far from the other end by the shares in `kept`.
pub fn mixed_targets(labels: &[usize], classes: usize, smoothing: f32, kept: &[f32]) -> Vec<f32> {
    // As in timm, the numbers are formed in 64 bits.
    let off = f64::from(smoothing) / classes as f64;
    let on = 1.0 - f64::from(smoothing) + off;
    let (off, on) = (off as f32, on as f32);
    let value = |label: usize, class: usize| if label == class { on } else { off };
    let mut targets = Vec::with_capacity(labels.len() * classes);
    for (at, &label) in labels.iter().enumerate() {
        let partner = labels[labels.len() - 1 - at];
        let own = kept.get(at).copied().unwrap_or(1.0);
        targets.extend((0..classes).map(|class| value(label, class) * own + value(partner, class) * (1.0 - own)));
    }
    targets
}
