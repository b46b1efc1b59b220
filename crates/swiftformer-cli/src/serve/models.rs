//! The models that are served, and exchanging one while requests run.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Instant, SystemTime},
};

use anyhow::{Context, bail};
use serde::Serialize;
use swiftformer::{
    checkpoint::{Checkpoint, ModelSource, OpenOptions},
    config::SwiftFormerConfig,
    demo,
    model::{Model, ModelOptions, Precision},
    predict::{ClassActivation, ScoreKind},
};

use super::args::{NamedSource, ServeArgs};
use crate::outcome::chain;

/// A model ready to answer. Requests hold on to the one that they began with.
pub struct Served {
    /// What requests call it.
    pub name: String,
    /// Labels and the rest.
    pub config: SwiftFormerConfig,
    /// The engine.
    pub model: Model,
    /// Heat maps, where there is a classifier.
    pub activation: Option<ClassActivation>,
    /// Whether it gives class scores.
    pub classifies: bool,
    /// Numbers of an embedding; 0 for a backbone without final norm.
    pub embedding: usize,
    /// What `/v1/models` tells.
    pub facts: Facts,
}

/// What `/v1/models` tells of a model. The field names are the JSON keys.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    name: String,
    source: String,
    default: bool,
    classifies: bool,
    classes: usize,
    scores: &'static str,
    embedding: usize,
    /// `[channels, height, width]`.
    input: [usize; 3],
    parameters: usize,
    dialect: &'static str,
    preprocessing: String,
    precision: &'static str,
    isa: &'static str,
    threads: usize,
    /// Whether it is the embedded model, which knows drawn things alone.
    demo: bool,
    /// Whether nothing was ever trained, so that its answers mean nothing.
    random_weights: bool,
    /// How often it was loaded.
    generation: u64,
    /// Seconds since 1970.
    loaded: u64,
}

/// How models are opened.
pub struct Loader {
    details: OpenOptions,
    precision: Precision,
    threads: usize,
}

/// Every model by name, the default first.
pub struct Registry {
    loader: Loader,
    sources: Vec<NamedSource>,
    served: RwLock<Vec<Arc<Served>>>,
    reloading: Mutex<()>,
}

/// How one model fared in a reload.
#[derive(Debug, Serialize)]
pub struct Reloaded {
    /// Which one.
    pub model: String,
    /// Whether it was exchanged.
    pub ok: bool,
    /// Why it was not; the model served before goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// A reload while another one is under way.
#[derive(Debug)]
pub struct Busy;

impl Loader {
    /// As the command line says, on `threads` threads.
    pub fn new(args: &ServeArgs, threads: usize) -> Self {
        let details = OpenOptions {
            dialect: args.details.dialect,
            normalize_qk: args.details.normalize_qk,
            preset: args.preprocess,
            state_dict: args.details.state_dict.clone(),
            seed: args.details.seed,
            ..OpenOptions::default()
        };
        Self { details, precision: args.precision.into(), threads }
    }

