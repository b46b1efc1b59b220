//! bfloat16 numbers, as their bits: the upper half of an `f32`.

/// The nearest bfloat16, ties to even. NaN stays NaN.
pub(crate) fn round_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The same number as `f32`.
pub(crate) fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_to_the_nearest_and_ties_to_even() {
        let round = |value: f32| widen(round_to_bf16(value));
        assert_eq!(round(1.0), 1.0);
        assert_eq!(round(1.0 + 0.001), 1.0);
        assert_eq!(round(1.0 + 0.003), 1.0);
        assert_eq!(round(1.0 + 0.005), 1.007_812_5);
        // Halfway between 1 and 1 + 2^-7, and between 1 + 2^-7 and 1 + 2^-6.
        assert_eq!(round(1.0 + 0.5f32.powi(8)), 1.0);
        assert_eq!(round(1.0 + 3.0 * 0.5f32.powi(8)), 1.015_625);
        assert!(round(f32::NAN).is_nan() && round(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(round(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(round(f32::MAX), f32::INFINITY);
    }
}
