//! The order of decisions, each by measured error.
//!
//! Equalisations first, since they change what is seen; then rounding, ranges, biases. A decision is
//! kept only if the error at the outputs falls by more than [`GAIN_MIN`]: less than that is luck.

use std::collections::HashMap;

use super::super::calibrate::{Calibrator, Observed, RealOutputs, Seen};
use super::super::int8::input_quant;
use super::super::ir::Graph;
use super::super::manifest::HeadFamily;
use super::super::network::{MapId, Network};
use super::super::quant::Quant;
use super::build::{Lowered, lower};
use super::choices::{Choices, Quants, Range};
use super::classes::Classes;
use super::correct::{self, Means};
use super::equalise::{self, Equalisation};
use super::harm;
use super::judge::Judge;
use super::ranges::Method;
use super::report::{self, Report, StepReport, Subject};
use super::samples::Samples;
use super::split::{self, Split};

/// Least share of the error that a decision must take away.
pub const GAIN_MIN: f64 = 0.001;
/// Least share of the error that splitting a convolution must take away: it costs time in every run.
pub const SPLIT_GAIN_MIN: f64 = 0.01;

/// What is asked.
pub struct Request<'a> {
    /// Pictures, at least one.
    pub samples: &'a Samples,
    /// What reads the outputs.
    pub family: HeadFamily,
    /// Threads for the quantised runs.
    pub threads: usize,
    /// Try all methods; without it every range takes the first one.
    pub search: bool,
    /// Measure what each layer costs.
    pub harm: bool,
}

/// What comes of it.
pub struct Quantised {
    /// The network.
    pub graph: Graph,
    /// How it was made and how good it is.
    pub report: Report,
}

/// Where the work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What is being done.
    pub name: &'static str,
    /// Steps done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

type Told<'a> = &'a mut dyn FnMut(Phase);

/// Calibrates, quantises and tunes a network; `told` hears of every step.
///
/// # Errors
/// The node or the picture, and what is wrong with it.
pub fn tuned(mut network: Network, request: &Request<'_>, told: Told<'_>) -> Result<Quantised, String> {
    let samples = request.samples;
    if samples.is_empty() {
        return Err("there is no picture to calibrate on".into());
    }
    let classes = Classes::of(&network);
    let (mut observed, places, splits) = observe(&network, &classes, request, told)?;
    let (judges, others) = samples.split();
    let input = input_quant(samples.spec());
    let real = real_outputs(&network, samples, &judges, told)?;
    let mut judge = Judge::new(samples, &judges, request.family, request.threads, input, real);
    let mut steps = Vec::new();

    let first = plain(&network, &classes, &observed, input, true)?;
    let mut best = judge.error(&first.graph)?;
    steps.push(StepReport { step: "mse ranges", tried: 0, kept: 0, error: best });

    let mut scales: HashMap<MapId, Vec<f32>> = HashMap::new();
    let (tried, mut kept) = (if request.search { places.len() } else { 0 }, 0);
    for (at, (place, scaled)) in places.into_iter().take(tried).enumerate() {
        told(Phase { name: "equalising", done: at, of: tried });
        let undo = place.apply(&mut network);
        let before: Vec<(MapId, Observed)> =
            scaled.into_iter().map(|(map, seen)| (map, std::mem::replace(&mut observed[map], seen))).collect();
        let error = judge.error(&plain(&network, &classes, &observed, input, true)?.graph)?;
        if error < best * (1.0 - GAIN_MIN) {
            best = error;
            kept += 1;
            scales.extend(place.maps.iter().map(|&map| (map, place.scales.clone())));
        } else {
            undo.apply(&mut network);
            before.into_iter().for_each(|(map, seen)| observed[map] = seen);
        }
    }
    steps.push(StepReport { step: "equalisation", tried, kept, error: best });

    let rough = judge.error(&plain(&network, &classes, &observed, input, false)?.graph)?;
    let rounding = rough >= best * (1.0 - GAIN_MIN);
    best = best.min(if rounding { best } else { rough });
    steps.push(StepReport { step: "rounding off biases", tried: 1, kept: usize::from(rounding), error: best });

    let mut choices = Choices::new(&network, &classes, &observed, input)?;
    let subject = Subjects { network: &network, classes: &classes, observed: &observed, rounding };
    if request.search {
        let of = splits.len();
        let mut kept = 0;
        for (done, seen) in splits.into_iter().enumerate() {
            told(Phase { name: "splitting", done, of });
            if seen.maps.iter().any(|map| scales.contains_key(map)) {
                continue; // what was seen of its groups is no longer so
            }
            choices.split(&seen.split, &seen.stored, &seen.before);
            let error = subject.error(&choices.quants()?, &mut judge)?;
            if error < best * (1.0 - SPLIT_GAIN_MIN) {
                best = error;
                kept += 1;
            } else {
                choices.unsplit();
            }
        }
        steps.push(StepReport { step: "splitting channels", tried: of, kept, error: best });
        let (tried, kept) = subject.ranges(&mut choices, &mut judge, &mut best, told)?;
        steps.push(StepReport { step: "ranges", tried, kept, error: best });
    }
    let mut lowered = lower(&network, &classes, &observed, &choices.quants()?, rounding)?;

    let scales_of = |map: MapId| scales.get(&map).cloned();
    if request.search {
        let (tried, kept) =
            correct_all(&mut lowered, &network, &scales_of, &mut judge, &others, samples, &mut best, told)?;
        steps.push(StepReport { step: "bias correction", tried, kept, error: best });
    }
    lowered.graph.check()?;

    let outputs = report::outputs(&lowered.graph, &judge.outputs(&lowered.graph)?);
    let mut done = 0;
    let subject =
        Subject { network: &network, classes: &classes, choices: &choices, lowered: &lowered, scales: &scales_of };
    let mut layers = subject.layers(samples, &judges, &mut judge, &mut || {
        done += 1;
        told(Phase { name: "comparing", done, of: judges.len() });
    })?;
    if request.harm {
        let of = layers.len();
        for (done, (index, layer)) in layers.iter_mut().enumerate() {
            told(Phase { name: "weighing", done, of });
            if let Some(coarser) = harm::coarser(&lowered.graph, *index) {
                layer.harm = Some(harm::share(best, judge.error(&coarser)?));
            }
        }
        layers.sort_by(|a, b| b.1.harm.unwrap_or(0.0).total_cmp(&a.1.harm.unwrap_or(0.0)));
    } else {
        layers.sort_by(|a, b| a.1.sqnr_db.total_cmp(&b.1.sqnr_db));
    }
    let layers = layers.into_iter().map(|(_, layer)| layer).collect();
    let report = Report { pictures: samples.len(), judged_on: judges.len(), steps, outputs, layers };
    Ok(Quantised { graph: lowered.graph, report })
}

