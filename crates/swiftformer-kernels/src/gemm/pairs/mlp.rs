//! Both layers of an MLP in bfloat16, its hidden layer rounded as soon as it is activated.

use core::arch::x86_64::{__m512, _mm256_storeu_si256};

use super::stage::{round_vector, stage};
use super::{Finish, LANES, Store, run};
use crate::activation::{Activation, activate_rows};
use crate::gemm::packed::{Layout, PanelMatrix};
use crate::gemm::scratch::{Scratch, floats, row_stride};
use crate::gemm::view::InputView;
use crate::isa::{Isa, avx512::Avx512Bf16};
use crate::kernels::Kernel;
use crate::math;
use crate::mlp::{Mlp, MlpInput, Residual};
use crate::rows::{Rows, RowsMut};

/// The matrices of an MLP that is packed in pairs.
pub(crate) fn mlp_panels(mlp: Mlp<'_>) -> Option<[&PanelMatrix; 2]> {
    match (mlp.first.layout(), mlp.second.layout()) {
        (Layout::Panels(first), Layout::Panels(second)) if first.in_pairs() && second.in_pairs() => {
            Some([first, second])
        }
        _ => None,
    }
}

/// Floats of scratch for [`MlpBlock`] on `rows` rows.
pub(crate) fn mlp_scratch_len(mlp: Mlp<'_>, rows: usize) -> usize {
    super::scratch_len(rows * mlp.first.inputs()) + floats(rows * row_stride(mlp.first.outputs()))
}

/// One block of an MLP whose matrices lie in pairs.
pub(crate) struct MlpBlock<'a> {
    pub(crate) mlp: Mlp<'a>,
    /// As [`mlp_panels`] says.
    pub(crate) panels: [&'a PanelMatrix; 2],
    pub(crate) input: MlpInput<'a>,
    pub(crate) output: RowsMut<'a>,
    pub(crate) residual: Residual<'a>,
    pub(crate) scratch: &'a mut [f32],
}

impl Kernel for MlpBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let pairs = isa.bf16_pairs().expect("pairs are packed where there is an instruction for them");
        if self.output.rows > 0 && self.mlp.second.outputs() > 0 {
            // SAFETY: the entry checked the views, the matrices and the scratch; the token proves the instructions.
            unsafe { run_block(pairs, self) };
        }
    }
}

/// # Safety
/// Views, matrices and scratch fit each other.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
unsafe fn run_block(pairs: Avx512Bf16, block: MlpBlock<'_>) {
    let MlpBlock { mlp, panels: [first, second], input, output, residual, scratch } = block;
    let (rows, hidden_channels) = (output.rows, mlp.first.outputs());
    let RowsMut { data, stride, .. } = output;
    let mut scratch = Scratch::new(scratch);
    let hidden_stride = row_stride(hidden_channels);
    let hidden = scratch.cut(rows * hidden_stride);
    // SAFETY: the caller vouches for the shapes. Where the input is the output, its view is made from the same exclusive
    // borrow, and used before the output is written.
    unsafe {
        let target = data.as_mut_ptr();
        let input = match input {
            MlpInput::Rows(rows) => rows,
            MlpInput::Output => Rows::new(std::slice::from_raw_parts(target, data.len()), rows, stride),
        };
        let residual = residual.source(target, stride);
        let input = stage(pairs, InputView::rows(input, mlp.first.inputs()), &mut scratch);
        let finish = Hidden { rows: hidden.as_mut_ptr(), stride: hidden_stride, activation: mlp.activation };
        match mlp.activation {
            Activation::Gelu => run(pairs, first, input, Gelu(finish)),
            _ => run(pairs, first, input, finish),
        }
        let hidden = InputView::plain(&*hidden, [rows, hidden_stride], hidden_channels);
        run(pairs, second, hidden, Store { output: target, stride, residual, columns: mlp.second.outputs() });
    }
}

/// Into rows of bfloat16, which have room for whole vectors.
#[derive(Clone, Copy)]
struct Hidden {
    rows: *mut u16,
    stride: usize,
    activation: Activation,
}

impl Hidden {
    /// # Safety
    /// Row and channels exist, and so do the instructions.
    #[inline(always)]
    unsafe fn write(self, row: usize, column: usize, values: __m512) {
        // SAFETY: as the caller promises; rows end at a multiple of two vectors.
        unsafe { _mm256_storeu_si256(self.rows.add(row * self.stride + column).cast(), round_vector(values)) };
    }
}

impl Finish for Hidden {
    #[inline(always)]
    unsafe fn take(self, pairs: Avx512Bf16, row: usize, column: usize, sums: __m512) {
        // SAFETY: as the caller promises; the token proves the instructions.
        unsafe { self.write(row, column, activate(pairs, self.activation, sums)) };
    }
}

/// A function of its own, since tiles call it for each of their vectors.
///
/// # Safety
/// The CPU has the instructions.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
#[inline(never)]
unsafe fn activate(pairs: Avx512Bf16, activation: Activation, sums: __m512) -> __m512 {
    let isa = pairs.vectors();
    let mut lanes = [0.0; LANES];
    // SAFETY: a row of sixteen floats.
    unsafe {
        isa.store(lanes.as_mut_ptr(), sums);
        activate_rows(isa, activation, lanes.as_mut_ptr(), [1, LANES, LANES]);
        isa.load(lanes.as_ptr())
    }
}

/// GELU, in registers.
#[derive(Clone, Copy)]
struct Gelu(Hidden);

impl Finish for Gelu {
    #[inline(always)]
    unsafe fn take(self, pairs: Avx512Bf16, row: usize, column: usize, sums: __m512) {
        // SAFETY: as the caller promises.
        unsafe { self.0.write(row, column, math::gelu_to_bf16(pairs.vectors(), sums)) };
    }
}
