//! Weight matrices in the order in which a tile reads them.

use crate::buffer::AlignedBuffer;
use crate::kernels::{IsaKind, Kernels};

/// A weight matrix with its bias, packed for one instruction set.
///
/// The output channels are cut into panels of one to four vectors, as even as they go: 220 channels in vectors of 16
/// are 4 + 4 + 3 + 3, for a panel of one vector alone would wait for its own sums. Within a panel the weights of one
/// input channel lie side by side, zero-padded to whole vectors.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    kind: IsaKind,
    vector_len: usize,
    tile_vectors: usize,
    inputs: usize,
    outputs: usize,
    weight: AlignedBuffer,
    bias: AlignedBuffer,
}

/// One panel: `vectors` vectors of output channels from `column` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) column: usize,
    pub(crate) vectors: usize,
}

impl PackedMatrix {
    /// Packs `weight`, `[outputs, inputs]` row-major, and `bias`, `[outputs]` (zeros if there is none), for `kernels`.
    ///
    /// # Panics
    /// When a slice's length does not fit the shape.
    pub fn pack(kernels: Kernels, weight: &[f32], bias: Option<&[f32]>, inputs: usize, outputs: usize) -> Self {
        let size = inputs.checked_mul(outputs).expect("a matrix that fits memory");
        assert_eq!(weight.len(), size, "weight of [{outputs}, {inputs}]");
        let vector_len = kernels.vector_len();
        let padded = outputs.next_multiple_of(vector_len);
        let mut packed = Self {
            kind: kernels.kind(),
            vector_len,
            tile_vectors: kernels.tile_vectors(),
            inputs,
            outputs,
            weight: AlignedBuffer::zeros(padded * inputs),
            bias: AlignedBuffer::zeros(padded),
        };
        if let Some(bias) = bias {
            assert_eq!(bias.len(), outputs, "bias of [{outputs}]");
            packed.bias[..outputs].copy_from_slice(bias);
        }
        for index in 0..packed.panels() {
            let panel = packed.panel(index);
            let width = panel.vectors * vector_len;
            let target = &mut packed.weight[panel.column * inputs..][..width * inputs];
            for (input, target) in target.chunks_exact_mut(width).enumerate() {
                let columns = width.min(outputs - panel.column);
                for (lane, value) in target[..columns].iter_mut().enumerate() {
                    *value = weight[(panel.column + lane) * inputs + input];
                }
            }
        }
        packed
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
        Self::pack(kernels, &reordered, bias, inputs * taps, outputs)
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

    /// How many panels there are.
    pub(crate) fn panels(&self) -> usize {
        self.outputs.div_ceil(self.vector_len).div_ceil(self.tile_vectors)
    }

    /// Panel `index`: the first ones are one vector wider where the vectors do not divide evenly.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> Panel {
        let vectors = self.outputs.div_ceil(self.vector_len);
        let panels = vectors.div_ceil(self.tile_vectors);
        let (narrow, wide_panels) = (vectors / panels, vectors % panels);
        let first = index * narrow + index.min(wide_panels);
        Panel { column: first * self.vector_len, vectors: narrow + usize::from(index < wide_panels) }
    }

    /// A panel's weights, `[inputs, vectors · vector_len]`.
    #[inline(always)]
    pub(crate) fn panel_weight(&self, panel: Panel) -> &[f32] {
        &self.weight[panel.column * self.inputs..][..panel.vectors * self.vector_len * self.inputs]
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
                let packed = PackedMatrix::pack(kernels, &vec![1.0; outputs], None, 1, outputs);
                let panels: Vec<Panel> = (0..packed.panels()).map(|index| packed.panel(index)).collect();
                let mut column = 0;
                for panel in &panels {
                    assert_eq!(panel.column, column);
                    column += panel.vectors * kernels.vector_len();
                }
                assert_eq!(column, outputs.next_multiple_of(kernels.vector_len()));
                let widths = panels.iter().map(|panel| panel.vectors);
                let (least, most) = (widths.clone().min().expect("one panel"), widths.max().expect("one panel"));
                assert!(most - least <= 1 && most <= kernels.tile_vectors());
            }
        }
    }
}
