//! How unusual a picture of a watched scene is: its bits per dimension beside those of ordinary pictures.
//!
//! The level of a likelihood says little (a plain wall is likelier than any garden, whatever was learned: Nalisnick
//! et al., arXiv:1810.09136), and the sum over a picture hides what happens in a corner of it. So the bits are taken
//! cell by cell, and a scene is known by their mean and spread over ordinary pictures, which differ in light and noise.
//! A picture's deviation is that of its [`STRANGEST`] strangest cells, told in standard deviations of what the ordinary
//! pictures give when each is left out and judged by the others.

use super::FlowError;
use super::field::Field;
use super::likelihood::{Settings, bits_per_dimension, log_densities, prepared};
use super::network::VelocityNetwork;

/// Cells along a side of a picture.
pub const CELLS: usize = 8;
/// Cells of a picture that its deviation is the mean of.
pub const STRANGEST: usize = 4;
/// Pictures that a scene needs at least.
pub const ORDINARY_MIN: usize = 8;
/// Spread of a cell that is taken where ordinary pictures differ less, in bits.
pub const SPREAD_MIN: f64 = 1e-3;
/// Likewise, of the mean deviation of the strangest cells.
pub const STRANGENESS_SPREAD_MIN: f64 = 0.1;
/// How much of a cell's variance is that of all cells: few pictures tell little of one cell's own.
const POOLED: f64 = 0.5;

/// Bits per dimension of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Bits {
    /// Of all of it.
    pub whole: f64,
    /// Of its [`CELLS`] x [`CELLS`] cells, row by row.
    pub cells: Vec<f64>,
}

/// Bits per dimension of a picture, (side, side, 3), under the flow without a class; the mean over `probes`
/// Hutchinson estimates. The same seeds for every picture, so that most of their noise falls out of a comparison.
///
/// # Errors
/// The network's, or a setting that makes no sense.
pub fn bits(
    network: &mut dyn VelocityNetwork,
    picture: &[u8],
    settings: &Settings,
    probes: usize,
) -> Result<Bits, FlowError> {
    if probes == 0 {
        return Err(FlowError::Setting { name: "probes", value: 0.0, cure: "give at least 1" });
    }
    let manifest = network.manifest();
    let (values, labels) = (manifest.values(), [manifest.condition.null_label]);
    if picture.len() != values {
        return Err(FlowError::Size { name: "the picture", found: picture.len(), expected: values });
    }
    let side = manifest.velocity.side;
    let mut sums = vec![(0.0, 0usize); CELLS * CELLS]; // log density, values
    for probe in 0..probes {
        let settings = Settings { seed: settings.seed.wrapping_add(probe as u64), ..*settings };
        let x = prepared(picture, settings.t_min, settings.seed);
        let mut field = Field::new(network, &labels, false);
        for (pixel, parts) in log_densities(&mut field, &x, &settings)?.chunks_exact(3).enumerate() {
            let (log, count) = &mut sums[pixel / side * CELLS / side * CELLS + pixel % side * CELLS / side];
            *log += parts.iter().sum::<f64>();
            *count += parts.len();
        }
    }
    let of = |log: f64, count: usize| bits_per_dimension(log, count);
    let (log, count) = sums.iter().fold((0.0, 0), |(a, b), (log, count)| (a + log, b + count));
    Ok(Bits { whole: of(log, count), cells: sums.iter().map(|&(log, count)| of(log, count)).collect() })
}

/// What is ordinary in a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    cells: Cells,
    /// Mean and standard deviation of the ordinary pictures' strangeness.
    ordinary: [f64; 2],
}

/// Mean and standard deviation of each cell's bits.
#[derive(Debug, Clone, PartialEq)]
struct Cells(Vec<[f64; 2]>);

impl Cells {
    fn of<'a>(pictures: impl Iterator<Item = &'a Bits> + Clone) -> Cells {
        let count = pictures.clone().count() as f64;
        let moments = |cell: usize| {
            let values = pictures.clone().filter_map(|p| p.cells.get(cell));
            let mean = values.clone().sum::<f64>() / count;
            [mean, values.map(|b| (b - mean) * (b - mean)).sum::<f64>() / (count - 1.0).max(1.0)]
        };
        let all: Vec<[f64; 2]> = (0..CELLS * CELLS).map(moments).collect();
        let pooled = all.iter().map(|[_, variance]| variance).sum::<f64>() / all.len() as f64;
        let spread = |variance: f64| (POOLED * pooled + (1.0 - POOLED) * variance).sqrt().max(SPREAD_MIN);
        Cells(all.into_iter().map(|[mean, variance]| [mean, spread(variance)]).collect())
    }

    fn deviations(&self, bits: &Bits) -> Vec<f64> {
        bits.cells.iter().zip(&self.0).map(|(b, [mean, spread])| ((b - mean) / spread).abs()).collect()
    }

    /// The mean deviation of the strangest cells.
    fn strangeness(&self, bits: &Bits) -> f64 {
        let mut all = self.deviations(bits);
        all.sort_by(|a, b| b.total_cmp(a));
        all.iter().take(STRANGEST).sum::<f64>() / STRANGEST as f64
    }
}