/// A convolution that can be split, and what its groups of channels hold.
struct SplitSeen {
    split: Split,
    maps: [MapId; 2],
    stored: Vec<Observed>,
    before: Vec<Observed>,
}

type Places = Vec<(Equalisation, Vec<(MapId, Observed)>)>;

/// Both passes of calibration: what every map holds, and where channels can be scaled, with what
/// the scaled maps hold.
fn observe(
    network: &Network,
    classes: &Classes,
    request: &Request<'_>,
    told: Told<'_>,
) -> Result<(Vec<Observed>, Places, Vec<SplitSeen>), String> {
    let samples = request.samples;
    let mut calibrator = Calibrator::new(network)?;
    let mut input = Vec::new();
    let (mut places, mut splits) = (Vec::new(), Vec::new());
    let of = 2 * samples.len();
    for pass in 0..2 {
        for index in 0..samples.len() {
            told(Phase { name: "calibrating", done: pass * samples.len() + index, of });
            samples.real(index, &mut input);
            let done = if pass == 0 { calibrator.extremes(&input) } else { calibrator.count(&input) };
            done.map_err(|what| format!("picture {:?}: {what}", samples.name(index)))?;
        }
        if pass == 0 {
            places = equalise::find(network, classes, calibrator.seen());
            for place in &places {
                place.maps.iter().for_each(|&map| calibrator.scale(map, place.scales.clone()));
            }
            splits = split::find(network, classes, calibrator.seen_so_far());
            for split in &splits {
                split.maps(network, classes).into_iter().for_each(|map| calibrator.group(map, &split.groups));
            }
        }
    }
    let Seen { maps: observed, mut scaled, grouped } = calibrator.finish();
    let with = places.into_iter().map(|place| {
        let seen = place.maps.iter().filter_map(|map| Some((*map, scaled.remove(map)?))).collect();
        (place, seen)
    });
    let seen = splits.into_iter().filter_map(|split| {
        let maps = split.maps(network, classes);
        let of = |map: &MapId| grouped.get(map).cloned();
        let (stored, before) = (of(&maps[0])?, of(&maps[1])?);
        Some(SplitSeen { split, maps, stored, before })
    });
    Ok((observed, with.collect(), seen.collect()))
}

