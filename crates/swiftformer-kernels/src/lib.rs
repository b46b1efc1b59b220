//! SIMD kernels of the SwiftFormer inference engine.
//!
//! Slices and shapes go in, slices come out; the crate knows nothing of models. All `unsafe` code of the
//! workspace lives here.
//!
//! [`Kernels`] is a choice of instruction set, made once; its methods are the kernels. Activations are `f32` in
//! `[tokens, channels]` order (NHWC, `tokens = height · width`). Every kernel works on a range of tokens or image rows
//! and runs on the calling thread, so that a caller splits the work as it likes; results do not depend on the split.
//! Every kernel checks its slices' lengths at entry and panics where they do not fit its shapes.
//!
//! ```
//! use swiftformer_kernels::{Activation, Epilogue, Kernels, PackedMatrix, Rows, RowsMut};
//!
//! let kernels = Kernels::detect();
//! // Two input channels, three output channels; one row of weights per output channel.
//! let weight = PackedMatrix::pack(kernels, &[1.0, 0.0, 0.0, 1.0, 1.0, -2.0], Some(&[0.0, 0.5, 0.0]), 2, 3);
//! let mut output = [0.0; 3];
//! kernels.pointwise(
//!     &weight,
//!     Rows::new(&[3.0, 4.0], 1, 2),
//!     RowsMut::new(&mut output, 1, 3),
//!     Epilogue { activation: Activation::Relu, ..Epilogue::default() },
//!     &mut vec![0.0; weight.pointwise_scratch_len(1)],
//! );
//! assert_eq!(output, [3.0, 4.5, 0.0]);
//! ```

mod activation;
mod attention;
mod buffer;
mod ceiling;
mod conv;
mod depthwise;
mod gemm;
mod isa;
mod kernels;
mod layout;
mod math;
mod mlp;
mod pointwise;
mod pool;
mod precision;
pub mod reference;
mod resample;
mod rows;
mod subnormals;
mod tokens;
pub mod train;
mod unroll;

pub use activation::Activation;
pub use attention::{AttentionQueryKey, Pooling};
pub use buffer::{AlignedBuffer, Plain};
pub use conv::{Conv2d, Conv2dShape};
pub use depthwise::{Depthwise3x3, ImageShape};
pub use gemm::PackedMatrix;
pub use kernels::{IsaKind, Kernels};
pub use layout::{nchw_to_nhwc, nhwc_to_nchw};
pub use mlp::{Mlp, MlpInput};
pub use pointwise::Epilogue;
pub use pool::{Parts, Pool};
pub use precision::Precision;
pub use resample::{RESAMPLE_BITS, RESAMPLE_HALF, ResampleTaps};
pub use rows::{Rows, RowsMut};
pub use subnormals::SubnormalsAsZero;
