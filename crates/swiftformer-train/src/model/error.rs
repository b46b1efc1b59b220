//! What can go wrong with a network.

/// Why a network cannot be built or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A tensor that the network needs.
    #[error("the weights lack {tensor}")]
    Missing {
        /// Its place.
        tensor: String,
    },
    /// A tensor of another shape.
    #[error("{tensor} has shape {found:?}, the network needs {expected:?}")]
    Shape {
        /// Its place.
        tensor: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The shape given.
        found: Vec<usize>,
    },
    /// Images that the network cannot take.
    #[error("images of shape {found:?}: the network takes [batch, {channels}, height, width], 32×32 and more")]
    Images {
        /// Channels of the network's input.
        channels: usize,
        /// The shape given.
        found: Vec<usize>,
    },
    /// Attentions that are not one for each stage.
    #[error("{found} attentions for {stages} stages")]
    Attention {
        /// The network's stages.
        stages: usize,
        /// Attentions given.
        found: usize,
    },
    /// A batch without images, or too few values for the statistics of a BatchNorm.
    #[error("BatchNorm of {tokens} value(s) a channel has no variance: training needs more images or larger ones")]
    Statistics {
        /// Values of each channel in the batch.
        tokens: usize,
    },
    /// BatchNorm over several processes on a device whose operations are burn's own.
    #[error("BatchNorm takes statistics from several processes on the CPU only")]
    Synchronise,
    /// Numbers that the device does not have.
    #[error("the device has no bfloat16: train in f32 (run.precision)")]
    Precision,
    /// A device that ran out of memory, or broke.
    #[error(
        "the device failed: {why}. It may lack memory: smaller batches (--set batch=..., with --set accumulate=...) and \
         --set checkpointing=true need less"
    )]
    Device {
        /// What its driver says.
        why: String,
    },
}
