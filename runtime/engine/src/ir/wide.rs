//! Which ends of a convolution have sixteen bits.

use super::super::int16::Curve;

/// Ends of sixteen bits.
///
/// A tensor of sixteen bits is one of eight with twice the channels: all values, then all rests, see
/// [`int16`](crate::int16). With such an input the sum is that of the values and, divided by 256, that
/// of the rests less 128, each rounded to f32: `bias + sum w * (value - zero_in)` and
/// `sum w * (rest - 128)`. With such an output,
/// `out = curve(clamp(round(256 * multiplier[o] * sum) + 256 * pre_zero + 128))`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wide {
    /// It reads values and rests.
    pub input: bool,
    /// It writes values and rests.
    pub output: bool,
    /// The activation of such an output, if it is not a clamp.
    pub curve: Option<Box<Curve>>,
}

impl Wide {
    /// Eight bits at both ends.
    pub fn is_none(&self) -> bool {
        !self.input && !self.output
    }
}
