//! The facts of a model, as JSON and as text.

use std::fmt;

use anyhow::Context;
use serde_json::{Value, json};
use swiftformer::{
    arch::{Arch, Module, TailKind},
    checkpoint::Checkpoint,
    config::Variant,
    weights::token_weights::{TokenWeightStatistics, TokenWeightUse},
};

/// Everything that `info` shows.
pub struct Report {
    name: String,
    variant: Option<Variant>,
    layout: &'static str,
    tail: &'static str,
    labels: usize,
    parameters: usize,
    weight_bytes: usize,
    /// `[channels, height, width]`.
    input: [usize; 3],
    macs: u64,
    dialect: Option<&'static str>,
    dialect_source: String,
    normalize_qk: bool,
    token_weights: TokenWeightStatistics,
    verdict: &'static str,
    hint: Option<String>,
    stages: Vec<StageFacts>,
    preprocessing: String,
    config: Value,
    is_demo: bool,
}

struct StageFacts {
    depth: usize,
    dim: usize,
    size: [usize; 2],
    parameters: usize,
    macs: u64,
}

impl Report {
    pub fn new(checkpoint: &Checkpoint, is_demo: bool) -> anyhow::Result<Self> {
        let (arch, config) = (checkpoint.arch(), checkpoint.config());
        let size = config.image_size;
        let no_macs = || format!("the model does not take the image size that its config states, {size:?}");
        let geometry = arch.geometry(size).with_context(no_macs)?;
        let stages = arch.stages.iter().zip(geometry).enumerate().map(|(index, (stage, geometry))| StageFacts {
            depth: stage.blocks.len(),
            dim: stage.dim,
            size: geometry.size,
            parameters: stage_parameters(arch, index),
            macs: geometry.transition_macs + geometry.block_macs,
        });
        let token_weights = checkpoint.token_weights();
        let (dialect, dialect_source) = checkpoint.dialect();
        let known = checkpoint.known_dialect();
        let (verdict, points_to) = match token_weights.verdict {
            TokenWeightUse::Dead => ("only shrunk in training, alike in every block", Some("sum")),
            TokenWeightUse::Live => ("trained, each block its own way", Some("l2")),
            TokenWeightUse::Unclear => ("as initialised, or too little to tell", None),
        };
        let hint = match (&known, points_to) {
            (Err(_), Some(dialect)) => Some(format!("w_g points to --dialect {dialect}")),
            (Err(_), None) => {
                Some("w_g gives no hint; try --dialect sum (first release) or --dialect l2 (since July 2023)".into())
            }
            (Ok(dialect), _) => token_weights.warning(*dialect),
        };
        Ok(Self {
            name: checkpoint.name().to_owned(),
            variant: Variant::matching(&config.depths, &config.embed_dims),
            layout: checkpoint.layout().name(),
            tail: match arch.tail_kind() {
                TailKind::None => "none (backbone)",
                TailKind::Classifier if checkpoint.has_classifier() => "classifier",
                TailKind::Classifier => "norm and mean (no labels)",
                TailKind::Features => "a norm for each stage's output",
            },
            labels: if checkpoint.has_classifier() { config.num_labels } else { 0 },
            parameters: arch.parameters(),
            weight_bytes: checkpoint.state().byte_len(),
            input: [config.num_channels, size[0], size[1]],
            macs: arch.macs(size).with_context(no_macs)?,
            dialect: known.is_ok().then(|| dialect.name()),
            dialect_source: dialect_source.to_string(),
            normalize_qk: config.normalize_qk,
            token_weights,
            verdict,
            hint,
            stages: stages.collect(),
            preprocessing: checkpoint.preprocessor().to_string(),
            config: config_json(checkpoint, known.is_ok())?,
            is_demo,
        })
    }

