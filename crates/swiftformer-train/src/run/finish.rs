//! What a finished run leaves beside the model: pictures of how it went, and what the model confuses.

use serde_json::Value;

use crate::{
    data::{Batch, Loader, LoaderOptions, Shard, View},
    parallel::Group,
};

use super::{
    METRICS, Run, RunError, folder,
    mistakes::Mistakes,
    plot::{Curve, MOST_CLASSES, Panel, confusion, curves},
};

impl Run {
    /// Draws `curves.svg`, `mistakes.svg` and, for classes that fit a picture, `confusion.svg`; writes `report.json` for the run's model.
    pub(super) fn draw(&self) -> Result<(), RunError> {
        let path = self.folder.file(METRICS);
        let text = std::fs::read_to_string(&path).map_err(|source| RunError::Read { path, source })?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let of = |kind: &str, name, colour, key: &str| {
            let lines = lines.iter().filter(|line| line["kind"] == kind);
            // A step stands where in its epoch it is; an epoch at its end.
            let epoch = |line: &Value| {
                let whole = line["epoch"].as_f64()?;
                let part = line["step"].as_f64().zip(line["steps"].as_f64()).map_or(1.0, |(step, steps)| step / steps);
                Some(whole - 1.0 + part)
            };
            let points = lines.filter_map(|line| Some((epoch(line)?, line[key].as_f64()?))).collect();
            Curve { name, colour, points }
        };
        let (blue, orange, green) = ("#1667b7", "#d9730d", "#2a8a4a");
        let averaged = |curve: Curve| (!curve.points.is_empty()).then_some(curve);
        let panels = [
            Panel {
                title: "loss",
                curves: [of("epoch", "training", blue, "train_loss"), of("epoch", "validation", orange, "loss")]
                    .into_iter()
                    .chain(averaged(of("epoch", "averaged", green, "average_loss")))
                    .collect(),
            },
            Panel {
                title: "accuracy",
                curves: [of("epoch", "training", blue, "train_accuracy"), of("epoch", "validation", orange, "top1")]
                    .into_iter()
                    .chain(averaged(of("epoch", "averaged", green, "average_top1")))
                    .collect(),
            },
            Panel { title: "learning rate", curves: vec![of("step", "", blue, "lr")] },
        ];
        folder::write(&self.folder.file("curves.svg"), curves(&panels).as_bytes())?;
        // The other processes have done their work, so all images are this one's.
        let threads = self.workers.threads;
        let options = LoaderOptions { workers: threads, ..LoaderOptions::new(self.recipe.run.batch) };
        let view = View::Evaluate(Box::new(self.preprocessor.clone()));
        let whole = Loader::new(self.validation.data().clone(), view, options)?;
        let images = if self.workers.group.shard() == Shard::WHOLE { &self.validation } else { &whole };
        let best = self.folder.read_weights("", self.trainer.network.arch())?;
        let mut mistakes = Mistakes::default();
        let see = &mut |batch: &Batch, logits: &[f32]| mistakes.add(batch, logits);
        let counts = self.judge(&best)?.count(images, &Group::alone(), see)?;
        let sheet = mistakes.sheet(self.validation.data().as_ref());
        folder::write(&self.folder.file("mistakes.svg"), sheet.as_bytes())?;
        let names = &self.record.classes;
        let report =
            serde_json::to_vec_pretty(&counts.report(names)).map_err(|error| RunError::Setting(error.to_string()))?;
        folder::write(&self.folder.file("report.json"), &report)?;
        if names.len() <= MOST_CLASSES {
            let table = confusion(names, &counts.confusion_matrix());
            folder::write(&self.folder.file("confusion.svg"), table.as_bytes())?;
        }
        Ok(())
    }
}
