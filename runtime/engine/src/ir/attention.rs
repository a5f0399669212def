//! Attention of pixels to pixels: softmax of products of two maps, times a third one (Vaswani et al., "Attention is all
//! you need", arXiv:1706.03762, equation 1).
//!
//! For each [`AttentionHead`] and each pixel i of its area, with q, k, v the values less their zero points:
//!
//! ```text
//! s[j]   = sum over c of q[i][c] k[j][c]                        whole numbers
//! w[j]   = EXPONENTIAL[(max s - s[j]) multiplier + 1/2]         whole numbers, 2^b for the greatest
//! out[c] = (sum over j of w[j] v[j][c]) / (sum over j of w[j])  whole numbers, one division in float32
//! ```
//!
//! So every instruction set computes it alike. b is as large as the sums allow in 31 bits ([`Attention::weight_bits`]).

use serde::{Deserialize, Serialize};

use super::tensor::Shape;

/// Most pixels of an area.
pub const TOKENS_MAX: usize = 1 << 14;
/// Most channels of a query, and of a value.
pub const HEAD_CHANNELS_MAX: usize = 1 << 10;
/// Most heads of all areas.
pub const HEADS_MAX: usize = 1 << 10;
/// Steps of the exponent from one power of e to the next.
pub const STEPS: usize = 256;
/// Entries of the table: below e^-12 a weight counts for nothing.
pub const ENTRIES: usize = 12 * STEPS + 1;
/// Most bits of a weight.
const WEIGHT_BITS_MAX: u32 = 14;

/// See the module. Reads three maps of one height and width: queries, keys, values; they may be one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Pixels of an area, which follow each other row by row.
    pub tokens: usize,
    /// Channels of a query and of a key.
    pub key: usize,
    /// Channels of a value.
    pub value: usize,
    /// Each writes its own pixels and channels, and all of them are written.
    pub heads: Vec<AttentionHead>,
    /// Steps of [`STEPS`] for one unit of a product: scale_q * scale_k * the network's factor * [`STEPS`].
    pub multiplier: f32,
    /// scale_v / scale_out.
    pub store: f32,
}

/// One head of one area: where its channels and pixels begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionHead {
    /// First pixel, row by row.
    pub pixel: usize,
    /// First channel of the map of queries.
    pub query: usize,
    /// First channel of the map of keys.
    pub key: usize,
    /// First channel of the map of values.
    pub value: usize,
    /// First channel of the output.
    pub output: usize,
}

impl Attention {
    /// The shape of the output, where the inputs have these.
    ///
    /// # Errors
    /// What does not fit.
    pub fn output(&self, inputs: [Shape; 3], found: Shape) -> Result<Shape, String> {
        let [query, key, value] = inputs;
        let one_size = |a: Shape, b: Shape| (a.height, a.width) == (b.height, b.width);
        if !one_size(query, key) || !one_size(query, value) {
            return Err("its inputs differ in height or width".into());
        }
        let sane = [(self.tokens, TOKENS_MAX), (self.key, HEAD_CHANNELS_MAX), (self.value, HEAD_CHANNELS_MAX)];
        if sane.iter().any(|&(count, most)| count == 0 || count > most) || self.heads.len() > HEADS_MAX {
            return Err(format!(
                "{} heads of {} pixels, {} and {} channels",
                self.heads.len(),
                self.tokens,
                self.key,
                self.value
            ));
        }
        let pixels = query.height.saturating_mul(query.width);
        let inside = |first: usize, count: usize, size: usize| first.checked_add(count).is_some_and(|end| end <= size);
        let fits = |head: &AttentionHead| {
            inside(head.pixel, self.tokens, pixels)
                && inside(head.query, self.key, query.channels)
                && inside(head.key, self.key, key.channels)
                && inside(head.value, self.value, value.channels)
                && inside(head.output, self.value, found.channels)
        };
        if !self.heads.iter().all(fits) {
            return Err("it takes what its inputs have not".into());
        }
        let apart = |a: &AttentionHead, b: &AttentionHead| {
            a.pixel.abs_diff(b.pixel) >= self.tokens || a.output.abs_diff(b.output) >= self.value
        };
        let overlap = self.heads.iter().enumerate().any(|(i, a)| self.heads[..i].iter().any(|b| !apart(a, b)));
        let written = (self.tokens * self.value) as u64 * self.heads.len() as u64;
        if overlap || written != pixels as u64 * found.channels as u64 {
            return Err("its heads do not write each value once".into());
        }
        Ok(Shape { channels: found.channels, ..query })
    }

