//! Functions of one number, made of additions, multiplications and divisions alone, so that every
//! machine computes the same bits: a C library's own differ from one to the next.

/// Beyond these [`exp`] keeps its value: the result is a normal number of 32 bits.
const EXP_RANGE: (f32, f32) = (-87.0, 88.0);
/// Added to a number of moderate size it leaves its whole part in the last bits.
const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23

/// e to the `x`, within three units of the last place; `x` is clamped to -87..=88. NaN stays NaN.
///
/// With n = round(x / ln 2): e^x = 2^n * e^r, |r| <= ln 2 / 2, and ln 2 is taken off in two parts, of
/// which the first times n is exact (W. Cody and W. Waite, "Software Manual for the Elementary
/// Functions", 1980). e^r by its series.
#[inline]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(EXP_RANGE.0, EXP_RANGE.1);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut series = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + term;
    }
    // the last bits of `shifted` are n, and -126 <= n <= 127
    let two_to_n = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    series * two_to_n
}

/// The logistic function, 1 / (1 + e^-x).
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent.
#[inline]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_three_units_of_the_last_place() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            let unit = f64::from(expected as f32) * f64::from(f32::EPSILON);
            assert!((found - expected).abs() <= 3.0 * unit, "exp({x}) = {found}, not {expected}");
        }
    }

    #[test]
    fn ends_are_numbers_and_nan_stays() {
        assert!(exp(f32::INFINITY).is_finite() && exp(f32::MAX) > 1e38);
        assert!(exp(f32::NEG_INFINITY) > 0.0 && exp(f32::MIN) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!((exp(0.0), sigmoid(0.0), tanh(0.0)), (1.0, 0.5, 0.0));
        assert!((sigmoid(100.0) - 1.0).abs() < 1e-6 && sigmoid(-100.0) < 1e-6);
        assert!((tanh(20.0) - 1.0).abs() < 1e-6 && (tanh(-20.0) + 1.0).abs() < 1e-6);
    }

    /// A change of any bit would break every golden run that was ever recorded.
    #[test]
    fn the_bits_are_these() {
        let found = [-87.0, -3.3, -0.1, 0.7, 1.0, 12.25, 88.0].map(|x: f32| exp(x).to_bits());
        let expected =
            [11_744_903, 1_024_922_318, 1_063_756_653, 1_073_799_507, 1_076_754_516, 1_212_945_746, 2_130_215_607];
        assert_eq!(found, expected);
    }
}
