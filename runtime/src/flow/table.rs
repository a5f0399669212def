//! Distance against steps for every sampler.
//!
//! Two numbers, neither of which needs a data set, and neither of which is an FID:
//!
//! - `end`: the root mean square, in pixel levels, between a walk's picture and the picture in which
//!   the flow itself ends from the same noise (Heun, [`END_STEPS`] steps). It means something only
//!   where no fresh noise joins and the flow's own velocity is walked.
//! - `cells`: how far the pictures as a set lie from another set of the flow's own ends, from other
//!   noise: a Fréchet distance with independent features (means and deviations apart), the features
//!   being colour and contrast in 4x4 cells. It sees wrong colours, haze and noise, not wrong shapes.

use super::FlowError;
use super::generate::{Request, Walk, generate};
use super::network::Network;
use super::samplers::Sampler;

/// Steps of the walk that stands for the flow's own end.
pub const END_STEPS: usize = 128;
/// Numbers of steps in the table.
pub const STEPS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Cells along a side.
const CELLS: usize = 4;

/// All walks of the table.
pub fn walks() -> Vec<Walk> {
    let flows = [
        Sampler::Euler,
        Sampler::Heun,
        Sampler::Rk45,
        Sampler::Ddim { eta: 0.0 },
        Sampler::Ddim { eta: 1.0 },
        Sampler::Ddpm,
        Sampler::Sde,
        Sampler::Ode,
    ];
    std::iter::once(Walk::Jump).chain(flows.map(Walk::Flow)).collect()
}

/// One walk at one number of steps.
#[derive(Debug, Clone)]
pub struct Row {
    /// The walk.
    pub walk: Walk,
    /// Steps asked for.
    pub steps: usize,
    /// Times that the velocity was asked for.
    pub evaluations: usize,
    /// See the module; none where it means nothing.
    pub end: Option<f64>,
    /// See the module.
    pub cells: f64,
    /// One picture of it.
    pub picture: Vec<u8>,
}

/// Makes the table: `base` gives labels, guidance and seed. `told` after each row.
///
/// # Errors
/// The network's.
pub fn table(network: &mut dyn Network, base: &Request, told: &mut dyn FnMut(&Row)) -> Result<Vec<Row>, FlowError> {
    let side = network.manifest().velocity.side;
    let fine = Request { walk: Walk::Flow(Sampler::Heun), steps: END_STEPS, ..base.clone() };
    let ends = generate(network, &fine, None)?.pictures;
    let others = Request { seed: base.seed.wrapping_add(1 << 32), ..fine };
    let others = summary(&generate(network, &others, None)?.pictures, side);
    let mut rows = Vec::new();
    for walk in walks() {
        for steps in STEPS {
            // straight lines were trained without guidance, and for few steps
            let guidance = if walk == Walk::Jump { 1.0 } else { base.guidance };
            let made = generate(network, &Request { walk, steps, guidance, ..base.clone() }, None)?;
            let row = Row {
                walk,
                steps,
                evaluations: made.evaluations,
                end: (walk != Walk::Jump && !walk.adds_noise()).then(|| apart(&made.pictures, &ends)),
                cells: frechet(&summary(&made.pictures, side), &others),
                picture: made.pictures.into_iter().next().unwrap_or_default(),
            };
            told(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Root mean square of the difference, in levels.
fn apart(a: &[Vec<u8>], b: &[Vec<u8>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    let squares: f64 = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (squares / a.iter().map(Vec::len).sum::<usize>().max(1) as f64).sqrt()
}

/// Mean and deviation of each feature over the pictures.
fn summary(pictures: &[Vec<u8>], side: usize) -> Vec<[f64; 2]> {
    let all: Vec<Vec<f64>> = pictures.iter().map(|p| features(p, side)).collect();
    let n = all.len().max(1) as f64;
    let count = all.first().map_or(0, Vec::len);
    let of = |k: usize| {
        let mean = all.iter().map(|f| f[k]).sum::<f64>() / n;
        let variance = all.iter().map(|f| (f[k] - mean).powi(2)).sum::<f64>() / n;
        [mean, variance.sqrt()]
    };
    (0..count).map(of).collect()
}

/// Colours of the cells, and how much neighbouring pixels differ in them; in levels.
fn features(picture: &[u8], side: usize) -> Vec<f64> {
    let cell = (side / CELLS).max(1);
    let mut found = Vec::with_capacity(CELLS * CELLS * 4);
    for index in 0..CELLS * CELLS {
        let (top, left) = (index / CELLS * cell, index % CELLS * cell);
        let (mut sums, mut contrast) = ([0.0; 3], 0.0);
        for y in top..(top + cell).min(side) {
            for x in left..(left + cell).min(side) {
                for (c, sum) in sums.iter_mut().enumerate() {
                    let at = |y: usize, x: usize| f64::from(picture[(y * side + x) * 3 + c]);
                    *sum += at(y, x);
                    contrast += (at(y, x) - at(y, (x + 1).min(side - 1))).abs();
                    contrast += (at(y, x) - at((y + 1).min(side - 1), x)).abs();
                }
            }
        }
        let area = (cell * cell) as f64;
        found.extend(sums.map(|s| s / area));
        found.push(contrast / (6.0 * area));
    }
    found
}

/// Squared distance of two normals with independent features, a feature's mean: `(m - m')^2 + (s - s')^2`
/// (Dowson and Landau, 1982).
fn frechet(a: &[[f64; 2]], b: &[[f64; 2]]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sum();
    sum / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_zero_for_like_and_grow_with_the_difference() {
        let picture = |grey: u8| vec![grey; 32 * 32 * 3];
        let dark: Vec<Vec<u8>> = (40..48).map(picture).collect();
        let light: Vec<Vec<u8>> = (50..58).map(picture).collect();
        assert_eq!(apart(&dark, &dark), 0.0);
        assert_eq!(apart(&dark, &light), 10.0);
        let (a, b) = (summary(&dark, 32), summary(&light, 32));
        assert_eq!(frechet(&a, &a), 0.0);
        // three of four features differ by 10
        assert!((frechet(&a, &b) - 75.0).abs() < 1e-9);
        let noisy: Vec<Vec<u8>> =
            (0..8).map(|k| (0..3072).map(|i| ((i * 7919 + k * 31) % 256) as u8).collect()).collect();
        assert!(frechet(&summary(&noisy, 32), &a) > 100.0);
    }
}
