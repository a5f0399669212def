//! Weights for resizing along one axis.
//!
//! The filter is a triangle. [`Resize::Area`] spans two samples of whichever side is coarser (bilinear interpolation when
//! it enlarges, an area-aware average when it shrinks): sample i of the input has in sample o of the output the weight
//! max(0, 1 - |i + 1/2 - c| / r) with r = max(1, s), s = input / output and c = (o + 1/2) s, divided by the sum of them
//! all. [`Resize::Bilinear`] has r = 1 and a centre that stays between the outermost samples.
//! Weights are whole numbers that add up to [`ONE`] exactly, so that an even area stays even.

use lapwing_engine::kernels::lanes::{Columns, WEIGHT_BITS};
use lapwing_engine::manifest::Resize;

/// The sum of the weights of one output sample.
pub(super) const ONE: u32 = 1 << WEIGHT_BITS;

/// The weights of every output sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taps {
    /// By output sample: the first input sample that has a weight; `first + count` never passes the input's end.
    first: Vec<usize>,
    /// (outputs, count), zeros where a sample needs fewer.
    weights: Vec<i16>,
    count: usize,
}

impl Taps {
    /// From `input` samples to `output` samples, neither of them zero. With `halvings` of the input's resolution its
    /// samples stand for 2^halvings neighbours each, as chroma samples do: the weight of a sample is that of all for
    /// which it stands.
    pub(super) fn new(filter: Resize, input: usize, output: usize, halvings: u32) -> Taps {
        let all: Vec<(usize, Vec<f64>)> = (0..output).map(|o| weights_of(filter, input, output, o, halvings)).collect();
        let count = all.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let samples = input.div_ceil(1 << halvings);
        let mut taps = Taps { first: Vec::with_capacity(output), weights: vec![0; output * count], count };
        for ((first, real), slots) in all.iter().zip(taps.weights.chunks_exact_mut(count)) {
            let from = (*first).min(samples - count);
            taps.first.push(from);
            quantize(real, &mut slots[first - from..]);
        }
        taps
    }

    /// The first input sample of output sample `output`, and the weights of it and those after it.
    pub(super) fn of(&self, output: usize) -> (usize, &[i16]) {
        (self.first[output], &self.weights[output * self.count..][..self.count])
    }

    /// The same for vectors, on samples that lie `step` apart.
    pub(super) fn columns(&self, step: usize) -> Columns {
        Columns::new(&self.first, &self.weights, self.count, step)
    }
}

/// The first sample with a weight, and the weights from it on; they add up to 1.
fn weights_of(filter: Resize, input: usize, output: usize, o: usize, halvings: u32) -> (usize, Vec<f64>) {
    let scale = input as f64 / output as f64;
    let centre = (o as f64 + 0.5) * scale;
    let (reach, centre) = match filter {
        Resize::Area => (scale.max(1.0), centre),
        Resize::Bilinear => (1.0, centre.clamp(0.5, input as f64 - 0.5)),
    };
    let from = (centre - reach - 0.5).floor().max(0.0) as usize;
    let to = ((centre + reach + 0.5).ceil() as usize).min(input);
    let mut weights: Vec<f64> = Vec::new();
    let mut first = None;
    let mut sum = 0.0;
    for i in from..to {
        let weight = 1.0 - (i as f64 + 0.5 - centre).abs() / reach;
        if weight <= 0.0 {
            continue;
        }
        sum += weight;
        let sample = i >> halvings;
        let at = sample - *first.get_or_insert(sample);
        weights.resize(weights.len().max(at + 1), 0.0);
        weights[at] += weight;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (first.unwrap_or(0), weights)
}

/// Rounds; what rounding leaves over the largest take, one each. (Rounding up left over at most half of the slots that
/// are not zero, so that none of them falls below zero.)
fn quantize(real: &[f64], slots: &mut [i16]) {
    let mut sum = 0u32;
    for (slot, weight) in slots.iter_mut().zip(real) {
        *slot = (weight * f64::from(ONE)).round() as i16;
        sum += u32::from(slot.unsigned_abs());
    }
    let mut largest: Vec<usize> = (0..real.len()).collect();
    largest.sort_by(|&a, &b| real[b].total_cmp(&real[a]));
    for &index in largest.iter().take(sum.abs_diff(ONE) as usize) {
        slots[index] = if sum > ONE { slots[index] - 1 } else { slots[index] + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_add_up_and_stay_inside(
            input in 1usize..3000, output in 1usize..700, halvings in 0u32..2, bilinear: bool,
        ) {
            let filter = if bilinear { Resize::Bilinear } else { Resize::Area };
            let taps = Taps::new(filter, input, output, halvings);
            for o in 0..output {
                let (first, weights) = taps.of(o);
                prop_assert_eq!(weights.iter().map(|w| i64::from(*w)).sum::<i64>(), i64::from(ONE));
                prop_assert!(first + weights.len() <= input.div_ceil(1 << halvings));
            }
        }

        #[test]
        fn no_weight_is_rounded_by_more_than_one_and_a_half((input, output) in (1usize..9000, 1usize..9)) {
            let taps = Taps::new(Resize::Area, input, output, 0);
            for o in 0..output {
                let ((first, weights), (from, real)) = (taps.of(o), weights_of(Resize::Area, input, output, o, 0));
                for (index, &weight) in weights.iter().enumerate() {
                    let exact = (first + index).checked_sub(from).and_then(|i| real.get(i)).unwrap_or(&0.0);
                    prop_assert!((f64::from(weight) - exact * f64::from(ONE)).abs() <= 1.5);
                }
            }
        }
    }

    #[test]
    fn half_the_size_is_a_tent_of_four() {
        let taps = Taps::new(Resize::Area, 640, 320, 0);
        assert_eq!(taps.of(10), (19, &[2048, 6144, 6144, 2048][..]));
        assert_eq!(Taps::new(Resize::Area, 7, 7, 0).of(3), (3, &[16384][..]));
        // chroma of pixels 19, 20 21, 22
        assert_eq!(Taps::new(Resize::Area, 640, 320, 1).of(10), (9, &[2048, 12288, 2048][..]));
        // between the two nearest, whatever lies beside them
        assert_eq!(Taps::new(Resize::Bilinear, 640, 160, 0).of(10), (41, &[8192, 8192][..]));
        assert_eq!(Taps::new(Resize::Bilinear, 320, 640, 0).of(0).1[0], 16384);
    }
}
