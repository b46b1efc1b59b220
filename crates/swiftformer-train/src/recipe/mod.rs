//! Recipes: every setting of a training run, as a TOML file that people read and change.
//!
//! ```
//! use swiftformer_train::recipe::Recipe;
//!
//! let recipe = Recipe::open("paper-xs")?.with(["schedule.epochs=30", "batch=64"])?;
//! assert_eq!((recipe.schedule.epochs, recipe.run.batch), (30, 64));
//! let error = recipe.with(["schedule.epoch=3"]).unwrap_err();
//! assert!(error.to_string().contains("did you mean `schedule.epochs`?"));
//! # Ok::<(), swiftformer_train::recipe::RecipeError>(())
//! ```

mod built_in;
mod check;
mod convert;
mod error;
mod layers;
mod sections;
mod words;

pub use self::{
    built_in::NAMES,
    error::RecipeError,
    layers::Difference,
    sections::{Augment, Data, Loss, Optimizer, Run, Schedule, Start},
    words::{
        AttentionKind, BaseKind, ClipKind, DistillationKind, DropRule, HeadChoice, Parts, PrecisionKind, RuleKind,
        ScheduleKind, StepReading,
    },
};

use serde::{Deserialize, Serialize};

/// Every setting of a run. [`Recipe::default`] trains XS from scratch with nothing special.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What training starts from, and which parts of it train.
    pub model: Start,
    /// How images are read.
    pub data: Data,
    /// How training images are changed.
    pub augment: Augment,
    /// What is minimised.
    pub loss: Loss,
    /// How parameters move.
    pub optimizer: Optimizer,
    /// How fast they move over time.
    pub schedule: Schedule,
    /// Batches, seeds, and when a run ends.
    pub run: Run,
}

impl Recipe {
    /// The recipe of a [name](NAMES) or in a file. What it does not set has its default value.
    ///
    /// # Errors
    /// When there is no such recipe, or it has an unknown key or an impossible value.
    pub fn open(name_or_path: &str) -> Result<Self, RecipeError> {
        if let Some(text) = built_in::text(name_or_path) {
            return Self::parse(text, name_or_path);
        }
        let path = std::path::Path::new(name_or_path);
        if !path.exists() {
            return Err(RecipeError::NoRecipe { name: name_or_path.to_owned() });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecipeError::Read { path: path.to_owned(), source: source.into() })?;
        Self::parse(&text, name_or_path)
    }

    /// A recipe from the text of a file, which messages call `name`.
    ///
    /// # Errors
    /// When it is not TOML, or has an unknown key or an impossible value.
    pub fn parse(text: &str, name: &str) -> Result<Self, RecipeError> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| RecipeError::Syntax { name: name.to_owned(), why: error.to_string() })?;
        layers::known_sections(&table)?;
        Self::default().overlaid(layers::flat(&table))
    }

    /// The recipe with settings `key=value` changed. A key is `section.name`, or the name alone.
    ///
    /// # Errors
    /// When a setting has no `=`, an unknown key or an impossible value.
    pub fn with<S: AsRef<str>>(&self, settings: impl IntoIterator<Item = S>) -> Result<Self, RecipeError> {
        let settings = settings.into_iter().map(|setting| layers::setting(setting.as_ref()));
        self.overlaid(settings.collect::<Result<_, _>>()?)
    }

    /// The recipe as the text of a file, with every setting.
    ///
    /// # Errors
    /// Never for a recipe that was read or checked.
    pub fn to_text(&self) -> Result<String, RecipeError> {
        toml::to_string_pretty(self).map_err(|error| RecipeError::Value { why: error.to_string() })
    }
}

#[cfg(test)]
mod tests;
