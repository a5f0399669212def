//! Which range of float32 the 256 values of a tensor stand for: four methods.
//!
//! Every method looks at the values that were seen, as bins of (middle, share). Which of them serves
//! a tensor best is not decided here but by measurement, see [`super::search`].

use serde::Serialize;

use crate::calibrate::Observed;
use lapwing_engine::quant::Quant;

/// Shares of a range that are tried as clipping.
const CLIPS: [f32; 14] = [1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.74, 0.68, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
/// Bins of the distribution that [`Method::Entropy`] compares.
const ENTROPY_BINS: usize = 2048;

/// A way to choose a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// From the least to the greatest value: nothing is clipped.
    MinMax,
    /// All but one in ten thousand of the values at each end.
    Percentile9999,
    /// All but one in a thousand of the values at each end.
    Percentile999,
    /// The least mean squared error over the values.
    Mse,
    /// The least divergence (Kullback-Leibler) of the quantized distribution from the real one.
    Entropy,
}

impl Method {
    /// All of them; the first is where the search begins.
    pub const ALL: [Method; 5] =
        [Method::Mse, Method::MinMax, Method::Percentile9999, Method::Percentile999, Method::Entropy];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Method::MinMax => "min-max",
            Method::Percentile9999 => "99.99 %",
            Method::Percentile999 => "99.9 %",
            Method::Mse => "mse",
            Method::Entropy => "entropy",
        }
    }
}

/// What the tensors of one quantization hold together.
#[derive(Debug, Clone)]
pub struct Values {
    /// The least, at most zero.
    pub low: f32,
    /// The greatest, at least zero.
    pub high: f32,
    /// (middle, share) in ascending order; shares add up to the number of tensors.
    pub bins: Vec<(f32, f32)>,
}

