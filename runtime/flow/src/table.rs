//! Distance against steps for every sampler.
//!
//! Numbers, none of which is an FID:
//!
//! - `end`: the root mean square, in pixel levels, between a walk's picture and the picture in which
//!   the flow itself ends from the same noise (Heun, [`END_STEPS`] steps). It means something only
//!   where no fresh noise joins and the flow's own velocity is walked.
//! - `cells`: how far the pictures as a set lie from another set of the flow's own ends, from other
//!   noise: a Fréchet distance with independent features (means and deviations apart), the features
//!   being colour and contrast in 4x4 cells. It sees wrong colours, haze and noise, not wrong shapes.
//! - `features`: Fréchet's distance ([`super::frechet`]) in the features of a classifier of our own, to
//!   the same set, or to pictures that are given. It sees shapes. `agreement` is the share of pictures
//!   that this classifier takes for the class that was asked for.
//!
//! Distances fall with the number of pictures: compare tables of equal numbers only.

use super::FlowError;
use super::frechet::Gaussian;
use super::generate::{Made, Request, Walk, generate};
use super::network::VelocityNetwork;
use super::samplers::Sampler;
use lapwing_engine::parallel;

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

/// Pictures that are made together: a fixed number, so that nothing depends on the threads.
const PART: usize = 20;

/// What measures pictures: the features of one, and the class it is taken for.
pub type Measure<'a> = dyn FnMut(&[u8]) -> Result<(Vec<f32>, usize), FlowError> + 'a;

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
    /// See the module; none without something that measures.
    pub features: Option<f64>,
    /// Share of the pictures that are taken for what was asked; none without something that measures.
    pub agreement: Option<f64>,
    /// One picture of it.
    pub picture: Vec<u8>,
}

/// What a table is made of.
#[derive(Debug, Clone)]
pub struct Tabled<'a> {
    /// Labels, guidance and seed.
    pub base: &'a Request,
    /// Pictures to compare with; empty: the flow's own ends from other noise.
    pub reference: Vec<Vec<u8>>,
    /// Walks that are walked at the same time, each with a network of its own.
    pub threads: usize,
}

impl Tabled<'_> {
    /// What is walked: the ends, the reference where it has to be made, and then a request a row.
    fn requests(&self) -> Vec<Request> {
        let fine = Request { walk: Walk::Flow(Sampler::Heun), steps: END_STEPS, ..self.base.clone() };
        let others = Request { seed: self.base.seed.wrapping_add(1 << 32), ..fine.clone() };
        let made = self.reference.is_empty().then_some(others);
        let row = |(walk, steps)| {
            // straight lines were trained without guidance, and for few steps
            let guidance = if walk == Walk::Jump { 1.0 } else { self.base.guidance };
            Request { walk, steps, guidance, ..self.base.clone() }
        };
        let all = walks().into_iter().flat_map(|walk| STEPS.map(|steps| (walk, steps)));
        std::iter::once(fine).chain(made).chain(all.map(row)).collect()
    }

    /// How often a network will be run, about: the adaptive sampler decides for itself.
    pub fn evaluations(&self) -> usize {
        let of = |r: &Request| {
            let order = if matches!(r.walk, Walk::Flow(Sampler::Heun | Sampler::Ode)) { 2 } else { 1 };
            let sides = if r.guidance == 1.0 { 1 } else { 2 };
            r.steps * order * sides * r.labels.len()
        };
        self.requests().iter().map(of).sum()
    }

    /// Makes the table; `make` gives a network for each thread, `told` hears how many of how many parts are done.
    ///
    /// # Errors
    /// The network's, or what measures fails.
    pub fn rows(
        &self,
        make: &(dyn Fn() -> Result<Box<dyn VelocityNetwork>, FlowError> + Sync),
        mut measure: Option<&mut Measure<'_>>,
        told: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Row>, FlowError> {
        let requests = self.requests();
        let mut made = walk(&requests, self.threads, make, told)?;
        let rows = made.split_off(if self.reference.is_empty() { 2 } else { 1 });
        let (ends, reference) = match made.as_slice() {
            [ends, others] => (&ends.pictures, &others.pictures),
            [ends, ..] => (&ends.pictures, &self.reference),
            [] => return Ok(Vec::new()),
        };
        let side = ends.first().map_or(0, |picture| (picture.len() / 3).isqrt());
        let cells = summary(reference, side);
        let gaussian = match measure.as_mut() {
            Some(measure) => Some(measured(measure, reference)?.0),
            None => None,
        };
        let asked = requests.iter().skip(made.len());
        rows.into_iter()
            .zip(asked)
            .map(|(made, request)| {
                let walk = request.walk;
                let (mut features, mut agreement) = (None, None);
                if let (Some(measure), Some(reference)) = (measure.as_mut(), &gaussian) {
                    let (found, classes) = measured(measure, &made.pictures)?;
                    let right = classes.iter().zip(&request.labels).filter(|(found, asked)| found == asked).count();
                    features = Some(found.distance(reference));
                    agreement = Some(right as f64 / classes.len().max(1) as f64);
                }
                Ok(Row {
                    walk,
                    steps: request.steps,
                    evaluations: made.evaluations,
                    end: (walk != Walk::Jump && !walk.adds_noise()).then(|| apart(&made.pictures, ends)),
                    cells: frechet(&summary(&made.pictures, side), &cells),
                    features,
                    agreement,
                    picture: made.pictures.into_iter().next().unwrap_or_default(),
                })
            })
            .collect()
    }
}

