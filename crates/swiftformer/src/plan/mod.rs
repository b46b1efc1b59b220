//! The engine: a network compiled once for one image size, run many times.
//!
//! Folding and packing do not depend on the size (`packed`); a [`Plan`] adds the maps' sizes, how each layer is cut into
//! tasks, and what a [`Workspace`] must hold. A plan is read-only while it runs: threads share it, each image in flight
//! has a workspace.

mod describe;
pub(crate) mod fold;
mod packed;
mod product;
mod run;

use std::sync::Arc;

use swiftformer_kernels::{AlignedBuffer, AttentionQueryKey, Conv2dShape, ImageShape, IsaKind, Kernels, PackedMatrix};

use self::packed::{PackedBlock, PackedConv, PackedMlp, PackedModel, PackedTail};
use crate::{
    arch::{Arch, GeometryError},
    weights::state::StateDict,
};

pub use self::{
    describe::StepInfo,
    run::{Tap, TapSink},
};

/// A network folded and packed for one instruction set.
#[derive(Clone, Debug)]
pub struct Network {
    packed: Arc<PackedModel>,
    arch: Arc<Arch>,
}

impl Network {
    /// Folds and packs a network.
    pub fn pack(arch: &Arch, state: &StateDict, kernels: Kernels) -> Self {
        Self { packed: Arc::new(PackedModel::pack(arch, state, kernels)), arch: Arc::new(arch.clone()) }
    }

    /// The description it was packed from.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// The kernels it is packed for.
    pub fn kernels(&self) -> Kernels {
        self.packed.kernels
    }

    /// The instruction set it is packed for.
    pub fn isa(&self) -> IsaKind {
        self.packed.kernels.kind()
    }

    /// Plans images of `size` `[height, width]` on `threads` threads; the packed weights are shared.
    ///
    /// # Errors
    /// When the network cannot take the size.
    pub fn plan(&self, size: [usize; 2], threads: usize) -> Result<Plan, GeometryError> {
        Plan::compile(self, size, threads.max(1))
    }
}

/// A network for images of one size.
#[derive(Debug)]
pub struct Plan {
    network: Network,
    input: ImageShape,
    steps: Vec<Step>,
    threads: usize,
    needs: Needs,
    output: ImageShape,
}

/// One step; indices point into the packed model.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A dense convolution; the stem's two come first, with ReLU.
    Conv { layer: ConvLayer, shape: Conv2dShape, output: ImageShape, rows: usize },
    /// Depthwise, pointwise, activation, pointwise, residual.
    ConvBlock { stage: usize, block: usize, shape: ImageShape, tokens: usize, shared: Option<SharedMlp> },
    /// Attention and MLP behind the local representation.
    Attention { stage: usize, block: usize, shape: ImageShape, tokens: usize, shared: Option<SharedMlp> },
    /// The map as it is now is an output that can be asked for.
    Tap(Tap, ImageShape),
}

/// An MLP whose tasks are its pieces of hidden channels, so that a thread reads its pieces' weights only.
///
/// Where a map has fewer tokens than channels, weights are most of what is read.
#[derive(Clone, Copy, Debug)]
struct SharedMlp {
    pieces: usize,
    /// Tokens of a task: all, unless there are more threads than pieces.
    tokens: usize,
}

#[derive(Clone, Copy, Debug)]
enum ConvLayer {
    Stem(usize),
    Transition(usize),
}

/// Floats of each buffer of a workspace.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    map: usize,
    keys_queries: usize,
    partials: usize,
    /// What the pieces of a shared MLP contribute.
    contributions: usize,
    /// For each thread.
    scratch: usize,
    /// Channels of the widest attention.
    global: usize,
    /// Channels of the last map.
    pooled: usize,
    /// Class scores.
    labels: usize,
}

