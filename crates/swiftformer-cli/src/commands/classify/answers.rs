//! How answers are printed.

use serde::Serialize;
use swiftformer::{
    config::SwiftFormerConfig,
    predict::{Prediction, ScoreKind},
};

use super::Format;
use crate::{console, csv};

/// Prints answers in one format.
pub struct Printer {
    format: Format,
    /// Whether scores are shown as percentages.
    percent: bool,
}

/// The JSON object of an image.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Answer { image: &'a str, top: Vec<Class<'a>> },
    Failure { image: &'a str, error: &'a str },
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: &'a str,
    score: f32,
}

impl Printer {
    pub fn new(format: Format, config: &SwiftFormerConfig) -> Self {
        Self { format, percent: ScoreKind::of(config).is_probability() }
    }

    /// Prints what comes before the first answer.
    pub fn begin(&self) -> anyhow::Result<()> {
        if self.format == Format::Csv { console::line("image,rank,index,label,score,error") } else { Ok(()) }
    }

    /// Prints the classes of an image, best first.
    pub fn answer(&self, image: &str, predictions: &[Prediction]) -> anyhow::Result<()> {
        let ranked = predictions.iter().enumerate().map(|(rank, prediction)| (rank + 1, prediction));
        match self.format {
            Format::Text => {
                console::line(&console::visible(image))?;
                let width = predictions.len().to_string().len().max(3);
                for (rank, Prediction { label, score, .. }) in ranked {
                    let score = if self.percent { format!("{:6.2}%", score * 100.0) } else { format!("{score:12.6}") };
                    let label = console::visible(label);
                    console::line(&format!("{rank:width$}  {score}  {label}"))?;
                }
                Ok(())
            }
            Format::Json => {
                let top = predictions.iter().map(|Prediction { index, label, score }| Class {
                    index: *index,
                    label,
                    score: *score,
                });
                console::json_line(&Line::Answer { image, top: top.collect() })
            }
            Format::Csv => {
                for (rank, Prediction { index, label, score }) in ranked {
                    let (image, label) = (csv::field(image), csv::field(label));
                    console::line(&format!("{image},{rank},{index},{label},{score},"))?;
                }
                Ok(())
            }
        }
    }

    /// Prints why an image has no answer.
    pub fn failure(&self, image: &str, error: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Text => {
                console::error(&format!("{image}: {error}"));
                Ok(())
            }
            Format::Json => console::json_line(&Line::Failure { image, error }),
            Format::Csv => console::line(&format!("{},,,,,{}", csv::field(image), csv::field(error))),
        }
    }
}
