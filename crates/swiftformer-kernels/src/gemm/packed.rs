//! Weight matrices in the order in which a tile reads them.

use half::bf16;

use super::{BLOCK_ROWS, TILE_ROWS};
#[cfg(target_arch = "x86_64")]
use super::{
    amx::{self, TileMatrix},
    pairs,
};
use crate::buffer::AlignedBuffer;
#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::kernels::Kernel;
use crate::kernels::{IsaKind, Kernels};
use crate::precision::Precision;

/// A weight matrix with its bias, packed for one instruction set and one precision.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    kind: IsaKind,
    inputs: usize,
    outputs: usize,
    layout: Layout,
}

/// In which order the weights lie.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    Panels(PanelMatrix),
    #[cfg(target_arch = "x86_64")]
    Tiles(TileMatrix),
}

/// Weights for tiles of vectors.
///
/// The output channels are cut into panels of one to four vectors, as even as they go: 220 channels in vectors of 16
/// are 4 + 4 + 3 + 3, for a panel of one vector alone would wait for its own sums. Within a panel the weights of one
/// input channel lie side by side, zero-padded to whole vectors, the last one to half a vector where that saves time.
#[derive(Clone, Debug)]
pub(crate) struct PanelMatrix {
    vector_len: usize,
    tile_vectors: usize,
    /// Output channels in vectors.
    vectors: usize,
    /// Whether the last vector is a half.
    half: bool,
    weight: PanelWeight,
    bias: AlignedBuffer,
}

#[derive(Clone, Debug)]
pub(super) enum PanelWeight {
    F32(AlignedBuffer),
    /// Widened when they are read.
    Bf16(AlignedBuffer<u16>),
    /// For instructions that multiply pairs of inputs: the weights of two input channels in turns, where there is an odd
    /// number with zeros behind the last.
    #[cfg(target_arch = "x86_64")]
    Pairs {
        values: AlignedBuffer<u16>,
        /// Runs of input channels that are paired by themselves: what lies behind a run is no input of it.
        segments: usize,
    },
}

/// One panel: `vectors` vectors of output channels from `column` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) column: usize,
    pub(crate) vectors: usize,
    /// Whether the last of them is a half.
    pub(crate) half: bool,
    /// Weights of one input.
    pub(crate) width: usize,
}

impl PackedMatrix {
    /// Packs `weight`, `[outputs, inputs]` row-major, and `bias`, `[outputs]` (zeros if there is none), for `kernels` in
    /// their precision.
    ///
    /// # Panics
    /// When a slice's length does not fit the shape.
    pub fn pack(kernels: Kernels, weight: &[f32], bias: Option<&[f32]>, inputs: usize, outputs: usize) -> Self {
        Self::pack_segments(kernels, weight, bias, [1, inputs], outputs)
    }