/// The buffers of one image in flight.
#[derive(Debug)]
pub struct Workspace {
    /// The current map, and the one being written.
    maps: [AlignedBuffer; 2],
    keys_queries: AlignedBuffer,
    partials: AlignedBuffer,
    contributions: AlignedBuffer,
    global: AlignedBuffer,
    pooled: AlignedBuffer,
    scores: AlignedBuffer,
    scratch: AlignedBuffer,
}

impl Plan {
    fn compile(network: &Network, size: [usize; 2], threads: usize) -> Result<Self, GeometryError> {
        let (arch, packed) = (&*network.arch, &*network.packed);
        let sizes = arch.geometry(size)?;
        let input = ImageShape { height: size[0], width: size[1], channels: arch.config.num_channels };
        let mut compiler = Compiler { steps: Vec::new(), needs: Needs::default(), threads };
        let mut shape = input;
        for (index, layer) in packed.stem.iter().enumerate() {
            shape = compiler.conv(ConvLayer::Stem(index), layer, shape);
        }
        compiler.tap(Tap::Hidden, shape);
        for (stage, layers) in packed.stages.iter().enumerate() {
            if let Some(layer) = &layers.transition {
                shape = compiler.conv(ConvLayer::Transition(stage), layer, shape);
                compiler.tap(Tap::Hidden, shape);
            }
            debug_assert_eq!([shape.height, shape.width], sizes[stage].size);
            for (block, layer) in layers.blocks.iter().enumerate() {
                compiler.block(stage, block, layer, shape);
            }
            compiler.tap(Tap::Hidden, shape);
            compiler.tap(Tap::Stage(stage), shape);
        }
        let heads = packed.tail.scratch_len();
        compiler.grow(shape, heads);
        compiler.needs.pooled = shape.channels;
        compiler.needs.labels = arch.config.num_labels;
        let Compiler { steps, needs, .. } = compiler;
        Ok(Self { network: network.clone(), input, steps, threads, needs, output: shape })
    }

    /// Buffers for one image in flight.
    pub fn workspace(&self) -> Workspace {
        let Needs { map, keys_queries, partials, contributions, scratch, global, pooled, labels } = self.needs;
        Workspace {
            maps: [AlignedBuffer::zeros(map), AlignedBuffer::zeros(map)],
            keys_queries: AlignedBuffer::zeros(keys_queries),
            partials: AlignedBuffer::zeros(partials),
            contributions: AlignedBuffer::zeros(contributions),
            global: AlignedBuffer::zeros(global),
            pooled: AlignedBuffer::zeros(pooled),
            scores: AlignedBuffer::zeros(labels),
            scratch: AlignedBuffer::zeros(scratch * self.threads),
        }
    }

    /// Floats of all buffers of one workspace.
    pub fn workspace_len(&self) -> usize {
        let Needs { map, keys_queries, partials, contributions, scratch, global, pooled, labels } = self.needs;
        let shared = keys_queries + partials + contributions + global + pooled + labels;
        2 * map + shared + scratch * self.threads
    }

    /// The images.
    pub fn input(&self) -> ImageShape {
        self.input
    }

    /// `[height, width]` of the images.
    pub fn size(&self) -> [usize; 2] {
        [self.input.height, self.input.width]
    }

    /// The last map's shape.
    pub fn output(&self) -> ImageShape {
        self.output
    }

    /// The most threads that one image runs on.
    pub fn threads(&self) -> usize {
        self.threads
    }

    fn tail(&self) -> &PackedTail {
        &self.network.packed.tail
    }
}

/// A plan under construction.
struct Compiler {
    steps: Vec<Step>,
    needs: Needs,
    threads: usize,
}