    /// The facts as one JSON object.
    pub fn to_json(&self) -> Value {
        let stages: Vec<Value> = self.stages.iter().map(StageFacts::to_json).collect();
        json!({
            "model": self.name,
            "variant": self.variant.map(Variant::name),
            "layout": self.layout,
            "tail": self.tail,
            "labels": self.labels,
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "input": self.input,
            "macs": self.macs,
            "dialect": self.dialect,
            "dialect_source": self.dialect_source,
            "dialect_hint": self.hint,
            "normalize_qk": self.normalize_qk,
            "token_weights": { "rms": self.token_weights.rms, "verdict": self.verdict },
            "demo": self.is_demo,
            "stages": stages,
            "preprocessing": self.preprocessing,
            "config": self.config,
        })
    }
}

impl StageFacts {
    fn to_json(&self) -> Value {
        json!({
            "depth": self.depth,
            "dim": self.dim,
            "map": self.size,
            "parameters": self.parameters,
            "macs": self.macs,
        })
    }
}

/// Trainable values of a stage and of the transition before it.
fn stage_parameters(arch: &Arch, index: usize) -> usize {
    let of_stage = |module: Module| match module {
        Module::TransitionConv { stage } | Module::TransitionNorm { stage } | Module::Block { stage, .. } => {
            stage == index
        }
        _ => false,
    };
    let params = arch.params();
    params.iter().filter(|param| param.kind.is_trainable() && of_stage(param.module)).map(|param| param.len()).sum()
}

/// The config in transformers' terms, or timm's where those have no words for it.
fn config_json(checkpoint: &Checkpoint, known_dialect: bool) -> anyhow::Result<Value> {
    let config = checkpoint.config();
    let text = config.to_hf_json().or_else(|_| config.to_timm_json(serde_json::Map::new()))?;
    let mut value: Value = serde_json::from_str(&text)?;
    if let (false, Some(dialect)) = (known_dialect, value.get_mut("dialect")) {
        *dialect = Value::Null;
    }
    Ok(value)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [channels, height, width] = self.input;
        let variant = self.variant.map_or("custom sizes".to_owned(), |variant| format!("SwiftFormer-{variant}"));
        let mut fact = |name: &str, value: &str| writeln!(f, "{name:<15} {value}");
        fact("model", &self.name)?;
        if self.is_demo {
            fact("", "knows twelve drawn things and nothing else")?;
        }
        fact("variant", &variant)?;
        fact("layout", self.layout)?;
        fact("tail", &format!("{}{}", self.tail, labels(self.labels)))?;
        fact("dialect", &format!("{} ({})", self.dialect.unwrap_or("unknown"), self.dialect_source))?;
        if !self.normalize_qk {
            fact("", "queries and keys are not normalised")?;
        }
        let rms: Vec<String> = self.token_weights.rms.iter().map(|rms| format!("{rms:.3}")).collect();
        fact("w_g", &format!("rms {}: {}", rms.join(" "), self.verdict))?;
        if let Some(hint) = &self.hint {
            fact("hint", hint)?;
        }
        fact("parameters", &grouped(self.parameters as u64))?;
        fact("weights", &format!("{:.1} MB", self.weight_bytes as f64 / 1e6))?;
        fact("MACs", &format!("{} at {channels}x{height}x{width}", grouped(self.macs)))?;
        fact("preprocessing", &self.preprocessing)?;
        writeln!(f, "\n{:>5} {:>6} {:>6} {:>9} {:>12} {:>15}", "stage", "depth", "dim", "map", "parameters", "MACs")?;
        for (index, stage) in self.stages.iter().enumerate() {
            let map = format!("{}x{}", stage.size[0], stage.size[1]);
            let (parameters, macs) = (grouped(stage.parameters as u64), grouped(stage.macs));
            let (depth, dim) = (stage.depth, stage.dim);
            writeln!(f, "{:>5} {depth:>6} {dim:>6} {map:>9} {parameters:>12} {macs:>15}", index + 1)?;
        }
        Ok(())
    }
}

fn labels(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", {count} labels") }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([1, 999, 1000, 3_475_360].map(super::grouped), ["1", "999", "1 000", "3 475 360"]);
    }
}
