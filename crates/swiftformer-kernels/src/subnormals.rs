//! Subnormal numbers as zero, since x86 CPUs take a hundred times as long for a multiply-add that meets one.

use std::marker::PhantomData;

/// While it lives, subnormal numbers (below 1.2e-38) count as zero in this thread's float operations, where they would slow
/// the CPU down: on x86-64. Other CPUs multiply them at full speed.
///
/// The compiler takes the default mode for granted, so what it computes itself may still be subnormal; nothing here depends
/// on which of the two a result is.
///
/// ```
/// use swiftformer_kernels::SubnormalsAsZero;
///
/// let outside = std::hint::black_box(1e-40f32) * std::hint::black_box(2.0);
/// {
///     let _guard = SubnormalsAsZero::new();
///     if cfg!(target_arch = "x86_64") {
///         assert_eq!(std::hint::black_box(1e-40f32) * std::hint::black_box(2.0), 0.0);
///     }
/// }
/// assert_eq!(outside, std::hint::black_box(1e-40f32) * std::hint::black_box(2.0));
/// ```
#[derive(Debug)]
pub struct SubnormalsAsZero {
    before: u32,
    /// The mode is the thread's, so the guard must end on it.
    not_send: PhantomData<*const ()>,
}

impl SubnormalsAsZero {
    /// Switches the mode on, until the guard is dropped.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a guard is no value that has a default")]
    pub fn new() -> Self {
        let before = mode::get();
        mode::set(before | mode::AS_ZERO);
        Self { before, not_send: PhantomData }
    }
}

impl Drop for SubnormalsAsZero {
    fn drop(&mut self) {
        mode::set(self.before);
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod mode {
    use std::arch::asm;

    /// Results flushed to zero, and operands taken as zero.
    pub(super) const AS_ZERO: u32 = 1 << 15 | 1 << 6;

    pub(super) fn get() -> u32 {
        let mut mode = 0u32;
        // SAFETY: stores the thread's control register to four bytes of the stack.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut mode, options(nostack)) };
        mode
    }

    pub(super) fn set(mode: u32) {
        // SAFETY: `mode` is what the register held, but for two valid bits; exceptions stay masked, rounding as it was.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &mode, options(nostack)) };
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod mode {
    pub(super) const AS_ZERO: u32 = 0;

    pub(super) fn get() -> u32 {
        0
    }

    pub(super) fn set(_: u32) {}
}
