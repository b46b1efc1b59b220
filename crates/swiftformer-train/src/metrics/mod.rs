//! How well a model classifies: top-1, top-5, loss, accuracy of each class, confusions.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::Serialize;

/// Numbers that do not fit the number of classes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// The logits are not as many as images times classes.
    #[error("{logits} logits for {images} images of {classes} classes")]
    Shape {
        /// Numbers found.
        logits: usize,
        /// Labels found.
        images: usize,
        /// Classes there are.
        classes: usize,
    },
    /// A label that stands for no class.
    #[error("the label {label}, but there are {classes} classes")]
    Label {
        /// The label.
        label: usize,
        /// Classes there are.
        classes: usize,
    },
}

/// Counts over the images seen so far. Counts of several processes add up by [`Self::merge`].
///
/// Between equal logits the class with the lower number comes first, so results do not depend on how a library sorts.
/// Logits that are not numbers count as greater than all others, but are never right.
///
/// ```
/// use swiftformer_train::metrics::Classification;
///
/// let mut counts = Classification::new(3);
/// counts.add(&[2.0, 1.0, 0.0, 0.0, 1.0, 2.0], &[0, 1])?;
/// assert_eq!((counts.images(), counts.top1()), (2, 0.5));
/// assert_eq!(counts.confusions(1), [(1, 2, 1)]);
/// # Ok::<(), swiftformer_train::metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    images: Vec<u64>,
    correct: Vec<u64>,
    in_top5: u64,
    loss: f64,
    /// Images by label and answer, where the two differ.
    mistakes: BTreeMap<(usize, usize), u64>,
}

/// Accuracy of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// The class.
    pub name: String,
    /// Images of it.
    pub images: u64,
    /// How many of them were answered by it.
    pub correct: u64,
    /// The share of these, `None` without images.
    pub accuracy: Option<f64>,
    /// The share that is right of the images that were answered by it; `None` without such.
    pub precision: Option<f64>,
}

/// All there is to say, with names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Images seen.
    pub images: u64,
    /// Share of images whose label has the greatest logit.
    pub top1: f64,
    /// Share of images whose label is among the five greatest.
    pub top5: f64,
    /// Mean cross entropy, in natural logarithms.
    pub loss: f64,
    /// Each class, in the order of labels.
    pub classes: Vec<ClassAccuracy>,
    /// Label, answer and number of images, most first.
    pub confusions: Vec<(String, String, u64)>,
}

