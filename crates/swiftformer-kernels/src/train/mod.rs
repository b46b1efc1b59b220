//! Kernels of training: parameter updates, and blocks forwards and backwards.
//!
//! Maps are `[batch, height, width, channels]`, parameters and their gradients have PyTorch's shapes. An [`Engine`] holds
//! the threads and the scratch memory. Sums run in an order that the shapes alone decide, so the number of threads changes
//! no bit.

mod attention;
mod block;
mod convolution;
mod depthwise;
mod engine;
mod gelu;
mod gemm;
mod hidden;
mod pack;
mod rows;
mod shared;
mod update;

pub use attention::{AdditiveAttention, AttentionGradients, AttentionParameters, AttentionState};
pub use block::{Block, BlockGradients, BlockState, ChannelStatistics};
pub use convolution::{ConvNorm, ConvNormGradients, ConvNormState};
pub use engine::{Engine, keep_freed_memory};
pub use hidden::{Hidden, HiddenGradients};
pub use shared::SharedAverage;
pub use update::{AdamW, Sgd};
