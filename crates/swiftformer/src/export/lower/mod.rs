//! From the description of a network and its weights to a list of operations.

mod activation;
mod attention;
mod builder;
mod input;

use self::{builder::Builder, input::mean_and_std};
use super::{Affine, Batch, ExportError, ExportOptions, FloatType, Info, Linear, Lowered, Op, OutputKind, ValueId};
use crate::{
    arch::{Arch, Block, ConvBlock, ConvNorm, Linear as LinearLayer, Module, Norm, Tail},
    checkpoint::Checkpoint,
    plan::fold::Folder,
    weights::names::{Layout, Names},
};

/// Largest 16-bit float.
const HALF_MAX: f32 = 65_504.0;

/// Lowers a checkpoint.
///
/// # Errors
/// When nothing says which dialect trained the weights, the network cannot take the size, has no such output, has an
/// activation or preprocessing that cannot be expressed, or a weight does not fit the precision.
pub fn lower(checkpoint: &Checkpoint, options: &ExportOptions) -> Result<Lowered, ExportError> {
    let dialect = checkpoint.known_dialect()?;
    let arch = checkpoint.arch();
    if options.batch == Batch::Fixed(0) {
        return Err(ExportError::NoImages);
    }
    check_output(checkpoint, options.outputs)?;
    let size = options.size.unwrap_or(arch.config.image_size);
    arch.geometry(size)?;
    // Paths of TensorFlow's layout are no names that other tools take.
    let layout = match checkpoint.layout() {
        Layout::TensorFlow => Layout::HuggingFace,
        layout => layout,
    };
    let preprocessor = checkpoint.preprocessor().at_size(size);
    let builder = Builder::new(Folder::new(checkpoint.state(), arch.config.batch_norm_eps), Names::new(arch, layout));
    let mut lowering = Lowering { builder, options };
    let input = lowering.input(checkpoint, &preprocessor, size)?;
    let outputs = lowering.network(arch, input.map)?;
    let (values, nodes) = lowering.builder.finish();
    let labels = match options.embed_labels {
        true => (0..arch.config.num_labels).map(|index| arch.config.label(index)).collect(),
        false => Vec::new(),
    };
    let (mean, std) = mean_and_std(&preprocessor, arch.config.num_channels);
    let info = Info {
        model: checkpoint.public_name().to_owned(),
        dialect,
        normalize_qk: arch.config.normalize_qk,
        labels,
        rescale: preprocessor.rescale.unwrap_or(1.0),
        mean,
        std,
        preprocessing: preprocessor.to_string(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let lowered = Lowered { values, nodes, input: input.value, outputs, size, options: options.clone(), info };
    if options.precision == FloatType::F16 {
        check_range(&lowered)?;
    }
    Ok(lowered)
}

fn check_output(checkpoint: &Checkpoint, output: OutputKind) -> Result<(), ExportError> {
    let refused = |output, change| Err(ExportError::Output { model: checkpoint.name().to_owned(), output, change });
    let classifies = matches!(checkpoint.arch().tail, Tail::Classifier { heads: Some(_), .. });
    let pools = matches!(checkpoint.arch().tail, Tail::Classifier { .. });
    match output {
        OutputKind::Logits if !classifies => refused("heads, hence no logits", other_output(pools)),
        OutputKind::Probabilities if !classifies => refused("heads, hence no probabilities", other_output(pools)),
        OutputKind::Embedding if !pools => refused("final norm, hence no embedding", other_output(false)),
        _ => Ok(()),
    }
}

fn other_output(pools: bool) -> &'static str {
    if pools { "use --outputs embedding or --outputs features" } else { "use --outputs features" }
}

fn check_range(lowered: &Lowered) -> Result<(), ExportError> {
    for node in &lowered.nodes {
        let weights = node.op.weights().into_iter().flatten().flatten();
        if let Some(&value) = weights.into_iter().find(|value| value.is_finite() && value.abs() > HALF_MAX) {
            return Err(ExportError::Range { node: node.name.clone(), value });
        }
    }
    Ok(())
}

struct Lowering<'a> {
    builder: Builder<'a>,
    options: &'a ExportOptions,
}