fn real_outputs(
    network: &Network,
    samples: &Samples,
    pictures: &[usize],
    told: Told<'_>,
) -> Result<Vec<Vec<Vec<f32>>>, String> {
    let mut run = RealOutputs::new(network)?;
    let mut input = Vec::new();
    let mut real = Vec::with_capacity(pictures.len());
    for (done, &picture) in pictures.iter().enumerate() {
        told(Phase { name: "running in real numbers", done, of: pictures.len() });
        samples.real(picture, &mut input);
        real.push(run.run(&input)?);
    }
    Ok(real)
}

/// The first method for every range.
fn plain(
    network: &Network,
    classes: &Classes,
    observed: &[Observed],
    input: Quant,
    rounding: bool,
) -> Result<Lowered, String> {
    let quants = Choices::new(network, classes, observed, input)?.quants()?;
    lower(network, classes, observed, &quants, rounding)
}

struct Subjects<'a> {
    network: &'a Network,
    classes: &'a Classes,
    observed: &'a [Observed],
    rounding: bool,
}

impl Subjects<'_> {
    fn error(&self, quants: &Quants, judge: &mut Judge<'_>) -> Result<f64, String> {
        judge.error(&lower(self.network, self.classes, self.observed, quants, self.rounding)?.graph)
    }

    /// Tries every method for every range; (tried, kept).
    fn ranges(
        &self,
        choices: &mut Choices<'_>,
        judge: &mut Judge<'_>,
        best: &mut f64,
        told: Told<'_>,
    ) -> Result<(usize, usize), String> {
        let mut ranges: Vec<Range> = Vec::new();
        for (index, node) in self.network.nodes.iter().enumerate() {
            let root = self.classes.root(node.output);
            if root != 0 {
                ranges.push(Range::Class(root));
            }
            if self.classes.fused.contains_key(&index) {
                ranges.push(Range::Before(index));
            }
        }
        for split in choices.splits() {
            let (node, groups) = (split.producer, 0..split.groups.len());
            ranges.extend(groups.flat_map(|g| [Range::Part(node, g), Range::BeforePart(node, g)]));
        }
        let mut seen = std::collections::HashSet::new();
        ranges.retain(|range| seen.insert(*range));
        let (mut tried, mut kept) = (0, 0);
        for (done, &range) in ranges.iter().enumerate() {
            told(Phase { name: "choosing ranges", done, of: ranges.len() });
            let mut chosen = choices.method(range);
            let mut known = vec![choices.quants()?];
            for method in Method::ALL.into_iter().skip(1) {
                choices.choose(range, method);
                let quants = choices.quants()?;
                if known.contains(&quants) {
                    continue; // another method gave the same
                }
                tried += 1;
                let error = self.error(&quants, judge)?;
                known.push(quants);
                if error < *best * (1.0 - GAIN_MIN) {
                    *best = error;
                    chosen = method;
                    kept += 1;
                }
            }
            choices.choose(range, chosen);
        }
        Ok((tried, kept))
    }
}

/// Corrects the bias of one convolution after the other; (tried, kept).
#[allow(clippy::too_many_arguments)]
fn correct_all(
    lowered: &mut Lowered,
    network: &Network,
    scales: &dyn Fn(MapId) -> Option<Vec<f32>>,
    judge: &mut Judge<'_>,
    pictures: &[usize],
    samples: &Samples,
    best: &mut f64,
    told: Told<'_>,
) -> Result<(usize, usize), String> {
    let mut done = 0;
    let means = Means::of(network, samples, pictures, scales, &mut || {
        done += 1;
        told(Phase { name: "taking means", done, of: pictures.len() });
    })?;
    let (mut tried, mut kept) = (0, 0);
    let of = lowered.graph.nodes.len();
    for index in 0..of {
        told(Phase { name: "correcting biases", done: index, of });
        let before = lowered.graph.nodes[index].op.clone();
        if !correct::correct(lowered, index, network, &means, judge, pictures)? {
            continue;
        }
        tried += 1;
        let error = if lowered.graph.check().is_ok() { judge.error(&lowered.graph)? } else { f64::INFINITY };
        if error < *best * (1.0 - GAIN_MIN) {
            *best = error;
            kept += 1;
        } else {
            lowered.graph.nodes[index].op = before;
        }
    }
    Ok((tried, kept))
}