/// The order of logits: NaN first, then from great to small.
fn greater_first(a: f32, b: f32) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        // Unlike a total order, this holds 0 and -0 equal.
        (false, false) => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Classification {
    /// No images of `classes` classes.
    pub fn new(classes: usize) -> Self {
        let none = vec![0; classes];
        Self { images: none.clone(), correct: none, in_top5: 0, loss: 0.0, mistakes: BTreeMap::new() }
    }

    /// Counts images with the logits `[labels, classes]`.
    ///
    /// # Errors
    /// When sizes disagree or a label is out of range; nothing was counted then.
    pub fn add(&mut self, logits: &[f32], labels: &[usize]) -> Result<(), MetricsError> {
        let classes = self.images.len();
        if classes.checked_mul(labels.len()) != Some(logits.len()) {
            return Err(MetricsError::Shape { logits: logits.len(), images: labels.len(), classes });
        }
        if let Some(&label) = labels.iter().find(|&&label| label >= classes) {
            return Err(MetricsError::Label { label, classes });
        }
        for (logits, &label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let before = |a: usize, b: usize| greater_first(logits[a], logits[b]).then(a.cmp(&b)).is_lt();
            let answer = (1..classes).fold(0, |best, class| if before(class, best) { class } else { best });
            let rank = (0..classes).filter(|&class| before(class, label)).count();
            let valid = !logits[label].is_nan();
            self.images[label] += 1;
            self.correct[label] += u64::from(rank == 0 && valid);
            self.in_top5 += u64::from(rank < 5 && valid);
            if answer != label {
                *self.mistakes.entry((label, answer)).or_default() += 1;
            }
            self.loss += cross_entropy(logits, label);
        }
        Ok(())
    }

    /// Adds the counts of another process.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.images.len(), other.images.len(), "counts of other classes");
        let add = |to: &mut Vec<u64>, from: &Vec<u64>| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.images, &other.images);
        add(&mut self.correct, &other.correct);
        self.in_top5 += other.in_top5;
        self.loss += other.loss;
        for (&pair, count) in &other.mistakes {
            *self.mistakes.entry(pair).or_default() += count;
        }
    }

    /// The counts as bytes, for [`Self::merge_bytes`] of another process of this program.
    #[cfg(feature = "engine")]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let counts = self.images.iter().chain(&self.correct).copied().chain([self.in_top5, self.loss.to_bits()]);
        let mistakes = self.mistakes.iter().flat_map(|(&(label, answer), &n)| [label as u64, answer as u64, n]);
        counts.chain(mistakes).flat_map(u64::to_ne_bytes).collect()
    }

    /// Adds the counts of another process with the same classes.
    #[cfg(feature = "engine")]
    pub(crate) fn merge_bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
        self.images.iter_mut().chain(&mut self.correct).zip(&mut words).for_each(|(count, word)| *count += word);
        self.in_top5 += words.next().unwrap_or(0);
        self.loss += f64::from_bits(words.next().unwrap_or(0));
        while let (Some(label), Some(answer), Some(count)) = (words.next(), words.next(), words.next()) {
            *self.mistakes.entry((label as usize, answer as usize)).or_default() += count;
        }
    }

    /// Images seen.
    pub fn images(&self) -> u64 {
        self.images.iter().sum()
    }

    /// Share of images whose label has the greatest logit; NaN without images.
    pub fn top1(&self) -> f64 {
        self.correct.iter().sum::<u64>() as f64 / self.images() as f64
    }

    /// Share of images whose label is among the five greatest, or all of fewer classes; NaN without images.
    pub fn top5(&self) -> f64 {
        self.in_top5 as f64 / self.images() as f64
    }

    /// Mean cross entropy in natural logarithms; NaN without images.
    pub fn loss(&self) -> f64 {
        self.loss / self.images() as f64
    }

    /// Accuracy of class `label`; `None` without images of it.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn accuracy(&self, label: usize) -> Option<f64> {
        share(self.correct[label], self.images[label])
    }

    /// The `most` most frequent mistakes: label, answer, images.
    pub fn confusions(&self, most: usize) -> Vec<(usize, usize, u64)> {
        let mut pairs: Vec<_> = self.mistakes.iter().map(|(&(label, answer), &count)| (label, answer, count)).collect();
        pairs.sort_by_key(|&(label, answer, count)| (std::cmp::Reverse(count), label, answer));
        pairs.truncate(most);
        pairs
    }

    /// Images by label (rows) and answer (columns). With n classes there are n² numbers.
    pub fn confusion_matrix(&self) -> Vec<Vec<u64>> {
        let mut matrix = vec![vec![0; self.images.len()]; self.images.len()];
        for (&(label, answer), &count) in &self.mistakes {
            matrix[label][answer] = count;
        }
        for (label, row) in matrix.iter_mut().enumerate() {
            row[label] = self.images[label] - row.iter().sum::<u64>();
        }
        matrix
    }

    /// Everything with the names of the classes; a class without a name has its number.
    pub fn report(&self, names: &[String]) -> Report {
        let name = |label: usize| names.get(label).cloned().unwrap_or_else(|| label.to_string());
        let mut wrong_answers = vec![0; self.images.len()];
        for (&(_, answer), count) in &self.mistakes {
            wrong_answers[answer] += count;
        }
        let class = |label: usize| ClassAccuracy {
            name: name(label),
            images: self.images[label],
            correct: self.correct[label],
            accuracy: self.accuracy(label),
            precision: share(self.correct[label], self.correct[label] + wrong_answers[label]),
        };
        let confusions = self.confusions(usize::MAX).into_iter();
        Report {
            images: self.images(),
            top1: self.top1(),
            top5: self.top5(),
            loss: self.loss(),
            classes: (0..self.images.len()).map(class).collect(),
            confusions: confusions.map(|(label, answer, count)| (name(label), name(answer), count)).collect(),
        }
    }
}

/// Cross entropy of one image in 64 bits.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - f64::from(greatest)).exp()).sum();
    sum.ln() + f64::from(greatest) - f64::from(logits[label])
}
