//! Sixteen-bit numbers in two bytes: the nearest eight-bit value, and what rounding to it left.
//!
//! `real = scale * (value - zero + (rest - 128) / 256)`, with the scale and the zero point of the
//! eight-bit quantization. Whoever reads the values alone reads what an eight-bit store would have
//! written (but for reals within 1/512 of a step of half way, which may become either neighbour);
//! whoever reads the rests too has eight more bits. The range is that of the values, so a
//! clamp at its ends holds for both. [`ir::Wide`](super::ir::Wide) says which convolutions do.
//!
//! A number is held as `256 * value + rest`, [`LEAST`]..=[`GREATEST`].

use super::quant::Quant;

/// Parts of an eight-bit step.
pub const PARTS: f32 = 256.0;
/// The rest of a number that eight bits hold exactly.
pub const NO_LOW_BYTE: u8 = 128;
/// The number that stands for value 0.
pub const LEAST: u16 = 128;
/// The number that stands for value 255.
pub const GREATEST: u16 = LEAST + 255 * 256;
/// From one point of a curve to the next, as a power of two.
const SPACING_BITS: u32 = 6;
/// Points of a [`Curve`]: four a value, so that a kink at a value is exact.
pub const POINTS: usize = ((GREATEST - LEAST) >> SPACING_BITS) as usize + 1;

/// A function of one sixteen-bit number by its values at every 64th number from [`LEAST`] on, each
/// [`LEAST`]..=[`GREATEST`]; linear between them.
pub type Curve = [u16; POINTS];

/// A real number in eight-bit steps becomes a sixteen-bit one: `round(256 real) + 256 zero + 128`,
/// halves to even, clamped.
pub fn requantize(real: f32, zero: u8) -> u16 {
    let rounded = (real * PARTS).clamp(-131_072.0, 131_072.0).round_ties_even() as i32;
    let number = rounded + (i32::from(zero) << 8) + i32::from(LEAST);
    number.clamp(i32::from(LEAST), i32::from(GREATEST)) as u16
}

/// As [`requantize`], in operations that every processor has for vectors.
#[inline]
pub fn requantize_fast(real: f32, zero: u8) -> i32 {
    let number = nearest((real * PARTS).clamp(-131_072.0, 131_072.0)) + (i32::from(zero) << 8) + i32::from(LEAST);
    number.clamp(i32::from(LEAST), i32::from(GREATEST))
}

/// The nearest integer, halves to even, of a number below 2^22 in magnitude: 1.5 * 2^23 is a float whose
/// last bit stands for one, so that adding it rounds.
#[inline]
pub fn nearest(real: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (real + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

/// The value of `curve` at `number`, rounded to nearest, halves upwards.
#[inline]
pub fn along(curve: &Curve, number: u16) -> u16 {
    let (index, part) = place(i32::from(number));
    between(i32::from(curve[index]), i32::from(curve[index + 1]), part)
}

/// The point of a curve before `number`, at most the last but one, and the distance from it.
#[inline]
pub fn place(number: i32) -> (usize, i32) {
    let at = number.clamp(i32::from(LEAST), i32::from(GREATEST)) - i32::from(LEAST);
    let index = (at >> SPACING_BITS).min(POINTS as i32 - 2);
    (index as usize, at - (index << SPACING_BITS))
}

/// The value `part` of the way from one point of a curve to the next.
#[inline]
pub fn between(first: i32, next: i32, part: i32) -> u16 {
    (first + (((next - first) * part + (1 << (SPACING_BITS - 1))) >> SPACING_BITS)) as u16
}

/// The value and the rest of a number.
#[inline]
pub fn halves(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

/// The float32 values at the points of a curve whose argument is quantized as `from`.
pub fn points(from: Quant) -> impl Iterator<Item = f32> {
    const A_VALUE: usize = 256 >> SPACING_BITS;
    (0..POINTS).map(move |i| from.scale * (i as f32 / A_VALUE as f32 - f32::from(from.zero)))
}

/// The number nearest to a real one; NaN becomes zero's.
pub fn quantize(real: f32, to: Quant) -> u16 {
    requantize(if real.is_nan() { 0.0 } else { real / to.scale }, to.zero)
}

/// The real number of a value and a rest.
pub fn real([value, rest]: [u8; 2], of: Quant) -> f32 {
    of.real(value) + (f32::from(rest) - f32::from(NO_LOW_BYTE)) / PARTS * of.scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OF: Quant = Quant { scale: 0.05, zero: 40 };
    /// What f32 may be off at 215 steps: three roundings.
    const ROUNDING: f32 = 3.0 * 256.0 * f32::EPSILON / 2.0;

    fn curve(function: impl Fn(f32) -> f32, from: Quant, to: Quant) -> Curve {
        let values: Vec<u16> = points(from).map(|x| quantize(function(x), to)).collect();
        values.try_into().unwrap()
    }

    proptest! {
        #[test]
        fn values_are_what_eight_bits_hold(real in -20.0f32..20.0) {
            let (low, high) = OF.range();
            let real = real.clamp(low, high);
            let [value, rest] = halves(quantize(real, OF));
            // the number is rounded to 1/256 of a step, which is half a part; then to a step
            let half_part = 0.5 / PARTS;
            prop_assert!((super::real([value, rest], OF) - real).abs() <= OF.scale * (half_part + ROUNDING));
            prop_assert!((OF.real(value) - real).abs() <= OF.scale * (0.5 + half_part + ROUNDING));
        }

        #[test]
        fn the_fast_way_rounds_alike(real in prop_oneof![-600.0f32..600.0, -1e9f32..1e9, (-70_000i32..70_000).prop_map(|i| i as f32 / 512.0)], zero: u8) {
            prop_assert_eq!(requantize_fast(real, zero), i32::from(requantize(real, zero)));
        }

        #[test]
        fn a_curve_is_close_to_its_function(real in -2.0f32..10.0) {
            let silu = |x: f32| x / (1.0 + (-x).exp());
            let to = Quant { scale: 0.042, zero: 7 };
            let found = along(&curve(silu, OF, to), quantize(real, OF));
            prop_assert!((super::real(halves(found), to) - silu(real)).abs() <= 0.001);
        }
    }

    #[test]
    fn ends_and_kinks_are_exact() {
        let relu = curve(|x| x.max(0.0), OF, Quant { zero: 0, ..OF });
        for (value, expected) in [(0, 0), (39, 0), (40, 0), (41, 1), (255, 215)] {
            assert_eq!(halves(along(&relu, value << 8 | 128)), [expected, NO_LOW_BYTE]);
        }
        assert_eq!(halves(requantize(f32::MIN, 9)), [0, NO_LOW_BYTE]);
        assert_eq!(halves(requantize(f32::MAX, 9)), [255, NO_LOW_BYTE]);
        assert_eq!(halves(quantize(f32::NAN, OF)), [40, NO_LOW_BYTE]);
    }
}