    /// Opens a model and runs it once.
    fn load(
        &self,
        NamedSource { name, source }: &NamedSource,
        default: bool,
        generation: u64,
    ) -> anyhow::Result<Served> {
        let checkpoint = Checkpoint::open(source, &self.details)?;
        let options = ModelOptions { threads: self.threads, precision: self.precision, ..ModelOptions::default() };
        let model = Model::new(&checkpoint, &options)?;
        let (config, arch) = (checkpoint.config().clone(), checkpoint.arch());
        let (embedding, classes) = try_out(&model, &config)?;
        let classifies = checkpoint.has_classifier();
        let activation = classifies.then(|| ClassActivation::new(&checkpoint)).transpose()?;
        let [height, width] = config.image_size;
        let loaded = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let facts = Facts {
            name: name.clone(),
            source: source.to_string(),
            default,
            classifies,
            classes: if classifies { classes } else { 0 },
            scores: match ScoreKind::of(&config) {
                ScoreKind::Softmax => "softmax",
                ScoreKind::Sigmoid => "sigmoid",
                ScoreKind::Raw => "raw",
            },
            embedding,
            input: [config.num_channels, height, width],
            parameters: arch.parameters(),
            dialect: checkpoint.known_dialect()?.name(),
            preprocessing: checkpoint.preprocessor().to_string(),
            precision: match self.precision {
                Precision::Bf16 => "bf16",
                _ => "f32",
            },
            isa: model.isa().name(),
            threads: model.threads(),
            demo: *source == ModelSource::Demo,
            random_weights: matches!(source, ModelSource::RandomVariant(_) | ModelSource::RandomConfig(_)),
            generation,
            loaded,
        };
        if facts.demo {
            tracing::warn!("{}", demo::NOTICE);
        }
        Ok(Served { name: name.clone(), config, model, activation, classifies, embedding, facts })
    }
}

/// Runs a gray image, so that a model whose weights give no numbers is found before it is served, and so that its plans are
/// compiled before the first request; gives the numbers of an embedding and of the logits.
fn try_out(model: &Model, config: &SwiftFormerConfig) -> anyhow::Result<(usize, usize)> {
    let [height, width] = config.image_size;
    let image = vec![0.0; height * width * config.num_channels];
    // One image on all threads, and as many as there are threads side by side.
    let batch = vec![&image[..]; model.threads() + 1];
    let vectors = model.run_nhwc(&batch, config.image_size, true)?.pop().context("the model gave nothing")?;
    let [embedding, logits] =
        [&vectors.pre_logits, &vectors.logits].map(|vector| vector.as_deref().unwrap_or_default());
    if embedding.iter().chain(logits).any(|value| !value.is_finite()) {
        bail!("its outputs are not numbers (NaN); its weights may be damaged");
    }
    Ok((embedding.len(), logits.len()))
}

impl Registry {
    /// For these models, none of which is loaded yet.
    ///
    /// # Errors
    /// When two have one name.
    pub fn new(loader: Loader, sources: Vec<NamedSource>) -> anyhow::Result<Self> {
        for (index, source) in sources.iter().enumerate() {
            if sources[..index].iter().any(|other| other.name == source.name) {
                bail!("two models are called {}; write NAME=MODEL to tell them apart", source.name);
            }
        }
        Ok(Self { loader, sources, served: RwLock::default(), reloading: Mutex::default() })
    }

    /// Loads all of them.
    ///
    /// # Errors
    /// When one cannot be opened or run.
    pub fn load(&self) -> anyhow::Result<()> {
        let load = |(index, source): (usize, &NamedSource)| {
            let started = Instant::now();
            let served = self.loader.load(source, index == 0, 1);
            let served = served.with_context(|| format!("cannot serve {}", source.source))?;
            tracing::info!(model = %source.name, source = %source.source, seconds = started.elapsed().as_secs_f64(), "loaded");
            Ok(Arc::new(served))
        };
        let served = self.sources.iter().enumerate().map(load).collect::<anyhow::Result<Vec<_>>>()?;
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(())
    }

    /// Loads all models again, or the one called `only`; one that cannot be loaded stays as it is.
    ///
    /// # Errors
    /// [`Busy`]
    pub fn reload(&self, only: Option<&str>) -> Result<Vec<Reloaded>, Busy> {
        let Ok(_one_at_a_time) = self.reloading.try_lock() else { return Err(Busy) };
        let mut results = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            if only.is_some_and(|only| only != source.name) {
                continue;
            }
            let started = Instant::now();
            let generation = self.get(Some(&source.name)).map_or(1, |served| served.facts.generation + 1);
            let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.loader.load(source, index == 0, generation)
            }));
            let loaded = loaded.unwrap_or_else(|_| Err(anyhow::anyhow!("loading broke down")));
            let seconds = started.elapsed().as_secs_f64();
            let error = match loaded {
                Ok(served) => {
                    let mut all = self.served.write().unwrap_or_else(PoisonError::into_inner);
                    let old = all.get_mut(index).map(|slot| std::mem::replace(slot, Arc::new(served)));
                    drop(all);
                    // Threads end with the model: not under the lock.
                    drop(old);
                    tracing::info!(model = %source.name, generation, seconds, "reloaded");
                    None
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(model = %source.name, error, "not reloaded; the model served before goes on");
                    Some(error)
                }
            };
            results.push(Reloaded { model: source.name.clone(), ok: error.is_none(), error, seconds });
        }
        Ok(results)
    }

    /// The model called `name`, or the default one.
    pub fn get(&self, name: Option<&str>) -> Option<Arc<Served>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        match name {
            None => served.first().cloned(),
            Some(name) => served.iter().find(|served| served.name == name).cloned(),
        }
    }

    /// All models.
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names, for messages.
    pub fn names(&self) -> Vec<&str> {
        self.sources.iter().map(|source| source.name.as_str()).collect()
    }

    /// Whether requests can be answered.
    pub fn is_ready(&self) -> bool {
        !self.served.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
