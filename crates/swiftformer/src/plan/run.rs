//! Running a plan on one image.

use swiftformer_kernels::{
    Activation, AttentionQueryKey, Conv2d, Epilogue, ImageShape, Kernels, MlpInput, Parts, Pool, Residual, Rows,
    RowsMut, SubnormalsAsZero,
};

use super::{
    ConvLayer, Plan, SharedMlp, Step, Workspace,
    packed::{Channels, PackedAttention, PackedBlock, PackedConvBlock, PackedMlp, PackedTail},
};

/// An output along the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// transformers' next hidden state: the stem's output, then every stage's and transition's.
    Hidden,
    /// The output of a stage, behind its BatchNorm where the network has one (`fork_feat`).
    Stage(usize),
    /// The last stage's output.
    Last,
    /// The last stage's output behind the final BatchNorm.
    Normed,
    /// The mean of [`Tap::Normed`], `[channels]`.
    Pooled,
    /// The class scores, or [`Tap::Pooled`] where there are no heads.
    Logits,
    /// The scores of `head` (0) or `dist_head` (1).
    Head(usize),
}

/// Receives the outputs that it wants, as `[height, width, channels]`; vectors have height and width 1.
pub trait TapSink {
    /// Whether an output is wanted; what is not wanted is not computed.
    fn wants(&self, tap: Tap) -> bool;
    /// Takes an output.
    fn take(&mut self, tap: Tap, map: &[f32], shape: ImageShape);
}

impl Plan {
    /// Runs an image, `[height, width, channels]`, and gives `sink` what it wants. Results do not depend on the number of
    /// threads.
    ///
    /// # Panics
    /// When the image has not the plan's size, the workspace is another plan's, or `pool` has more threads than the plan was
    /// compiled for.
    pub fn run(&self, image: &[f32], workspace: &mut Workspace, pool: &Pool, sink: &mut dyn TapSink) {
        self.run_observed(image, workspace, pool, sink, |_| {});
    }

    /// As [`Plan::run`]; `after` is called with the number of every step of [`Plan::steps`] when it has ended.
    ///
    /// # Panics
    /// As [`Plan::run`].
    pub fn run_observed(
        &self,
        image: &[f32],
        workspace: &mut Workspace,
        pool: &Pool,
        sink: &mut dyn TapSink,
        mut after: impl FnMut(usize),
    ) {
        assert_eq!(image.len(), self.input.len(), "an image of {:?}", self.input);
        assert!(pool.threads() <= self.threads, "a plan for {} threads on {}", self.threads, pool.threads());
        let _mode = SubnormalsAsZero::new();
        let model = &*self.network.packed;
        let kernels = model.kernels;
        let Workspace { maps, keys_queries, partials, contributions, global, pooled, scores, scratch } = workspace;
        let [current, next] = maps;
        let (mut current, mut next) = (current, next);
        for (index, step) in self.steps.iter().enumerate() {
            match *step {
                Step::Conv { layer, shape, output, rows } => {
                    let (packed, source, activation) = match layer {
                        ConvLayer::Stem(0) => (&model.stem[0], image, Activation::Relu),
                        ConvLayer::Stem(index) => (&model.stem[index], &current[..shape.input.len()], Activation::Relu),
                        ConvLayer::Transition(stage) => {
                            let Some(packed) = &model.stages[stage].transition else { continue };
                            (packed, &current[..shape.input.len()], Activation::Identity)
                        }
                    };
                    let conv =
                        Conv2d { shape, matrix: &packed.matrix, epilogue: Epilogue { activation, accumulate: false } };
                    run_conv(kernels, pool, conv, source, rows, &mut next[..output.len()], scratch);
                    std::mem::swap(&mut current, &mut next);
                }
                Step::ConvBlock { stage, block, shape, tokens, shared } => {
                    let (PackedBlock::Conv(packed) | PackedBlock::Attention(packed, _)) =
                        &model.stages[stage].blocks[block];
                    let task = ConvBlockTask { kernels, packed, shape, tokens };
                    let (input, output) = (&current[..shape.len()], &mut next[..shape.len()]);
                    match shared {
                        None => task.run(pool, input, output, scratch),
                        Some(shared) => task.run_shared(pool, shared, input, output, [contributions, scratch]),
                    }
                    std::mem::swap(&mut current, &mut next);
                }
                Step::Attention { stage, block, shape, tokens, shared } => {
                    let PackedBlock::Attention(_, packed) = &model.stages[stage].blocks[block] else { continue };
                    let task = AttentionTask { kernels, packed, count: shape.height * shape.width, tokens, shared };
                    let buffers = AttentionBuffers { keys_queries, partials, contributions, global, scratch };
                    task.run(pool, &mut current[..shape.len()], buffers);
                }
                Step::Tap(tap, shape) => self.tap(tap, shape, &current[..shape.len()], next, sink),
            }
            after(index);
        }
        let map = &current[..self.output.len()];
        self.finish(map, &mut next[..self.output.len()], [pooled, scores, scratch], sink);
        after(self.steps.len());
    }

