//! Loops over register arrays that are unrolled in the source.
//!
//! An array of sums lives in registers only if every index is a constant by the time the compiler splits it up; loops
//! with long bodies are unrolled too late for that, and the array then goes through memory.

/// `unroll!(index < COUNT, { body })` runs `body` for `index` 0 to `COUNT - 1`; `COUNT` is a constant of at most 6.
macro_rules! unroll {
    ($index:ident < $count:expr, $body:block) => {
        $crate::unroll::unroll!(@each $index < $count, $body, 0 1 2 3 4 5);
    };
    (@each $index:ident < $count:expr, $body:block, $($step:literal)+) => {
        const { assert!($count <= 6) };
        $(
            if $step < $count {
                let $index = $step;
                $body
            }
        )+
    };
}
pub(crate) use unroll;
