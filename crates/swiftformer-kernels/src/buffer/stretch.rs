//! Large pages that many buffers share.
//!
//! The weights of a model are read once an image, and between two readings their places in memory have left the caches
//! that translate addresses: with small pages, finding weights costs as much as reading them. A matrix is rarely as big as
//! a large page, so matrices are cut one after the other from stretches of address space in large pages. Memory is taken
//! as it is written, and given back when all buffers of a stretch are gone.

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{LARGE_PAGE, LINE, ask_for_large_pages};

/// Bytes of a stretch.
const STRETCH: usize = 32 << 20;

/// Bytes of a buffer that is cut from a stretch: smaller ones hardly matter, and of larger ones little would be left over.
const CUT: std::ops::Range<usize> = 32 << 10..STRETCH / 4;

const LAYOUT: Layout = match Layout::from_size_align(STRETCH, LARGE_PAGE) {
    Ok(layout) => layout,
    Err(_) => panic!("a stretch is a whole number of large pages"),
};

/// A stretch of address space from which buffers are cut.
pub(super) struct Stretch(NonNull<u8>);

// SAFETY: the pointer is only kept for giving the memory back.
unsafe impl Send for Stretch {}
// SAFETY: as above.
unsafe impl Sync for Stretch {}

/// The stretch that is being cut, and its bytes that are taken.
static CURRENT: Mutex<(Weak<Stretch>, usize)> = Mutex::new((Weak::new(), 0));

impl Stretch {
    /// `size` bytes, zero, from a cache line on: for as long as the stretch is kept. `None` for sizes that want memory of
    /// their own, and where nothing is known of large pages.
    pub(super) fn cut(size: usize) -> Option<(NonNull<u8>, Arc<Self>)> {
        if !cfg!(all(target_os = "linux", not(miri))) || !CUT.contains(&size) {
            return None;
        }
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let (stretch, taken) = match current.0.upgrade() {
            Some(stretch) if size <= STRETCH - current.1 => (stretch, current.1),
            _ => (Arc::new(Self::new()), 0),
        };
        *current = (Arc::downgrade(&stretch), (taken + size).next_multiple_of(LINE));
        drop(current);
        // SAFETY: `taken + size` is within the stretch, and nobody else has these bytes.
        let start = unsafe {
            let start = stretch.0.add(taken);
            start.write_bytes(0, size);
            start
        };
        Some((start, stretch))
    }

    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc::alloc(LAYOUT) };
        let start = NonNull::new(start).unwrap_or_else(|| alloc::handle_alloc_error(LAYOUT));
        ask_for_large_pages(start, STRETCH);
        Self(start)
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; every buffer that was cut from it kept the stretch.
        unsafe { alloc::dealloc(self.0.as_ptr(), LAYOUT) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::AlignedBuffer;
    use super::*;

    #[test]
    fn buffers_cut_from_stretches_are_zero_aligned_and_apart() {
        let len = CUT.start / 4 + 5;
        let mut buffers: Vec<_> =
            (0..3 * STRETCH / (len * 4)).map(|_| AlignedBuffer::<f32>::for_weights(len)).collect();
        for (index, buffer) in buffers.iter_mut().enumerate() {
            assert!(buffer.iter().all(|&value| value == 0.0), "buffer {index}");
            assert_eq!(buffer.as_ptr() as usize % LINE, 0);
            buffer.fill(index as f32);
        }
        for (index, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|&value| value == index as f32), "buffer {index} was written through another");
        }
        // What is given back is zero again where it is cut anew.
        buffers.clear();
        assert!(AlignedBuffer::<f32>::for_weights(len).iter().all(|&value| value == 0.0));
    }

    #[test]
    fn a_buffer_outlives_its_neighbours() {
        let len = CUT.start / 4;
        let first = AlignedBuffer::<f32>::for_weights(len);
        let mut second = AlignedBuffer::<f32>::for_weights(len);
        second.fill(2.0);
        drop(first);
        let copy = second.clone();
        drop(second);
        assert!(copy.iter().all(|&value| value == 2.0));
    }
}
