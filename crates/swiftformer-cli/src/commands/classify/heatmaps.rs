//! A PNG for each image that shows where its best class was seen.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use swiftformer::{
    checkpoint::Checkpoint,
    image::{Preprocessor, encode_png},
    model::Outputs,
    predict::ClassActivation,
};

use crate::{images::Prepared, inputs::Input, partial::Partial};

/// Longest name of a PNG without its ending, in characters; file systems allow 255 bytes.
const MAX_NAME: usize = 60;

/// Writes heatmaps into a folder.
pub struct Heatmaps<'a> {
    folder: PathBuf,
    activation: ClassActivation,
    preprocessor: &'a Preprocessor,
    /// File names that are taken, in lower case: some file systems do not tell the cases apart.
    taken: HashSet<String>,
}

impl<'a> Heatmaps<'a> {
    /// Makes the folder. Images of `inputs` that lie in it are never overwritten.
    pub fn new(folder: &Path, checkpoint: &'a Checkpoint, inputs: &[Input]) -> anyhow::Result<Self> {
        let activation = ClassActivation::new(checkpoint)?;
        let cannot = || format!("cannot write heatmaps to {}", folder.display());
        fs::create_dir_all(folder).with_context(cannot)?;
        let folder = folder.canonicalize().with_context(cannot)?;
        let in_folder = |input: &Input| {
            let path = input.path.canonicalize().ok()?;
            let name = path.file_name()?.to_string_lossy().to_lowercase();
            (path.parent() == Some(&folder)).then_some(name)
        };
        let taken = inputs.iter().filter_map(in_folder).collect();
        Ok(Self { folder, activation, preprocessor: checkpoint.preprocessor(), taken })
    }

    /// Writes the heatmap of `class` for the image whose outputs stand at `row`.
    pub fn write(
        &mut self,
        input: &Input,
        image: &Prepared,
        outputs: &Outputs,
        row: usize,
        class: usize,
    ) -> anyhow::Result<()> {
        let photograph = image.photograph.as_ref().context("the photograph is gone")?;
        let features = outputs.forward_features.as_ref().context("the model gave no features")?;
        let &[_, channels, height, width] = features.shape() else { anyhow::bail!("the features are no maps") };
        let length = channels * height * width;
        let values = features.data().get(row * length..(row + 1) * length).context("the features are too few")?;
        let map = self.activation.map(values, [height, width], class)?;
        let overlay = map.overlay(photograph, self.preprocessor)?;
        let name = self.free_name(&input.path);
        let mut file = Partial::create(&self.folder.join(name))?;
        let target = file.target().to_owned();
        encode_png(&overlay, file.writer()?).with_context(|| format!("cannot write {}", target.display()))?;
        file.finish()?;
        tracing::info!("wrote {}", target.display());
        Ok(())
    }

    /// The input's name with the ending `png`, numbered when that is taken.
    fn free_name(&mut self, input: &Path) -> String {
        let stem = input.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        // Nothing that could lead out of the folder or that some file system refuses.
        let plain = |c: char| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c };
        let stem: String = stem.chars().map(plain).take(MAX_NAME).collect();
        let stem = if stem.trim_matches('.').is_empty() { "image".to_owned() } else { stem };
        let numbered = (2..).map(|number| format!("{stem}-{number}.png"));
        let mut names = std::iter::once(format!("{stem}.png")).chain(numbered);
        let free = names.find(|name| self.taken.insert(name.to_lowercase()));
        free.unwrap_or_else(|| format!("{stem}.png"))
    }
}
