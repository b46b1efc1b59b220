//! Buffers that start at a cache line.

mod stretch;

use std::alloc::{self, Layout};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use self::stretch::Stretch;

/// One cache line, one AVX-512 register.
const LINE: usize = 64;

/// Buffers of this many bytes and more start at a large page, and ask for large pages where the system has them: the
/// weights of a big model are read once an image, and with small pages finding them costs as much as reading them.
const LARGE_PAGE: usize = 2 << 20;

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
pub struct AlignedBuffer<T: Plain = f32> {
    start: NonNull<T>,
    len: usize,
    /// Where the memory is a part of something else.
    stretch: Option<Arc<Stretch>>,
}

// SAFETY: the buffer owns its numbers, as a `Vec` does; a stretch gives them to nobody else.
unsafe impl<T: Plain + Send> Send for AlignedBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Plain + Sync> Sync for AlignedBuffer<T> {}

impl<T: Plain> AlignedBuffer<T> {
    /// A buffer of `len` zeros.
    ///
    /// # Panics
    /// When the size overflows; a lack of memory aborts, as everywhere.
    pub fn zeros(len: usize) -> Self {
        let Some(layout) = Self::layout(len) else {
            return Self { start: NonNull::dangling(), len: 0, stretch: None };
        };
        let large = layout.size() >= LARGE_PAGE;
        // SAFETY: the layout is not empty.
        let start = unsafe { if large { alloc::alloc(layout) } else { alloc::alloc_zeroed(layout) } };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        if large {
            ask_for_large_pages(start, layout.size());
            // SAFETY: so many bytes were allocated.
            unsafe { start.write_bytes(0, layout.size()) };
        }
        Self { start: start.cast(), len, stretch: None }
    }

    /// A buffer of `len` zeros that is kept long and read often: in large pages, even if it is not that large.
    ///
    /// # Panics
    /// As [`AlignedBuffer::zeros`].
    pub(crate) fn for_weights(len: usize) -> Self {
        match len.checked_mul(size_of::<T>()).and_then(Stretch::cut) {
            Some((start, stretch)) => Self { start: start.cast(), len, stretch: Some(stretch) },
            None => Self::zeros(len),
        }
    }

    /// None for nothing.
    fn layout(len: usize) -> Option<Layout> {
        let size = len.checked_mul(size_of::<T>()).expect("a buffer that fits memory");
        let align = if size >= LARGE_PAGE { LARGE_PAGE } else { LINE };
        let layout = Layout::from_size_align(size, align).expect("a buffer that fits memory");
        (size > 0).then_some(layout)
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
fn ask_for_large_pages(start: NonNull<u8>, size: usize) {
    // SAFETY: advice about memory that was just allocated; its contents stay. A refusal changes nothing.
    unsafe { libc::madvise(start.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn ask_for_large_pages(_start: NonNull<u8>, _size: usize) {}

impl<T: Plain> Drop for AlignedBuffer<T> {
    fn drop(&mut self) {
        if self.stretch.is_some() {
            return;
        }
        if let Some(layout) = Self::layout(self.len) {
            // SAFETY: allocated in `zeros` with this layout.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

impl<T: Plain> Clone for AlignedBuffer<T> {
    fn clone(&self) -> Self {
        let mut copy = if self.stretch.is_some() { Self::for_weights(self.len) } else { Self::zeros(self.len) };
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Plain> fmt::Debug for AlignedBuffer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AlignedBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T: Plain> Deref for AlignedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised numbers, or a dangling pointer to none.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}
