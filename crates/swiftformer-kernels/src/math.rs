//! Elementwise functions on vectors. Where a function has a limit at an infinity, that limit is the result, and NaN
//! stays NaN.

use crate::isa::Isa;

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<I: Isa, const N: usize>(isa: I, x: I::F32, coefficients: [f32; N]) -> I::F32 {
    let mut sum = isa.splat(coefficients[0]);
    let mut power = 1;
    while power < N {
        sum = isa.mul_add(sum, x, isa.splat(coefficients[power]));
        power += 1;
    }
    sum
}

/// `e^x - 1` as `(2^n, expm1(r))` with `x = n·ln 2 + r`, for `x` in `-87..=88`: a polynomial of degree 6, relative
/// error of `expm1(r)` below 1.2e-8 before rounding.
#[inline(always)]
fn exp_parts<I: Isa>(isa: I, x: I::F32) -> (I::F32, I::F32) {
    let n = isa.round(isa.mul(x, isa.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, so that the first product is exact.
    let r = isa.neg_mul_add(n, isa.splat(0.693_359_4), x);
    let r = isa.neg_mul_add(n, isa.splat(-2.121_944_4e-4), r);
    let tail = polynomial(isa, r, [1.393_454_5e-3, 8.363_776e-3, 4.166_645_6e-2, 1.666_665_7e-1, 0.5]);
    (isa.pow2(n), isa.mul_add(isa.mul(r, r), tail, r))
}

/// `e^x`; below -87 it stays at `e^-87`, above 88 at `e^88`.
#[inline(always)]
pub(crate) fn exp<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let x = isa.min(isa.splat(88.0), isa.max(isa.splat(-87.0), x));
    let (scale, fraction) = exp_parts(isa, x);
    isa.mul_add(scale, fraction, scale)
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(crate) fn sigmoid<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let e = exp(isa, isa.sub(isa.zero(), x));
    isa.div(isa.splat(1.0), isa.add(isa.splat(1.0), e))
}

/// `tanh x = -m / (m + 2)` with `m = expm1(-2|x|)`: accurate relative to the result near zero too.
#[inline(always)]
pub(crate) fn tanh<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let argument = isa.max(isa.splat(-40.0), isa.mul(isa.abs(x), isa.splat(-2.0)));
    let (scale, fraction) = exp_parts(isa, argument);
    let m = isa.mul_add(scale, fraction, isa.sub(scale, isa.splat(1.0)));
    isa.copysign(isa.div(m, isa.add(m, isa.splat(2.0))), x)
}

/// `gate(x) · x`, where the gate has underflowed long before `x` overflows.
#[inline(always)]
fn gated<I: Isa>(isa: I, x: I::F32, gate: I::F32) -> I::F32 {
    isa.mul(isa.max(isa.splat(-1e4), x), gate)
}

/// `x · sigmoid(x)`
#[inline(always)]
pub(crate) fn silu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    gated(isa, x, sigmoid(isa, x))
}

/// `x · sigmoid(1.702 x)`
#[inline(always)]
pub(crate) fn quick_gelu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    gated(isa, x, sigmoid(isa, isa.mul(x, isa.splat(1.702))))
}

/// `x/2 · (1 + tanh(√(2/π)·(x + 0.044715 x³)))`, which is `x · sigmoid(2·√(2/π)·(…))`.
#[inline(always)]
pub(crate) fn gelu_tanh<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let cubic = isa.mul_add(isa.mul(x, x), isa.splat(2.0 * 0.797_884_6 * 0.044_715), isa.splat(2.0 * 0.797_884_6));
    gated(isa, x, sigmoid(isa, isa.mul(x, cubic)))
}

/// The eighth root of `Φ(-a)`, highest power first.
const GELU_ROOT: [f32; 9] = [
    -3.002_884_2e-7,
    7.536_871e-6,
    -6.053_681e-5,
    3.489_678_3e-5,
    1.503_950_1e-3,
    -6.724_124_5e-4,
    -3.192_722e-2,
    -9.145_782e-2,
    9.170_040_6e-1,
];

/// `x · Φ(x)`, the exact GELU, as `max(x, 0) - |x| · Φ(-|x|)`.
///
/// `Φ(-a)` is the eighth power of a polynomial of degree 8 on `0..=8` that is zero at 8: the eighth root is so smooth
/// that no division and no exponential is needed. The coefficients minimise the largest error of the GELU (3.4e-8,
/// less than what rounding adds); with rounding the error stays below 1.5e-7 plus half a unit in the last place.
#[inline(always)]
pub(crate) fn gelu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let a = isa.min(isa.splat(8.0), isa.abs(x));
    let root = polynomial(isa, a, GELU_ROOT);
    let square = isa.mul(root, root);
    let fourth = isa.mul(square, square);
    let upper_tail = isa.mul(fourth, fourth);
    isa.neg_mul_add(a, upper_tail, isa.max(isa.zero(), x))
}

/// The same for results that are rounded to bfloat16: a polynomial of degree 5 on `0..=6`, largest error 1.5e-6.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn gelu_to_bf16<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let a = isa.min(isa.splat(6.0), isa.abs(x));
    let root = polynomial(
        isa,
        a,
        [-1.909_425_6e-4, 1.939_630_4e-3, -1.108_131e-3, -3.172_165_7e-2, -9.149_097e-2, 9.170_034_5e-1],
    );
    let square = isa.mul(root, root);
    let fourth = isa.mul(square, square);
    isa.neg_mul_add(a, isa.mul(fourth, fourth), isa.max(isa.zero(), x))
}

/// GELU and its slope `Φ(x) + x·φ(x)`; see [`gelu`].
#[inline(always)]
pub(crate) fn gelu_and_slope<I: Isa>(isa: I, x: I::F32) -> [I::F32; 2] {
    let a = isa.min(isa.splat(8.0), isa.abs(x));
    let root = polynomial(isa, a, GELU_ROOT);
    let square = isa.mul(root, root);
    let fourth = isa.mul(square, square);
    let upper_tail = isa.mul(fourth, fourth);
    let value = isa.neg_mul_add(a, upper_tail, isa.max(isa.zero(), x));
    let half = isa.splat(0.5);
    let below = isa.add(half, isa.copysign(isa.sub(half, upper_tail), x));
    let density = isa.mul(exp(isa, isa.mul(isa.mul(a, a), isa.splat(-0.5))), isa.splat(0.398_942_28));
    // Beyond 8 both parts are what they are at 8, to the last bit of 1 and within 1e-13 of 0.
    [value, isa.mul_add(isa.copysign(a, x), density, below)]
}
