//! What an evaluation found, for people and programs.

use serde::Serialize;
use swiftformer::checkpoint::Checkpoint;
use swiftformer_train::{
    data::Broken,
    metrics::{ClassAccuracy, Classification, Report},
};

use crate::console::{line, visible};

/// Classes up to which the confusion matrix is part of the JSON.
const MOST_IN_MATRIX: usize = 256;

/// Classes up to which the confusion matrix is printed.
const MOST_IN_TABLE: usize = 20;

/// Mistakes that are printed.
const MISTAKES: usize = 10;

/// All results.
#[derive(Serialize)]
pub struct Evaluation<'a> {
    model: &'a str,
    preprocessing: String,
    #[serde(flatten)]
    report: Report,
    /// Images by label (rows) and answer (columns), where there are not too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    confusion_matrix: Option<Vec<Vec<u64>>>,
    seconds: f64,
    images_per_second: f64,
    /// The share of the time that the model waited for images.
    wait_share: f64,
    broken: Vec<&'a str>,
}

impl<'a> Evaluation<'a> {
    /// Puts the results together; `times` are the seconds taken and the share of them that was spent waiting.
    pub fn new(
        checkpoint: &'a Checkpoint,
        counts: &Classification,
        names: &[String],
        [seconds, wait_share]: [f64; 2],
        broken: &'a [Broken],
    ) -> Self {
        Self {
            model: checkpoint.name(),
            preprocessing: checkpoint.preprocessor().to_string(),
            report: counts.report(names),
            confusion_matrix: (names.len() <= MOST_IN_MATRIX).then(|| counts.confusion_matrix()),
            seconds,
            images_per_second: counts.images() as f64 / seconds,
            wait_share,
            broken: broken.iter().map(|broken| broken.reason.as_str()).collect(),
        }
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}

/// Prints tables; `labels` are those that the data set has.
pub fn print(evaluation: &Evaluation<'_>, labels: &[usize]) -> anyhow::Result<()> {
    let report = &evaluation.report;
    line(&format!("{}: {}", visible(evaluation.model), evaluation.preprocessing))?;
    let broken = match evaluation.broken.len() {
        0 => String::new(),
        broken => format!(", {broken} broken"),
    };
    line(&format!("{} images of {} classes{broken}", report.images, labels.len()))?;
    let (speed, waited) = (evaluation.images_per_second, evaluation.wait_share * 100.0);
    line(&format!("{:.1} s, {speed:.1} images/s, {waited:.0} % of the time waiting for images", evaluation.seconds))?;
    line("")?;
    line(&format!("top-1   {:>9}", percent(Some(report.top1))))?;
    line(&format!("top-5   {:>9}", percent(Some(report.top5))))?;
    line(&format!("loss    {:>9.4}", report.loss))?;
    line("")?;
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    labels.dedup();
    let classes: Vec<(usize, &ClassAccuracy)> = labels.iter().map(|&label| (label, &report.classes[label])).collect();
    let names: Vec<String> = classes.iter().map(|(_, class)| visible(&class.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(5, 40);
    line(&format!("{:width$}  images   accuracy  precision", "class"))?;
    for ((_, class), name) in classes.iter().zip(&names) {
        let (accuracy, precision) = (percent(class.accuracy), percent(class.precision));
        line(&format!("{name:width$}  {:6}  {accuracy:>9}  {precision:>9}", class.images))?;
    }
    if !report.confusions.is_empty() {
        line("")?;
        line("most frequent mistakes")?;
        for (label, answer, count) in report.confusions.iter().take(MISTAKES) {
            line(&format!("{count:6}  {} taken for {}", visible(label), visible(answer)))?;
        }
    }
    match &evaluation.confusion_matrix {
        Some(matrix) if labels.len() <= MOST_IN_TABLE && labels.len() > 1 => {
            line("")?;
            line("images by class (rows) and answer (columns)")?;
            let cell = matrix.iter().flatten().max().map_or(1, |most| most.to_string().len()).max(2);
            for ((label, _), name) in classes.iter().zip(&names) {
                let cells: Vec<String> =
                    labels.iter().map(|&answer| format!("{:cell$}", matrix[*label][answer])).collect();
                line(&format!("{name:width$}  {}", cells.join(" ")))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