    /// Scales that every instruction set computes alike.
    ///
    /// # Errors
    /// The one that is none.
    pub fn check_numbers(&self) -> Result<(), String> {
        let good = |value: f32| value.is_finite() && value > 0.0 && value < (1 << 20) as f32;
        match [self.multiplier, self.store].into_iter().find(|value| !good(*value)) {
            Some(value) => Err(format!("a multiplier is {value}")),
            None => Ok(()),
        }
    }

    /// Multiplications of one run.
    pub fn macs(&self) -> u64 {
        let each = (self.tokens as u64).saturating_pow(2).saturating_mul((self.key + self.value) as u64);
        each.saturating_mul(self.heads.len() as u64)
    }

    /// Bits of the greatest weight: so that `tokens` of them times 255 stay below 2^31.
    pub fn weight_bits(&self) -> u32 {
        let tokens = self.tokens.max(1).next_power_of_two().trailing_zeros();
        (31 - 8 - tokens.min(20)).min(WEIGHT_BITS_MAX)
    }

    /// Weights by steps below the greatest product.
    pub fn exponential(&self) -> Vec<i16> {
        let greatest = f64::from(1u32 << self.weight_bits());
        // libm's is the same on every machine
        (0..ENTRIES).map(|step| (greatest * libm::exp(-(step as f64) / STEPS as f64)).round() as i16).collect()
    }

    /// The entry for a product so far below the greatest one.
    #[inline(always)]
    pub fn entry(&self, below: i32) -> usize {
        (below as f32 * self.multiplier + 0.5).min((ENTRIES - 1) as f32) as u32 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_heads() -> Attention {
        let head = |index: usize| AttentionHead {
            pixel: 0,
            query: index * 4,
            key: index * 4 + 1,
            value: index * 4 + 2,
            output: index * 2,
        };
        Attention { tokens: 6, key: 1, value: 2, heads: vec![head(0), head(1)], multiplier: 1.0, store: 1.0 }
    }

    const INPUT: Shape = Shape { height: 2, width: 3, channels: 8 };
    const OUTPUT: Shape = Shape { channels: 4, ..INPUT };

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(two_heads().output([INPUT; 3], OUTPUT), Ok(OUTPUT));
        let changes: [fn(&mut Attention); 8] = [
            |a| a.tokens = 7,
            |a| a.tokens = 0,
            |a| a.key = 8,
            |a| a.heads[1].output = 1,
            |a| a.heads[1].pixel = 1,
            |a| a.heads[1].value = 7,
            |a| a.heads[1].query = usize::MAX,
            |a| a.heads.truncate(1),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut broken = two_heads();
            change(&mut broken);
            assert!(broken.output([INPUT; 3], OUTPUT).is_err(), "{index}");
        }
        for number in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Attention { multiplier: number, ..two_heads() }.check_numbers().is_err());
            assert!(Attention { store: number, ..two_heads() }.check_numbers().is_err());
        }
    }

    #[test]
    fn sums_of_weights_fit_31_bits() {
        for tokens in [1, 2, 3, 100, 400, 1600, 6400, TOKENS_MAX] {
            let attention = Attention { tokens, ..two_heads() };
            let bits = attention.weight_bits();
            assert!(bits >= 9 && (tokens as u64) * (255 << bits) < 1 << 31, "{tokens}");
            let table = attention.exponential();
            assert_eq!((table.len(), table[0]), (ENTRIES, 1 << bits));
            assert!(table.is_sorted_by(|a, b| a >= b) && table[ENTRIES - 1] == 0, "{tokens}");
        }
    }
}
