//! Buffers that start at a cache line.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// One cache line, one AVX-512 register.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// Plain numbers of which every bit pattern is valid, all zeros included, and whose size divides 64 bytes.
///
/// # Safety
/// Implementors are such numbers.
pub unsafe trait Plain: Copy {}
// SAFETY: any 32 bits are a float.
unsafe impl Plain for f32 {}
// SAFETY: any 16 bits are a number.
unsafe impl Plain for u16 {}

/// A fixed-length buffer of numbers whose first element starts a 64-byte cache line, so that vector loads at multiples of
/// 64 bytes never straddle two lines.
///
/// ```
/// let buffer = swiftformer_kernels::AlignedBuffer::<f32>::zeros(5);
/// assert_eq!(*buffer, [0.0; 5]);
/// assert_eq!(buffer.as_ptr() as usize % 64, 0);
/// ```
#[derive(Clone, Debug)]
pub struct AlignedBuffer<T: Plain = f32> {
    lines: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Plain> AlignedBuffer<T> {
    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let in_line = size_of::<Line>() / size_of::<T>();
        Self { lines: vec![Line([0; 8]); len.div_ceil(in_line)], len, of: PhantomData }
    }
}

impl<T: Plain> Deref for AlignedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `len` initialised numbers without gaps (`Line` is `repr(C)`, 64 bytes).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