fn measured(measure: &mut Measure<'_>, pictures: &[Vec<u8>]) -> Result<(Gaussian, Vec<usize>), FlowError> {
    let found: Result<Vec<_>, _> = pictures.iter().map(|picture| measure(picture)).collect();
    let (features, classes): (Vec<_>, Vec<_>) = found?.into_iter().unzip();
    Ok((Gaussian::of(&features), classes))
}

/// Makes the pictures of all requests, in parts of [`PART`], on so many threads. The evaluations of a request are the
/// most that a part took.
fn walk(
    requests: &[Request],
    threads: usize,
    make: &(dyn Fn() -> Result<Box<dyn VelocityNetwork>, FlowError> + Sync),
    told: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Made>, FlowError> {
    let parts_of = |r: &Request| r.labels.len().div_ceil(PART);
    let parts: Vec<(usize, usize)> =
        requests.iter().enumerate().flat_map(|(at, r)| (0..parts_of(r)).map(move |part| (at, part))).collect();
    let each = |network: &mut Box<dyn VelocityNetwork>, made: &mut Vec<Made>, index: usize| {
        let (at, part) = parts[index];
        let (whole, first) = (&requests[at], part * PART);
        let labels = whole.labels[first..].iter().take(PART).copied().collect();
        let request = Request { labels, seed: whole.seed.wrapping_add(first as u64), ..whole.clone() };
        made.push(generate(network.as_mut(), &request, None)?);
        Ok(())
    };
    let (indices, mut done): (Vec<usize>, _) = ((0..parts.len()).collect(), 0);
    let made = parallel::over(threads, &indices, make, Vec::new, each, &mut || {
        done += 1;
        told(done, indices.len());
    })?;
    let mut whole: Vec<Made> = vec![Made { pictures: Vec::new(), evaluations: 0 }; requests.len()];
    for ((at, _), part) in parts.iter().zip(parallel::in_order(made)) {
        whole[*at].evaluations = whole[*at].evaluations.max(part.evaluations);
        whole[*at].pictures.extend(part.pictures);
    }
    Ok(whole)
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
    use super::super::FlowManifest;
    use super::super::generate::Greys;
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

    #[test]
    fn threads_change_nothing_and_what_was_asked_for_is_seen() {
        let text = lapwing_models::FLOW_CIFAR.manifest.replacen("side = 32", "side = 8", 1);
        let base = Request {
            labels: (0..23).map(|i| i % 10).collect(),
            walk: Walk::Jump,
            steps: 4,
            guidance: 1.0,
            interval: [0.0, 1.0],
            seed: 9,
        };
        let make = || -> Result<Box<dyn VelocityNetwork>, FlowError> {
            Ok(Box::new(Greys(FlowManifest::parse(&text).unwrap())))
        };
        let rows = |threads| {
            // the class is read off the grey
            let mut measure = |picture: &[u8]| {
                let mean = picture.iter().map(|&p| f32::from(p)).sum::<f32>() / picture.len() as f32;
                Ok((vec![mean, mean * mean], (mean / 10.0).round() as usize))
            };
            let mut told = Vec::new();
            let tabled = Tabled { base: &base, reference: Vec::new(), threads };
            let rows = tabled.rows(&make, Some(&mut measure), &mut |done, of| told.push((done, of))).unwrap();
            assert_eq!((told.len(), told.iter().max().copied()), (told[0].1, Some((told[0].1, told[0].1))));
            rows
        };
        let (one, three) = (rows(1), rows(3));
        assert_eq!(one.len(), walks().len() * STEPS.len());
        for (a, b) in one.iter().zip(&three) {
            assert_eq!((a.walk, a.steps, a.evaluations, &a.picture), (b.walk, b.steps, b.evaluations, &b.picture));
            assert_eq!((a.end, a.cells, a.features, a.agreement), (b.end, b.cells, b.features, b.agreement));
        }
        let jump = one.iter().find(|r| r.walk == Walk::Jump && r.steps == 4).unwrap();
        assert_eq!(jump.agreement, Some(1.0));
        assert!(jump.features.unwrap() < 1e-6, "{jump:?}");
    }

    #[test]
    fn an_error_of_the_network_ends_the_table() {
        let base =
            Request { labels: vec![0; 3], walk: Walk::Jump, steps: 4, guidance: 1.0, interval: [0.0, 1.0], seed: 0 };
        let tabled = Tabled { base: &base, reference: Vec::new(), threads: 2 };
        let make = || Err(FlowError::Unable { origin: "it".into(), what: "is not there".into() });
        assert!(tabled.rows(&make, None, &mut |_, _| ()).is_err());
    }
}