    fn tap(&self, tap: Tap, shape: ImageShape, map: &[f32], spare: &mut [f32], sink: &mut dyn TapSink) {
        if !sink.wants(tap) {
            return;
        }
        match (tap, self.tail()) {
            (Tap::Stage(stage), PackedTail::Features(norms)) => {
                let normed = &mut spare[..shape.len()];
                self.affine(&norms[stage], map, normed);
                sink.take(tap, normed, shape);
            }
            _ => sink.take(tap, map, shape),
        }
    }

    fn affine(&self, channels: &Channels, map: &[f32], normed: &mut [f32]) {
        let width = channels.scale.len();
        let rows = map.len() / width;
        let (input, output) = (Rows::new(map, rows, width), RowsMut::new(normed, rows, width));
        self.network.packed.kernels.affine(&channels.scale, &channels.shift, Activation::Identity, input, output);
    }

    /// What stands behind the stages.
    fn finish(
        &self,
        map: &[f32],
        spare: &mut [f32],
        [pooled, scores, scratch]: [&mut [f32]; 3],
        sink: &mut dyn TapSink,
    ) {
        let kernels = self.network.packed.kernels;
        let shape = self.output;
        if sink.wants(Tap::Last) {
            sink.take(Tap::Last, map, shape);
        }
        let PackedTail::Classifier { norm, logits, heads } = self.tail() else { return };
        if sink.wants(Tap::Normed) {
            self.affine(norm, map, spare);
            sink.take(Tap::Normed, spare, shape);
        }
        // The BatchNorm is linear, so it commutes with the mean.
        kernels.mean_rows(Rows::new(map, shape.height * shape.width, shape.channels), pooled);
        let vector = |channels| ImageShape { height: 1, width: 1, channels };
        if sink.wants(Tap::Pooled) || (logits.is_none() && sink.wants(Tap::Logits)) {
            let normed = &mut spare[..shape.channels];
            self.affine(norm, pooled, normed);
            for tap in [Tap::Pooled, Tap::Logits] {
                if sink.wants(tap) && (tap == Tap::Pooled || logits.is_none()) {
                    sink.take(tap, normed, vector(shape.channels));
                }
            }
        }
        let matrices = logits.iter().map(|matrix| (Tap::Logits, matrix));
        let heads =
            heads.iter().flat_map(|heads| heads.iter()).enumerate().map(|(head, matrix)| (Tap::Head(head), matrix));
        for (tap, matrix) in matrices.chain(heads) {
            if sink.wants(tap) {
                let labels = matrix.outputs();
                let (input, output) = (Rows::new(pooled, 1, shape.channels), &mut scores[..labels]);
                let kernels = kernels.for_single_rows();
                kernels.pointwise(matrix, input, RowsMut::new(output, 1, labels), Epilogue::default(), scratch);
                sink.take(tap, output, vector(labels));
            }
        }
    }
}