    /// As [`PackedMatrix::pack`] for rows that lie in `segments` runs of `segment_len` inputs.
    fn pack_segments(
        kernels: Kernels,
        weight: &[f32],
        bias: Option<&[f32]>,
        [segments, segment_len]: [usize; 2],
        outputs: usize,
    ) -> Self {
        let inputs = segments * segment_len;
        let size = inputs.checked_mul(outputs).expect("a matrix that fits memory");
        assert_eq!(weight.len(), size, "weight of [{outputs}, {inputs}]");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "bias of [{outputs}]");
        let layout = match kernels.kind() {
            #[cfg(target_arch = "x86_64")]
            IsaKind::Amx => {
                let precision = kernels.precision();
                kernels.dispatch(PackTiles { precision, weight, bias, inputs, outputs })
            }
            _ => Layout::Panels(PanelMatrix::pack(kernels, weight, bias, [segments, segment_len], outputs)),
        };
        Self { kind: kernels.kind(), inputs, outputs, layout }
    }

    /// Packs a dense convolution's weight, `[outputs, inputs, height, width]` row-major, as the matrix
    /// `[outputs, height · width · inputs]` that [`Kernels::conv2d`] multiplies with.
    ///
    /// # Panics
    /// When a slice's length does not fit the shape.
    pub fn pack_conv2d(
        kernels: Kernels,
        weight: &[f32],
        bias: Option<&[f32]>,
        [outputs, inputs, height, width]: [usize; 4],
    ) -> Self {
        let taps = height * width;
        assert_eq!(weight.len(), outputs * inputs * taps, "weight of [{outputs}, {inputs}, {height}, {width}]");
        let mut reordered = vec![0.0; weight.len()];
        for output in 0..outputs {
            let start = output * inputs * taps;
            for input in 0..inputs {
                for tap in 0..taps {
                    reordered[start + tap * inputs + input] = weight[start + input * taps + tap];
                }
            }
        }
        Self::pack_segments(kernels, &reordered, bias, [height, width * inputs], outputs)
    }

    /// Input channels (for a convolution: times the kernel's taps).
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The instruction set that this is packed for.
    pub fn kind(&self) -> IsaKind {
        self.kind
    }

    /// Tokens that are best worked on at once, as whole rows of `width` tokens: enough to use every loaded weight many times,
    /// few enough that their hidden activations stay in the second-level cache, and as many as fill the tiles.
    pub fn block_tokens(&self, width: usize) -> usize {
        let width = width.max(1);
        match &self.layout {
            Layout::Panels(_) => (BLOCK_ROWS - TILE_ROWS).div_ceil(width) * width,
            #[cfg(target_arch = "x86_64")]
            Layout::Tiles(_) => {
                let [most, unit] = self.block_rows();
                let filled = |tokens: usize| 1000 * tokens / tokens.next_multiple_of(unit);
                let blocks = (1..=(most / width).max(1)).map(|rows| rows * width);
                blocks.max_by_key(|&tokens| (filled(tokens), tokens)).unwrap_or(width)
            }
        }
    }

    /// The order of the weights.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Floats of scratch that a product needs with `rows` rows at once that cover `covered` inputs: the windows of a
    /// convolution overlap.
    pub(crate) fn scratch_len(&self, _rows: usize, _covered: usize) -> usize {
        match &self.layout {
            #[cfg(target_arch = "x86_64")]
            Layout::Panels(panels) if panels.in_pairs() => pairs::scratch_len(_covered),
            Layout::Panels(_) => 0,
            #[cfg(target_arch = "x86_64")]
            Layout::Tiles(tiles) => tiles.scratch_len(_rows),
        }
    }

    /// The most rows to multiply at once, and what their number is best a multiple of.
    pub(crate) fn block_rows(&self) -> [usize; 2] {
        match &self.layout {
            Layout::Panels(_) => [BLOCK_ROWS, TILE_ROWS],
            #[cfg(target_arch = "x86_64")]
            Layout::Tiles(_) => [amx::BLOCK_ROWS, 32],
        }
    }
}

/// Packs tiles with the instructions that come with them.
#[cfg(target_arch = "x86_64")]
struct PackTiles<'a> {
    precision: Precision,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    inputs: usize,
    outputs: usize,
}

#[cfg(target_arch = "x86_64")]
impl Kernel for PackTiles<'_> {
    type Output = Layout;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Layout {
        let Self { precision, weight, bias, inputs, outputs } = self;
        let amx = isa.tiles().expect("tiles are packed for AMX only");
        Layout::Tiles(TileMatrix::pack(amx, precision, weight, bias, inputs, outputs))
    }
}

/// Whether there is an instruction that multiplies pairs of bfloat16.
#[cfg(target_arch = "x86_64")]
struct HasPairs;

#[cfg(target_arch = "x86_64")]
impl Kernel for HasPairs {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> bool {
        isa.bf16_pairs().is_some()
    }
}

impl PanelMatrix {
    fn pack(
        kernels: Kernels,
        weight: &[f32],
        bias: Option<&[f32]>,
        [segments, segment_len]: [usize; 2],
        outputs: usize,
    ) -> Self {
        let vector_len = kernels.vector_len();
        let vectors = outputs.div_ceil(vector_len);
        let padded = vectors * vector_len;
        #[cfg(target_arch = "x86_64")]
        let in_pairs = kernels.precision() == Precision::Bf16 && kernels.dispatch(HasPairs);
        #[cfg(not(target_arch = "x86_64"))]
        let in_pairs = false;
        let half = kernels.halves()
            && (kernels.precision() == Precision::F32 || in_pairs)
            && (1..=vector_len / 2).contains(&(outputs % vector_len));
        // Numbers of one input in all panels.
        let lanes = padded - if half { vector_len / 2 } else { 0 };
        let mut packed = Self {
            vector_len,
            tile_vectors: kernels.tile_vectors(),
            vectors,
            half,
            weight: PanelWeight::F32(AlignedBuffer::zeros(0)),
            bias: AlignedBuffer::zeros(padded),
        };
        if let Some(bias) = bias {
            packed.bias[..outputs].copy_from_slice(bias);
        }
        let inputs = segments * segment_len;
        let shape = [inputs, outputs];
        packed.weight = match kernels.precision() {
            Precision::F32 => {
                let mut target = AlignedBuffer::for_weights(lanes * inputs);
                packed.arrange(weight, shape, &mut target, |value| value);
                PanelWeight::F32(target)
            }
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 if in_pairs => {
                let depth = segments * segment_len.next_multiple_of(2);
                let mut values = AlignedBuffer::for_weights(lanes * depth);
                packed.arrange_pairs(weight, [segments, segment_len, outputs], &mut values);
                PanelWeight::Pairs { values, segments }
            }
            Precision::Bf16 => {
                let mut target = AlignedBuffer::for_weights(padded * inputs);
                packed.arrange(weight, shape, &mut target, |value| bf16::from_f32(value).to_bits());
                PanelWeight::Bf16(target)
            }
        };
        packed
    }

