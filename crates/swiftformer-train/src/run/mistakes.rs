//! The worst mistakes of a model as one picture.

use std::{cmp::Ordering, fmt::Write};

use swiftformer::{
    image::{Filter, Orientation, RgbImage, encode_png, resize},
    predict::softmax,
};

use super::plot::{document, escaped};
use crate::data::{Batch, Dataset};

/// How many are kept: rows of five.
const MOST: usize = 25;
const COLUMNS: usize = 5;
/// Pixels of a picture's longer side, of its cell, and of the lines of text below it.
const SIDE: usize = 128;
const CELL: [f64; 2] = [148.0, 184.0];
const TOP: f64 = 30.0;

/// An image that was answered wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mistake {
    /// Its number in the data set.
    image: usize,
    label: usize,
    answer: usize,
    /// The answer's probability.
    confidence: f32,
    /// The label's probability: the smaller, the worse the mistake.
    own: f32,
}

/// The mistakes that a model was surest of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mistakes {
    /// The worst first.
    list: Vec<Mistake>,
}

impl Mistakes {
    /// Looks through a batch and its logits `[images, classes]`.
    pub(super) fn add(&mut self, batch: &Batch, logits: &[f32]) {
        let classes = logits.len() / batch.len().max(1);
        for (at, row) in logits.chunks_exact(classes.max(1)).enumerate() {
            let (Some(&image), Some(&label)) = (batch.indices.get(at), batch.labels.get(at)) else { continue };
            let shares = softmax(row);
            let best = shares.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
            let (Some((answer, confidence)), Some(&own)) = (best, shares.get(label)) else { continue };
            if answer != label {
                self.list.push(Mistake { image, label, answer, confidence, own });
            }
        }
        let worse = |a: &Mistake, b: &Mistake| match a.own.total_cmp(&b.own) {
            Ordering::Equal => a.image.cmp(&b.image),
            other => other,
        };
        self.list.sort_by(worse);
        self.list.truncate(MOST);
    }

    /// The pictures with what they are and what they were taken for, as SVG.
    pub(super) fn sheet(&self, data: &dyn Dataset) -> String {
        let mut body = format!(
            "<text x=\"8\" y=\"18\" font-weight=\"bold\">{}</text>\n",
            if self.list.is_empty() { "no mistake" } else { "the worst mistakes: label, answer, name" }
        );
        let class = |label: usize| escaped(data.classes().get(label).map_or("", String::as_str));
        for (number, mistake) in self.list.iter().enumerate() {
            let left = 10.0 + CELL[0] * (number % COLUMNS) as f64;
            let top = TOP + CELL[1] * (number / COLUMNS) as f64;
            // An image that cannot be read any more leaves its words.
            if let Ok(image) = data.read(mistake.image, Orientation::Apply)
                && let Some((png, [width, height])) = thumbnail(&image)
            {
                let _ = writeln!(
                    body,
                    "<image x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
                     href=\"data:image/png;base64,{}\"/>",
                    base64(&png)
                );
            }
            let name = data.name(mistake.image);
            let end = name.char_indices().rev().nth(23).map_or(0, |(at, _)| at);
            let lines = [
                ("#2a7", class(mistake.label)),
                ("#c33", format!("{} {:.0} %", class(mistake.answer), 100.0 * mistake.confidence)),
                ("#888", escaped(&name[end..])),
            ];
            for (line, (colour, words)) in lines.into_iter().enumerate() {
                let base = top + SIDE as f64 + 13.0 * (line + 1) as f64;
                let _ = writeln!(body, "<text x=\"{left}\" y=\"{base}\" fill=\"{colour}\">{words}</text>");
            }
        }
        let rows = self.list.len().div_ceil(COLUMNS);
        document(20.0 + CELL[0] * COLUMNS as f64, TOP + CELL[1] * rows as f64, &body)
    }
}

/// A small picture as PNG, and its width and height.
fn thumbnail(image: &RgbImage) -> Option<(Vec<u8>, [usize; 2])> {
    let longer = image.width().max(image.height()).max(1);
    let [width, height] = [image.width(), image.height()].map(|side| (side * SIDE / longer).max(1));
    let small = resize(image, width, height, Filter::Bilinear).ok()?;
    let mut png = Vec::new();
    encode_png(&small, &mut png).ok()?;
    Some((png, [width, height]))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        std::array::from_fn::<char, 4, _>(|at| match at <= group.len() {
            true => char::from(LETTERS[(word >> (18 - 6 * at) & 63) as usize]),
            false => '=',
        })
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (text, expected) in pairs {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn the_surest_mistakes_come_first_and_right_answers_never() {
        let images = swiftformer::tensor::Tensor::zeros([3, 1, 1, 1]);
        let batch = Batch {
            images,
            labels: vec![0, 0, 1],
            targets: Vec::new(),
            kept: vec![1.0; 3],
            indices: vec![7, 8, 9],
            positions: vec![0, 1, 2],
            epoch: 0,
            step: 0,
        };
        let mut mistakes = Mistakes::default();
        mistakes.add(&batch, &[0.0, 1.0, 3.0, 0.0, 9.0, 0.0]);
        let found: Vec<_> = mistakes.list.iter().map(|m| (m.image, m.label, m.answer)).collect();
        assert_eq!(found, [(9, 1, 0), (7, 0, 1)]);
    }
}