impl Scene {
    /// Of ordinary pictures' bits; none of fewer than [`ORDINARY_MIN`].
    pub fn of(pictures: &[Bits]) -> Option<Scene> {
        if pictures.len() < ORDINARY_MIN {
            return None;
        }
        let left_out = |(at, picture): (usize, &Bits)| {
            let others = pictures.iter().enumerate().filter(move |(other, _)| *other != at).map(|(_, bits)| bits);
            Cells::of(others).strangeness(picture)
        };
        let found: Vec<f64> = pictures.iter().enumerate().map(left_out).collect();
        let count = found.len() as f64;
        let mean = found.iter().sum::<f64>() / count;
        let variance = found.iter().map(|f| (f - mean) * (f - mean)).sum::<f64>() / (count - 1.0);
        let ordinary = [mean, variance.sqrt().max(STRANGENESS_SPREAD_MIN)];
        Some(Scene { cells: Cells::of(pictures.iter()), ordinary })
    }

    /// How far a picture lies from what is ordinary, in standard deviations; below zero it is more ordinary than most.
    pub fn deviations(&self, bits: &Bits) -> f64 {
        (self.cells.strangeness(bits) - self.ordinary[0]) / self.ordinary[1]
    }

    /// Row and column of the strangest cell.
    pub fn strangest(&self, bits: &Bits) -> (usize, usize) {
        let all = self.cells.deviations(bits);
        let at = (0..all.len()).max_by(|&a, &b| all[a].total_cmp(&all[b])).unwrap_or(0);
        (at / CELLS, at % CELLS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlowManifest;
    use super::super::network::{Asked, check};
    use super::super::normal::Normal;
    use super::*;

    /// The flow of a normal of deviation `s` at t = 0: v = x (t - (1 - t) s^2) / ((1 - t)^2 s^2 + t^2).
    struct Known(FlowManifest, f64);

    impl VelocityNetwork for Known {
        fn manifest(&self) -> &FlowManifest {
            &self.0
        }

        fn origin(&self) -> &str {
            "known"
        }

        fn velocity(&mut self, x: &[f32], context: &[f32], asked: Asked, v: &mut [f32]) -> Result<(), FlowError> {
            check(&self.0, x, context, v)?;
            let (t, s) = (asked.t, self.1 * self.1);
            let slope = (t - (1.0 - t) * s) / ((1.0 - t) * (1.0 - t) * s + t * t);
            v.iter_mut().zip(x).for_each(|(v, x)| *v = (slope * f64::from(*x)) as f32);
            Ok(())
        }
    }

    #[test]
    fn bits_of_a_known_density_are_found() {
        let deviation = 0.4;
        let mut network = Known(FlowManifest::parse(lapwing_models::FLOW_CIFAR.manifest).unwrap(), deviation);
        let picture: Vec<u8> = (0..32 * 32 * 3).map(|k| (90 + (k * 7919) % 70) as u8).collect();
        let settings = Settings { steps: 64, ..Settings::default() };
        let found = bits(&mut network, &picture, &settings, 1).unwrap();
        let mean = found.cells.iter().sum::<f64>() / found.cells.len() as f64;
        assert!((mean - found.whole).abs() < 1e-9);
        let found = found.whole;
        // at t_min the density is that of a normal of this variance
        let t = settings.t_min;
        let variance = (1.0 - t) * (1.0 - t) * deviation * deviation + t * t;
        let x = prepared(&picture, t, 0);
        let log: f64 = x.iter().map(|x| -0.5 * (x * x / variance + (std::f64::consts::TAU * variance).ln())).sum();
        let known = bits_per_dimension(log, x.len());
        assert!((found - known).abs() < 5e-3, "{found} for {known}");
        assert!(bits(&mut network, &picture[1..], &settings, 1).is_err());
        assert!(bits(&mut network, &picture, &settings, 0).is_err());
    }

    /// Cells of 4 bits and some noise; `odd` is added to the cell at (2, 5).
    fn seen(seed: u64, odd: f64) -> Bits {
        let mut cells = vec![0.0; CELLS * CELLS];
        Normal::new(seed, 3).fill_f64(&mut cells);
        cells.iter_mut().for_each(|b| *b = 4.0 + 0.1 * *b);
        cells[2 * CELLS + 5] += odd;
        Bits { whole: 4.0, cells }
    }

    #[test]
    fn what_changes_in_one_cell_is_seen_and_placed() {
        let ordinary: Vec<Bits> = (0..12).map(|seed| seen(seed, 0.0)).collect();
        assert_eq!(Scene::of(&ordinary[..ORDINARY_MIN - 1]), None);
        let scene = Scene::of(&ordinary).unwrap();
        let of = |odd: f64| (100..140).map(|seed| scene.deviations(&seen(seed, odd))).sum::<f64>() / 40.0;
        assert!(of(0.0).abs() < 2.0, "{}", of(0.0));
        for odd in [2.0, -2.0] {
            assert!(of(odd) > 5.0, "{}", of(odd));
            assert_eq!(scene.strangest(&seen(100, odd)), (2, 5));
        }
    }

    #[test]
    fn pictures_that_are_all_the_same_have_the_least_spread() {
        let scene = Scene::of(&vec![seen(1, 0.0); 9]).unwrap();
        assert!(scene.deviations(&seen(1, 0.0)).abs() < 1e-6);
        let step = scene.deviations(&seen(1, 0.01));
        assert!((step - 0.01 / SPREAD_MIN / STRANGEST as f64 / STRANGENESS_SPREAD_MIN).abs() < 1e-6, "{step}");
    }
}