    /// Writes the weights in the panels' order.
    fn arrange<T>(&self, weight: &[f32], [inputs, outputs]: [usize; 2], target: &mut [T], convert: impl Fn(f32) -> T) {
        for index in 0..self.panels() {
            let panel = self.panel(index);
            let width = panel.width;
            let target = &mut target[panel.column * inputs..][..width * inputs];
            for (input, target) in target.chunks_exact_mut(width).enumerate() {
                let columns = width.min(outputs - panel.column);
                for (lane, value) in target[..columns].iter_mut().enumerate() {
                    *value = convert(weight[(panel.column + lane) * inputs + input]);
                }
            }
        }
    }

    /// Writes the weights in the panels' order, in pairs.
    #[cfg(target_arch = "x86_64")]
    fn arrange_pairs(&self, weight: &[f32], [segments, segment_len, outputs]: [usize; 3], target: &mut [u16]) {
        let (inputs, padded_len) = (segments * segment_len, segment_len.next_multiple_of(2));
        let depth = segments * padded_len;
        for index in 0..self.panels() {
            let panel = self.panel(index);
            let width = panel.width;
            let target = &mut target[panel.column * depth..][..width * depth];
            let columns = width.min(outputs - panel.column);
            for input in 0..inputs {
                let at = input / segment_len * padded_len + input % segment_len;
                let target = target[at / 2 * 2 * width + at % 2..].iter_mut().step_by(2);
                for (lane, value) in target.take(columns).enumerate() {
                    *value = bf16::from_f32(weight[(panel.column + lane) * inputs + input]).to_bits();
                }
            }
        }
    }

    /// Whether the weights are in pairs.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn in_pairs(&self) -> bool {
        matches!(self.weight, PanelWeight::Pairs { .. })
    }

    /// How many panels there are.
    pub(crate) fn panels(&self) -> usize {
        self.vectors.div_ceil(self.tile_vectors)
    }

    /// Panel `index`: the first ones are one vector wider where the vectors do not divide evenly.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> Panel {
        let panels = self.panels();
        let (narrow, wide_panels) = (self.vectors / panels, self.vectors % panels);
        let first = index * narrow + index.min(wide_panels);
        let vectors = narrow + usize::from(index < wide_panels);
        let half = self.half && index + 1 == panels;
        let width = vectors * self.vector_len - if half { self.vector_len / 2 } else { 0 };
        Panel { column: first * self.vector_len, vectors, half, width }
    }

    /// All panels' weights; a panel's, `[inputs, width]`, start at `column · inputs`. (Inputs in pairs:
    /// `[inputs / 2, width, 2]`, the inputs of each segment made even.)
    #[inline(always)]
    pub(super) fn weight(&self) -> &PanelWeight {
        &self.weight
    }

    /// A panel's bias, zero-padded to whole vectors.
    #[inline(always)]
    pub(crate) fn panel_bias(&self, panel: Panel) -> &[f32] {
        &self.bias[panel.column..][..panel.vectors * self.vector_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_all_channels_and_differ_by_one_vector_at_most() {
        for kind in Kernels::available() {
            let kernels = Kernels::with(kind).expect("available");
            for outputs in 1..300 {
                let packed = PanelMatrix::pack(kernels, &vec![1.0; outputs], None, [1, 1], outputs);
                let panels: Vec<Panel> = (0..packed.panels()).map(|index| packed.panel(index)).collect();
                let mut column = 0;
                for panel in &panels {
                    assert_eq!(panel.column, column);
                    column += panel.width;
                }
                let unit = if kernels.halves() { kernels.vector_len() / 2 } else { kernels.vector_len() };
                assert_eq!(column, outputs.next_multiple_of(unit));
                let widths = panels.iter().map(|panel| panel.vectors);
                let (least, most) = (widths.clone().min().expect("one panel"), widths.max().expect("one panel"));
                assert!(most - least <= 1 && most <= kernels.tile_vectors());
            }
        }
    }
}
