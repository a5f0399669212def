//! Eight-bit numbers that stand for real ones, and the one way to round back to them.
//!
//! `real = scale * (q - zero)`, q in 0..=255 (Jacob et al., arXiv:1712.05877, equation 1, with u8).
//! Every kernel of every instruction set computes [`requantize`] bit for bit: an i32 sum to f32
//! (rounded to nearest even), one f32 multiplication, one rounding to nearest even, the zero point,
//! one clamp. No fused multiply-add appears in it.

use serde::{Deserialize, Serialize};

/// The float32 values that the 256 values of a tensor stand for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quant {
    /// The real distance between two neighbours; finite and above zero.
    pub scale: f32,
    /// The value that stands for 0.0 exactly.
    pub zero: u8,
}

/// Largest magnitude, before rounding, that [`requantize`] is defined for: every instruction set
/// rounds such a number to an i32 in the same way. [`super::ir::Graph::check`] holds graphs to it.
pub const REQUANTIZED_MAX: f32 = (1 << 30) as f32;

impl Quant {
    /// The finest one whose values reach from `low` to `high`; zero is always among them.
    ///
    /// An empty or non-finite range gives a scale of 1/255: such a tensor holds nothing but zeros.
    pub fn covering(low: f32, high: f32) -> Quant {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let span = high - low;
        if !span.is_finite() || span < f32::MIN_POSITIVE * 256.0 {
            return Quant { scale: 1.0 / 255.0, zero: 0 };
        }
        let scale = span / 255.0;
        Quant { scale, zero: (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }

    /// The nearest value; NaN becomes the zero point.
    pub fn quantize(self, real: f32) -> u8 {
        if real.is_nan() {
            return self.zero;
        }
        ((real / self.scale).round_ties_even() + f32::from(self.zero)).clamp(0.0, 255.0) as u8
    }

    /// The real number that `q` stands for.
    pub fn real(self, q: u8) -> f32 {
        (i32::from(q) - i32::from(self.zero)) as f32 * self.scale
    }

    /// The least and the greatest real number of this quantization.
    pub fn range(self) -> (f32, f32) {
        (self.real(0), self.real(255))
    }

    /// The 256 values of `function`, from this quantization to `to`.
    pub fn table(self, to: Quant, function: impl Fn(f32) -> f32) -> Table {
        std::array::from_fn(|q| to.quantize(function(self.real(q as u8))))
    }
}

/// A function of one eight-bit number.
pub type Table = [u8; 256];

/// A sum of products back to eight bits: `clamp(round(sum * multiplier) + zero)`.
///
/// `multiplier` is scale_in * scale_weight / scale_out of the channel.
#[inline]
pub fn requantize(sum: i32, multiplier: f32, zero: u8) -> u8 {
    rounded(sum as f32 * multiplier, zero)
}

/// Steps from the zero point to a value: nearest, halves to even, clamped.
#[inline]
pub fn rounded(steps: f32, zero: u8) -> u8 {
    (steps.round_ties_even() as i32).saturating_add(i32::from(zero)).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zero_is_exact_and_neighbours_are_within_half_a_step(low in -1e6f32..0.0, high in 0.0f32..1e6, at in 0.0f32..1.0) {
            let q = Quant::covering(low, high);
            prop_assert_eq!(q.real(q.quantize(0.0)), 0.0);
            let real = low + (high - low) * at;
            // the zero point is rounded, so one end may lie half a step outside
            prop_assert!((q.real(q.quantize(real)) - real).abs() <= q.scale * 1.01);
        }

        #[test]
        fn any_range_gives_a_usable_scale(low: f32, high: f32) {
            let q = Quant::covering(low, high);
            prop_assert!(q.scale.is_finite() && q.scale > 0.0);
        }
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let rounded: Vec<u8> = [1, 3, 5, -1, -3].iter().map(|&s| requantize(s, 0.5, 10)).collect();
        assert_eq!(rounded, [10, 12, 12, 10, 8]);
        assert_eq!(requantize(i32::MAX, 0.4, 9), 255);
        assert_eq!(requantize(i32::MIN, 0.4, 9), 0);
    }
}