impl Lowering<'_> {
    fn network(&mut self, arch: &Arch, input: ValueId) -> Result<Vec<ValueId>, ExportError> {
        let mut x = input;
        for layer in &arch.stem {
            x = self.conv_norm(layer, x);
            let name = self.builder.last_name();
            x = self.builder.node(&format!("{name}.relu"), "stem", Op::Relu, &[x]);
        }
        let mut features = Vec::new();
        for (index, stage) in arch.stages.iter().enumerate() {
            if let Some(transition) = &stage.transition {
                x = self.conv_norm(transition, x);
            }
            for block in &stage.blocks {
                x = match block {
                    Block::ConvEncoder(block) => self.conv_block(block, x)?,
                    Block::Attention(block) => self.attention_block(block, x)?,
                };
            }
            if self.options.outputs == OutputKind::Features {
                features.push(self.feature(arch, index, x));
            }
        }
        Ok(match (self.options.outputs, &arch.tail) {
            (
                OutputKind::Logits | OutputKind::Probabilities | OutputKind::Embedding,
                Tail::Classifier { norm, heads },
            ) => {
                vec![self.classifier(norm, heads.as_ref(), x)]
            }
            _ => features,
        })
    }

    /// The output of a stage, behind its own norm where the network has one.
    fn feature(&mut self, arch: &Arch, stage: usize, x: ValueId) -> ValueId {
        let name = format!("features_{stage}");
        match &arch.tail {
            Tail::Features(norms) => {
                let (scale, shift) = self.builder.folder.norm(&norms[stage]);
                let module = self.builder.module(norms[stage].module);
                let doc = format!("{module}, folded");
                let output = self.builder.node(&module, &doc, Op::Affine(Affine { scale, shift }), &[x]);
                self.builder.rename(output, &name)
            }
            Tail::None | Tail::Classifier { .. } => self.builder.rename(x, &name),
        }
    }

    fn classifier(&mut self, norm: &Norm, heads: Option<&[LinearLayer; 2]>, x: ValueId) -> ValueId {
        let module = self.builder.module(norm.module);
        let pooled = self.builder.node("pool", "mean over the map", Op::GlobalMean, &[x]);
        let heads = match (self.options.outputs, heads) {
            (OutputKind::Logits | OutputKind::Probabilities, Some(heads)) => heads,
            _ => {
                let (scale, shift) = self.builder.folder.norm(norm);
                let doc = format!("{module}, which commutes with the mean");
                let output = self.builder.node(&module, &doc, Op::Affine(Affine { scale, shift }), &[pooled]);
                return self.builder.rename(output, "embedding");
            }
        };
        let affine = self.builder.folder.heads(norm, heads);
        let names = heads.each_ref().map(|head| self.builder.module(head.module));
        let doc = format!("{module}, then the mean of {} and {}", names[0], names[1]);
        let linear = Linear {
            in_channels: heads[0].in_features,
            out_channels: affine.out,
            weight: affine.weight,
            bias: affine.bias,
        };
        let logits = self.builder.node(&names[0], &doc, Op::Linear(linear), &[pooled]);
        if self.options.outputs == OutputKind::Logits {
            return self.builder.rename(logits, "logits");
        }
        let output = self.builder.node("probabilities", "softmax of the logits", Op::Softmax, &[logits]);
        self.builder.rename(output, "probabilities")
    }

    fn conv_norm(&mut self, layer: &ConvNorm, x: ValueId) -> ValueId {
        let affine = self.builder.folder.conv_norm(layer);
        let doc = format!("with {}", self.builder.module(layer.norm.module));
        self.builder.conv(&layer.conv, affine, &doc, x)
    }

    fn conv_block(&mut self, block: &ConvBlock, x: ValueId) -> Result<ValueId, ExportError> {
        let y = self.conv_norm(&block.depthwise, x);
        let affine = self.builder.folder.conv(&block.pointwise1);
        let y = self.builder.conv(&block.pointwise1, affine, "", y);
        let y = self.activation(&block.activation, y)?;
        let affine = self.builder.folder.conv_scale(&block.pointwise2, block.scale.as_ref());
        let doc = self.scaled(block.scale.as_ref().map(|scale| scale.module));
        let y = self.builder.conv(&block.pointwise2, affine, &doc, y);
        let parent = parent(&self.builder.module(block.activation.module));
        Ok(self.builder.node(&format!("{parent}.add"), "residual", Op::Add, &[x, y]))
    }

    /// Says which layer scale a convolution contains.
    fn scaled(&self, scale: Option<Module>) -> String {
        scale.map_or_else(String::new, |module| format!("with {}", self.builder.module(module)))
    }
}

/// The module that a module is a part of.
fn parent(name: &str) -> String {
    name.rsplit_once('.').map_or_else(String::new, |(parent, _)| parent.to_owned())
}