fn run_conv(
    kernels: Kernels,
    pool: &Pool,
    conv: Conv2d<'_>,
    input: &[f32],
    rows: usize,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    let result = conv.shape.output(conv.matrix.outputs());
    let row = result.width * result.channels;
    let tasks = result.height.div_ceil(rows);
    pool.for_each_part(tasks, [Parts::new(output, rows * row)], scratch, |index, [output], scratch| {
        let first = index * rows;
        kernels.conv2d(conv, input, first..first + output.len() / row, output, scratch);
    });
}

/// ConvEncoder or local representation, fused by tokens: each task reads its tokens and their neighbours from one map and
/// writes its tokens of the other.
struct ConvBlockTask<'a> {
    kernels: Kernels,
    packed: &'a PackedConvBlock,
    shape: ImageShape,
    /// Tokens of a task.
    tokens: usize,
}

impl ConvBlockTask<'_> {
    fn run(&self, pool: &Pool, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
        let Self { kernels, packed, shape, tokens } = *self;
        let part = tokens * shape.channels;
        let tasks = (shape.height * shape.width).div_ceil(tokens);
        pool.for_each_part(tasks, [Parts::new(output, part)], scratch, |index, [output], scratch| {
            let (first, count) = (index * tokens, output.len() / shape.channels);
            let (mixed, hidden) = scratch.split_at_mut(part.next_multiple_of(16));
            let mixed = &mut mixed[..output.len()];
            kernels.depthwise3x3(&packed.depthwise, input, shape, first..first + count, mixed);
            let rows = |data| Rows::new(data, count, shape.channels);
            let residual = Residual::Rows(rows(&input[index * part..][..output.len()]));
            run_mlp(kernels, &packed.mlp, MlpInput::Rows(rows(mixed)), residual, output, hidden);
        });
    }

    fn run_shared(
        &self,
        pool: &Pool,
        shared: SharedMlp,
        input: &[f32],
        output: &mut [f32],
        [contributions, scratch]: [&mut [f32]; 2],
    ) {
        let Self { kernels, packed, shape, .. } = *self;
        let all = shape.height * shape.width;
        let tokens = all.div_ceil(pool.threads());
        let part = tokens * shape.channels;
        let (mixed, contributions) = contributions.split_at_mut(shape.len());
        let slices = [Parts::new(mixed, part), Parts::new(output, part)];
        pool.for_each_part(all.div_ceil(tokens), slices, &mut [], |index, [mixed, output], _| {
            let first = index * tokens;
            kernels.depthwise3x3(&packed.depthwise, input, shape, first..(first + tokens).min(all), mixed);
            output.copy_from_slice(&input[index * part..][..output.len()]);
        });
        shared.add(kernels, pool, &packed.mlp, Some(mixed), output, [contributions, scratch]);
    }
}

impl SharedMlp {
    /// `output += mlp(input)`, where no `input` is given that of `output` as it was.
    fn add(
        self,
        kernels: Kernels,
        pool: &Pool,
        mlp: &PackedMlp,
        input: Option<&[f32]>,
        output: &mut [f32],
        [contributions, scratch]: [&mut [f32]; 2],
    ) {
        let mlp = mlp.kernel();
        let channels = mlp.second.outputs();
        let (all, part) = (output.len() / channels, self.tokens * channels);
        let cuts = all.div_ceil(self.tokens);
        let contributions = &mut contributions[..self.pieces * cuts * part];
        let source = input.unwrap_or(output);
        pool.for_each_part(self.pieces * cuts, [Parts::new(contributions, part)], scratch, |index, [sums], scratch| {
            let (piece, first) = (index / cuts, index % cuts * self.tokens);
            let tokens = self.tokens.min(all - first);
            let input = Rows::new(&source[first * channels..], tokens, channels);
            kernels.mlp_piece(mlp, piece, input, RowsMut::new(sums, tokens, channels), scratch);
        });
        // Cache lines of 16 floats, as many for each thread.
        let share = output.len().div_ceil(pool.threads()).next_multiple_of(16);
        let contributions: &[f32] = contributions;
        pool.for_each_part(output.len().div_ceil(share), [Parts::new(output, share)], &mut [], |index, [output], _| {
            for piece in contributions.chunks_exact(cuts * part) {
                kernels.add(&piece[index * share..][..output.len()], output);
            }
        });
    }
}

