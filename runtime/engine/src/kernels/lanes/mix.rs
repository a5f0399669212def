//! Three values of a pixel become three bytes.

use super::block::MIX_SHIFT;

/// A pixel's three values become three bytes: byte i is the sum of `weights[i][k]` times value k less `offsets[k]`,
/// rounded and cut off at 0 and 255. Values are from 0 to 2^12, offsets too, so that no sum can overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// With [`COLUMN_BITS`](super::COLUMN_BITS) fraction bits.
    pub offsets: [i16; 3],
    /// With [`MIX_BITS`](super::MIX_BITS) fraction bits.
    pub weights: [[i16; 3]; 3],
}

impl Mix {
    /// What is added to the sum of each byte: half of what is shifted out, less the offsets' part.
    #[allow(dead_code, reason = "not every instruction set reads it")]
    pub(super) fn added(&self) -> [i32; 3] {
        self.weights.map(|weights| {
            let products =
                weights.iter().zip(self.offsets).map(|(&weight, offset)| i32::from(weight) * i32::from(offset));
            (1 << (MIX_SHIFT - 1)) - products.sum::<i32>()
        })
    }

    /// For each byte the weights of the first and the third value as a [`pair`], that of the second, and what is added.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn pairs(&self) -> [[i32; 3]; 3] {
        let of = |byte: usize| {
            let [a, b, c] = self.weights[byte];
            [pair([a, c]), pair([b, 0]), self.added()[byte]]
        };
        [of(0), of(1), of(2)]
    }
}

/// Two numbers of 16 bits in one of 32, as vectors multiply them in pairs.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn pair([a, b]: [i16; 2]) -> i32 {
    i32::from(b) << 16 | i32::from(a) & 0xffff
}