impl Values {
    /// The values of one or more maps, each map with the same weight.
    pub fn of(seen: &[&Observed]) -> Values {
        let low = seen.iter().map(|o| o.low).fold(0.0, f32::min);
        let high = seen.iter().map(|o| o.high).fold(0.0, f32::max);
        let mut bins: Vec<(f32, f32)> = seen.iter().flat_map(|o| o.bins()).collect();
        if seen.len() > 1 {
            bins.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Values { low, high, bins }
    }

    /// The range that `method` chooses. `error` is what [`Method::Mse`] makes least: it defaults to the
    /// squared error of the values themselves.
    pub fn range(&self, method: Method, error: Option<&mut dyn FnMut(Quant) -> f64>) -> Quant {
        match method {
            Method::MinMax => Quant::covering(self.low, self.high),
            Method::Percentile9999 => self.percentile(1e-4),
            Method::Percentile999 => self.percentile(1e-3),
            Method::Mse => match error {
                Some(error) => self.least(error),
                None => self.least(&mut |quant| self.squared_error(quant)),
            },
            Method::Entropy => self.entropy(),
        }
    }

    /// Mean squared error of the values under `quant`.
    pub fn squared_error(&self, quant: Quant) -> f64 {
        let of = |x: f32| f64::from(quant.real(quant.quantize(x)) - x).powi(2);
        self.bins.iter().map(|&(x, share)| of(x) * f64::from(share)).sum()
    }

    /// All but `tail` of the values at each end.
    fn percentile(&self, tail: f64) -> Quant {
        let total: f64 = self.bins.iter().map(|b| f64::from(b.1)).sum();
        let edge = |bins: &mut dyn Iterator<Item = &(f32, f32)>| {
            let mut left = total * tail;
            for &(x, share) in bins {
                left -= f64::from(share);
                if left < 0.0 {
                    return x;
                }
            }
            0.0
        };
        Quant::covering(edge(&mut self.bins.iter()), edge(&mut self.bins.iter().rev()))
    }

    /// The clipped range with the least `error`.
    fn least(&self, error: &mut dyn FnMut(Quant) -> f64) -> Quant {
        let mut best = (f64::INFINITY, Quant::covering(self.low, self.high));
        for quant in self.clipped() {
            let found = error(quant);
            if found < best.0 {
                best = (found, quant);
            }
        }
        best.1
    }

    fn clipped(&self) -> impl Iterator<Item = Quant> {
        let (low, high) = (self.low, self.high);
        let pairs = CLIPS.into_iter().flat_map(|down| CLIPS.into_iter().map(move |up| (down, up)));
        pairs
            .filter(move |&(down, up)| (low != 0.0 || down == 1.0) && (high != 0.0 || up == 1.0))
            .map(move |(down, up)| Quant::covering(low * down, high * up))
    }

    /// S. Migacz, "8-bit inference with TensorRT" (2017), with a clip at both ends and with the zero
    /// point kept: P holds the clipped values with what lies outside added at the edges, Q spreads
    /// each quantized value evenly over the bins of P that became it.
    fn entropy(&self) -> Quant {
        let span = self.high - self.low;
        if span <= 0.0 || !span.is_finite() {
            return Quant::covering(self.low, self.high);
        }
        let mut even = vec![0f64; ENTROPY_BINS];
        for &(x, share) in &self.bins {
            let bin = ((x - self.low) / span * ENTROPY_BINS as f32) as usize;
            even[bin.min(ENTROPY_BINS - 1)] += f64::from(share);
        }
        let middle = |bin: usize| self.low + span * (bin as f32 + 0.5) / ENTROPY_BINS as f32;
        let total: f64 = even.iter().sum();
        self.least(&mut |quant| {
            let (least, greatest) = quant.range();
            let inside = |bin: &usize| (least..=greatest).contains(&middle(*bin));
            let (Some(first), Some(last)) = ((0..ENTROPY_BINS).find(inside), (0..ENTROPY_BINS).rev().find(inside))
            else {
                return f64::INFINITY;
            };
            // (mass, bins that hold any) of each of the 256 values, without what was clipped
            let mut levels = [(0f64, 0u32); 256];
            for (bin, &mass) in even.iter().enumerate().take(last + 1).skip(first).filter(|b| *b.1 > 0.0) {
                let level = &mut levels[usize::from(quant.quantize(middle(bin)))];
                *level = (level.0 + mass, level.1 + 1);
            }
            let kept: f64 = levels.iter().map(|l| l.0).sum();
            let below: f64 = even[..first].iter().sum();
            let above: f64 = even[last + 1..].iter().sum();
            let mut divergence = 0.0;
            for bin in first..=last {
                let edge = if bin == first { below } else { 0.0 } + if bin == last { above } else { 0.0 };
                let p = (even[bin] + edge) / total;
                if p <= 0.0 {
                    continue;
                }
                let (mass, bins) = levels[usize::from(quant.quantize(middle(bin)))];
                // an edge that held nothing but clipped values: the smallest share stands for it
                let q = if even[bin] > 0.0 { mass / f64::from(bins) / kept.max(f64::MIN_POSITIVE) } else { 1e-9 };
                divergence += p * (p / q.max(1e-12)).ln();
            }
            divergence
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values `low..high` in equal shares.
    fn even(low: f32, high: f32, bins: usize) -> Vec<(f32, f32)> {
        (0..bins).map(|i| (low + (high - low) * (i as f32 + 0.5) / bins as f32, 1.0 / bins as f32)).collect()
    }

    fn values(mut bins: Vec<(f32, f32)>) -> Values {
        bins.sort_by(|a, b| a.0.total_cmp(&b.0));
        let low = bins.iter().map(|b| b.0).fold(0.0, f32::min);
        let high = bins.iter().map(|b| b.0).fold(0.0, f32::max);
        Values { low, high, bins }
    }

    #[test]
    fn percentiles_of_a_known_distribution() {
        // a hundred thousand values 0.5, 1.5, ...: one in a thousand is a hundred values
        let values = values(even(0.0, 100_000.0, 100_000));
        let (low, high) = values.range(Method::Percentile999, None).range();
        assert_eq!(low, 0.0);
        assert!((high - 99_900.0).abs() < 2.0, "{high}");
        let (_, high) = values.range(Method::Percentile9999, None).range();
        assert!((high - 99_990.0).abs() < 2.0, "{high}");
    }

    /// A body with fine structure within -1..1, and a far value.
    fn structured() -> Values {
        let mut bins = even(-1.0, 1.0, 400);
        for (at, (_, share)) in bins.iter_mut().enumerate() {
            *share *= if at * 7919 % 13 < 4 { 2.5 } else { 0.3 };
        }
        bins.push((10.0, 1e-8));
        values(bins)
    }

    #[test]
    fn one_far_value_is_clipped_by_all_but_min_max() {
        let values = structured();
        assert!(values.range(Method::MinMax, None).range().1 > 9.9);
        for method in [Method::Percentile9999, Method::Percentile999, Method::Mse, Method::Entropy] {
            let high = values.range(method, None).range().1;
            assert!((0.9..=2.1).contains(&high), "{method:?}: {high}");
        }
    }

    #[test]
    fn entropy_keeps_an_even_distribution_whole() {
        let (low, high) = values(even(-4.0, 4.0, 2048)).range(Method::Entropy, None).range();
        assert!(low < -3.9 && high > 3.9, "{low} {high}");
    }

    #[test]
    fn the_squared_error_of_a_step_is_a_twelfth_of_its_square() {
        let values = values(even(0.0, 255.0, 255_000));
        let error = values.squared_error(Quant { scale: 1.0, zero: 0 });
        assert!((error - 1.0 / 12.0).abs() < 1e-3, "{error}");
    }

    proptest! {
        /// The range of least error is never worse than another that was tried.
        #[test]
        fn mse_is_no_worse_than_min_max(points in proptest::collection::vec((-50f32..50.0, 0.01f32..1.0), 1..60)) {
            let values = values(points);
            let of = |method| values.squared_error(values.range(method, None));
            prop_assert!(of(Method::Mse) <= of(Method::MinMax) * 1.000_001);
        }

        /// Whatever was seen, each method gives a usable range.
        #[test]
        fn every_method_gives_a_usable_range(points in proptest::collection::vec((-1e6f32..1e6, 0f32..1.0), 0..40)) {
            let values = values(points);
            for method in Method::ALL {
                let quant = values.range(method, None);
                prop_assert!(quant.scale.is_finite() && quant.scale > 0.0, "{:?}", method);
            }
        }
    }
}