/// `output = residual + mlp(input)` for a few tokens.
fn run_mlp(
    kernels: Kernels,
    mlp: &PackedMlp,
    input: MlpInput<'_>,
    residual: Residual<'_>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    let channels = mlp.second.outputs();
    let tokens = output.len() / channels;
    let mut output = RowsMut::new(output, tokens, channels);
    if !mlp.activation.is_learnt() {
        kernels.mlp(mlp.kernel(), input, output, residual, scratch);
        return;
    }
    let width = mlp.first.outputs();
    let (hidden, scratch) = scratch.split_at_mut(tokens * width);
    let source = input.rows(&output);
    kernels.pointwise(&mlp.first, source, RowsMut::new(hidden, tokens, width), Epilogue::default(), scratch);
    mlp.activation.apply_learnt(hidden);
    if let Residual::Rows(rows) = residual {
        output.copy_from(rows, channels);
    }
    let accumulate = !matches!(residual, Residual::None);
    let second = Epilogue { activation: Activation::Identity, accumulate };
    kernels.pointwise(&mlp.second, Rows::new(hidden, tokens, width), output.part(0, tokens), second, scratch);
}

/// Efficient additive attention and the MLP behind it, in place.
struct AttentionTask<'a> {
    kernels: Kernels,
    packed: &'a PackedAttention,
    /// All tokens of the map.
    count: usize,
    /// Tokens of a task.
    tokens: usize,
    shared: Option<SharedMlp>,
}

struct AttentionBuffers<'a> {
    keys_queries: &'a mut [f32],
    partials: &'a mut [f32],
    contributions: &'a mut [f32],
    global: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl AttentionTask<'_> {
    fn run(&self, pool: &Pool, map: &mut [f32], buffers: AttentionBuffers<'_>) {
        let Self { kernels, packed, count, tokens, shared } = *self;
        let channels = packed.channels();
        let query_key = packed.query_key();
        let AttentionBuffers { keys_queries, partials, contributions, global, scratch } = buffers;
        let keys_queries = &mut keys_queries[..count * 2 * channels];
        let partials = &mut partials[..query_key.partials_len(count)];
        let global = &mut global[..channels];
        let input: &[f32] = map;
        let of_blocks = tokens.next_multiple_of(AttentionQueryKey::BLOCK);
        let partial = query_key.partials_len(of_blocks);
        let slices = [Parts::new(keys_queries, of_blocks * 2 * channels), Parts::new(partials, partial)];
        pool.for_each_part(count.div_ceil(of_blocks), slices, &mut *scratch, |index, parts, scratch| {
            let [keys_queries, partials] = parts;
            let count = keys_queries.len() / (2 * channels);
            let input = Rows::new(&input[index * of_blocks * channels..], count, channels);
            kernels.attention_keys_queries(query_key, input, keys_queries, partials, scratch);
        });
        kernels.attention_pool(packed.pooling, partials, global);
        let global: &[f32] = global;
        let slices = [Parts::new(&mut *map, tokens * channels), Parts::new(keys_queries, tokens * 2 * channels)];
        pool.for_each_part(count.div_ceil(tokens), slices, &mut *scratch, |_, [map, keys_queries], scratch| {
            let count = map.len() / channels;
            let output = RowsMut::new(map, count, channels);
            kernels.attention_update(&packed.output, global, keys_queries, output, true, scratch);
            if shared.is_none() {
                run_mlp(kernels, &packed.mlp, MlpInput::Output, Residual::Output, map, scratch);
            }
        });
        if let Some(shared) = shared {
            shared.add(kernels, pool, &packed.mlp, None, map, [contributions, scratch]);
        }
    }
}
