//! Sizes of the feature maps and counts of operations for an input size.

use super::{Arch, Block, Conv, ConvBlock, Tail};

/// Smallest side of an input image, in pixels.
pub const MIN_SIDE: usize = 32;
/// The most pixels of a map. With at most 2³⁰ weights, no count of operations overflows.
const MAX_PIXELS: usize = 1 << 31;

/// An input that the network cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// A side under 32 pixels.
    #[error("the input is {height}×{width} pixels; the smallest side must be at least {MIN_SIDE}")]
    TooSmall {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// A transition whose kernel is larger than the padded map before it.
    #[error(
        "the transition before stage {stage} has a {kernel:?} kernel, but its padded input is only {padded:?}: \
         use a larger image"
    )]
    KernelTooLarge {
        /// The stage behind the transition.
        stage: usize,
        /// Kernel `[height, width]`.
        kernel: [usize; 2],
        /// Map with padding `[height, width]`.
        padded: [usize; 2],
    },
    /// A map too large to address.
    #[error("an input of {height}×{width} pixels is too large")]
    TooLarge {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
}

/// Map sizes and multiply-accumulates of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageGeometry {
    /// `[height, width]` of the stage's maps.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Multiply-accumulates of the transition before the stage.
    pub transition_macs: u64,
    /// Multiply-accumulates of the stage's blocks.
    pub block_macs: u64,
}

impl Conv {
    /// `[height, width]` of the output, or `None` when the padded input is smaller than the kernel.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let side = |axis: usize| {
            let padded = input[axis].checked_add(2 * self.padding[axis])?;
            Some(padded.checked_sub(self.kernel[axis])? / self.stride[axis] + 1)
        };
        Some([side(0)?, side(1)?])
    }

    /// Multiply-accumulates for an output of `size`.
    pub fn macs(&self, size: [usize; 2]) -> u64 {
        let taps = self.kernel[0] * self.kernel[1] * self.in_channels / self.groups;
        (size[0] * size[1]) as u64 * (taps * self.out_channels) as u64
    }
}

impl Arch {
    /// `[height, width]` after each of the stem's convolutions.
    ///
    /// # Errors
    /// When a side is under 32 pixels, or the map is too large to address.
    pub fn stem_sizes(&self, input: [usize; 2]) -> Result<[[usize; 2]; 2], GeometryError> {
        let [height, width] = input;
        if height < MIN_SIDE || width < MIN_SIDE {
            return Err(GeometryError::TooSmall { height, width });
        }
        if !self.is_addressable(input) {
            return Err(GeometryError::TooLarge { height, width });
        }
        let halved = |size: [usize; 2]| size.map(|side| side.div_ceil(2));
        Ok([halved(input), halved(halved(input))])
    }

    /// Whether a map of `size` can be held in memory at every width of the network.
    fn is_addressable(&self, [height, width]: [usize; 2]) -> bool {
        let widest = self.stages.iter().map(|stage| stage.dim).max().unwrap_or(1).max(self.config.num_channels);
        let pixels = height.checked_mul(width).filter(|&pixels| pixels <= MAX_PIXELS);
        pixels
            .and_then(|pixels| pixels.checked_mul(widest * 16))
            .is_some_and(|values| values <= isize::MAX as usize / 4)
    }

    /// Sizes and operation counts of every stage for an input `[height, width]`.
    ///
    /// # Errors
    /// When a side is under 32 pixels, a transition's kernel does not fit its map, or a map is too large to address.
    pub fn geometry(&self, input: [usize; 2]) -> Result<Vec<StageGeometry>, GeometryError> {
        let [_, mut size] = self.stem_sizes(input)?;
        let mut stages = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let mut transition_macs = 0;
            if let Some(transition) = &stage.transition {
                let conv = &transition.conv;
                let padded = [size[0] + 2 * conv.padding[0], size[1] + 2 * conv.padding[1]];
                let too_large = GeometryError::KernelTooLarge { stage: index, kernel: conv.kernel, padded };
                size = conv.output_size(size).ok_or(too_large)?;
                // Padding can make maps grow from stage to stage.
                if !self.is_addressable(size) {
                    let [height, width] = input;
                    return Err(GeometryError::TooLarge { height, width });
                }
                transition_macs = conv.macs(size);
            }
            let block_macs = stage.blocks.iter().map(|block| block_macs(block, size)).sum();
            stages.push(StageGeometry { size, channels: stage.dim, transition_macs, block_macs });
        }
        Ok(stages)
    }

    /// Multiply-accumulates of one image `[height, width]`: convolutions, linear layers and `q · w_g`, as PyTorch's
    /// operation counter counts them.
    ///
    /// # Errors
    /// As [`Arch::geometry`].
    pub fn macs(&self, input: [usize; 2]) -> Result<u64, GeometryError> {
        let sizes = self.stem_sizes(input)?;
        let stem: u64 = self.stem.iter().zip(sizes).map(|(layer, size)| layer.conv.macs(size)).sum();
        let stages: u64 = self.geometry(input)?.iter().map(|stage| stage.transition_macs + stage.block_macs).sum();
        let heads = match &self.tail {
            Tail::Classifier { heads: Some(heads), .. } => {
                heads.iter().map(|head| (head.in_features * head.out_features) as u64).sum()
            }
            _ => 0,
        };
        Ok(stem + stages + heads)
    }
}

fn conv_block_macs(block: &ConvBlock, size: [usize; 2]) -> u64 {
    block.depthwise.conv.macs(size) + block.pointwise1.macs(size) + block.pointwise2.macs(size)
}

fn block_macs(block: &Block, size: [usize; 2]) -> u64 {
    match block {
        Block::ConvEncoder(conv) => conv_block_macs(conv, size),
        Block::Attention(block) => {
            let attention = &block.attention;
            let tokens = (size[0] * size[1]) as u64;
            let linears = [&attention.query, &attention.key, &attention.proj, &attention.last];
            let products: u64 = linears.iter().map(|linear| (linear.in_features * linear.out_features) as u64).sum();
            let token_weights = attention.query.out_features as u64;
            conv_block_macs(&block.local, size)
                + tokens * (products + token_weights)
                + block.fc1.macs(size)
                + block.fc2.macs(size)
        }
    }
}
