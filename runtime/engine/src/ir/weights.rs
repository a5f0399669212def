//! The weights of a convolution: numbers of its own, or a view of the file they came in.

use std::ops::Deref;

use super::super::bytes::Bytes;

/// Eight-bit weights, read as a slice of i8.
#[derive(Debug, Clone)]
pub enum Weights {
    /// Numbers of its own.
    Own(Vec<i8>),
    /// Part of a file, one byte a weight.
    View(Bytes),
}

impl Weights {
    /// Changes the weights; a view becomes numbers of its own.
    pub fn change(&mut self, change: impl FnOnce(&mut Vec<i8>)) {
        let mut own = match self {
            Weights::Own(own) => std::mem::take(own),
            Weights::View(bytes) => bytemuck::cast_slice(bytes).to_vec(),
        };
        change(&mut own);
        *self = Weights::Own(own);
    }
}

/// What is known of the weights of one output channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightSums {
    /// Their sum.
    pub sum: i32,
    /// The sum of their magnitudes.
    pub magnitude: u32,
}

impl WeightSums {
    /// Of at most [`super::PRODUCTS_MAX`] weights.
    pub fn of(weights: &[i8]) -> WeightSums {
        /// So many fit 16 bits, of which a vector holds more than of 32.
        const RUN: usize = 128;
        let mut sums = WeightSums { sum: 0, magnitude: 0 };
        for run in weights.chunks(RUN) {
            let (mut sum, mut magnitude) = (0i16, 0u16);
            for w in run {
                sum += i16::from(*w);
                magnitude += u16::from(w.unsigned_abs());
            }
            sums.sum += i32::from(sum);
            sums.magnitude += u32::from(magnitude);
        }
        sums
    }
}

impl Deref for Weights {
    type Target = [i8];

    fn deref(&self) -> &[i8] {
        match self {
            Weights::Own(own) => own,
            Weights::View(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Weights) -> bool {
        **self == **other
    }
}

impl Default for Weights {
    /// No weights.
    fn default() -> Weights {
        Weights::Own(Vec::new())
    }
}

impl FromIterator<i8> for Weights {
    fn from_iter<T: IntoIterator<Item = i8>>(weights: T) -> Weights {
        Weights::Own(weights.into_iter().collect())
    }
}

impl From<Vec<i8>> for Weights {
    fn from(own: Vec<i8>) -> Weights {
        Weights::Own(own)
    }
}

#[cfg(test)]
mod tests {
    use super::super::PRODUCTS_MAX;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_sums(weights in prop::collection::vec(-127i8.., 0..1000)) {
            let sums = WeightSums::of(&weights);
            prop_assert_eq!(sums.sum, weights.iter().map(|w| i32::from(*w)).sum::<i32>());
            prop_assert_eq!(sums.magnitude, weights.iter().map(|w| u32::from(w.unsigned_abs())).sum::<u32>());
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        for w in [-128i8, 127] {
            let sums = WeightSums::of(&vec![w; PRODUCTS_MAX]);
            assert_eq!(i64::from(sums.sum), i64::from(w) * PRODUCTS_MAX as i64);
            assert_eq!(u64::from(sums.magnitude), u64::from(w.unsigned_abs()) * PRODUCTS_MAX as u64);
        }
    }

    #[test]
    fn a_view_that_is_changed_becomes_its_own() {
        let file = Bytes::from(vec![1u8, 0xff, 3]);
        let mut weights = Weights::View(file.clone());
        assert_eq!(weights, Weights::Own(vec![1, -1, 3]));
        weights.change(|weights| weights[0] = 7);
        assert_eq!((&*weights, &*file), (&[7i8, -1, 3][..], &[1u8, 0xff, 3][..]));
    }
}