impl Compiler {
    /// Output rows of a task of a convolution: as many as suit the matrix, fewer where threads would have unequal shares.
    fn rows(&self, shape: ImageShape, matrix: &PackedMatrix) -> usize {
        let width = shape.width.max(1);
        let best = (matrix.block_tokens(width) / width).min(shape.height).max(1);
        let largest_share = |rows: usize| {
            let tasks = shape.height.div_ceil(rows);
            let bound = |thread: usize| (thread * tasks / self.threads * rows).min(shape.height);
            (0..self.threads).map(|thread| bound(thread + 1) - bound(thread)).max()
        };
        (1..=best).rev().min_by_key(|&rows| largest_share(rows)).unwrap_or(1)
    }

    /// Tokens of a task, of `all`: `best`, fewer where threads would have unequal shares. A map has few rows and many tokens,
    /// so that nearly any number of threads has equal shares of tokens.
    fn tokens(&self, all: usize, best: usize) -> usize {
        if self.threads == 1 {
            return best.min(all).max(1);
        }
        all.div_ceil(all.div_ceil(best).next_multiple_of(self.threads)).max(1)
    }

    fn tap(&mut self, tap: Tap, shape: ImageShape) {
        self.steps.push(Step::Tap(tap, shape));
    }

    fn grow(&mut self, shape: ImageShape, scratch: usize) {
        self.needs.map = self.needs.map.max(shape.len());
        self.needs.scratch = self.needs.scratch.max(scratch.next_multiple_of(16));
    }

    fn conv(&mut self, layer: ConvLayer, packed: &PackedConv, input: ImageShape) -> ImageShape {
        let conv = &packed.conv;
        let shape = Conv2dShape { input, kernel: conv.kernel, stride: conv.stride, padding: conv.padding };
        let output = shape.output(conv.out_channels);
        self.grow(output, shape.scratch_len(&packed.matrix));
        self.steps.push(Step::Conv { layer, shape, output, rows: self.rows(output, &packed.matrix) });
        output
    }

    fn block(&mut self, stage: usize, block: usize, packed: &PackedBlock, shape: ImageShape) {
        let (local, attention) = match packed {
            PackedBlock::Conv(local) => (local, None),
            PackedBlock::Attention(local, attention) => (local, Some(attention)),
        };
        let all = shape.height * shape.width;
        let tokens = self.tokens(all, local.mlp.first.block_tokens(shape.width));
        let scratch = tokens * shape.channels.next_multiple_of(16) + local.mlp.scratch_len(tokens);
        self.grow(shape, scratch);
        let shared = self.shared(shape, &local.mlp, 1);
        self.steps.push(Step::ConvBlock { stage, block, shape, tokens, shared });
        if let Some(attention) = attention {
            let tokens = self.tokens(all, attention.mlp.first.block_tokens(AttentionQueryKey::BLOCK));
            let of_blocks = tokens.next_multiple_of(AttentionQueryKey::BLOCK);
            self.grow(shape, attention.mlp.scratch_len(tokens).max(attention.scratch_len(of_blocks)));
            self.needs.keys_queries = self.needs.keys_queries.max(all * 2 * shape.channels);
            self.needs.global = self.needs.global.max(shape.channels);
            self.needs.partials = self.needs.partials.max(attention.query_key().partials_len(all));
            let shared = self.shared(shape, &attention.mlp, 0);
            self.steps.push(Step::Attention { stage, block, shape, tokens, shared });
        }
    }

    /// How the threads share an MLP's pieces, where that is better than to share the tokens. `maps` maps are kept beside
    /// what the pieces contribute.
    fn shared(&mut self, shape: ImageShape, mlp: &PackedMlp, maps: usize) -> Option<SharedMlp> {
        let (all, pieces) = (shape.height * shape.width, mlp.pieces());
        if self.threads == 1 || pieces == 1 || shape.channels < all {
            return None;
        }
        let tokens = all.div_ceil(self.threads.div_ceil(pieces));
        self.grow(shape, mlp.scratch_len(tokens));
        let padded = all.next_multiple_of(tokens) * shape.channels;
        self.needs.contributions = self.needs.contributions.max((maps + pieces) * padded);
        Some(SharedMlp { pieces, tokens })
    }
}
