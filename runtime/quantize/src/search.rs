//! The order of decisions, each by measured error.
//!
//! Sixteen bits first, where they are allowed: they spare what follows. Then equalisations, since they
//! change what is seen; then rounding, ranges, biases. A decision is kept only if the error at the outputs
//! falls by more than [`GAIN_MIN`]: less than that is luck.

use std::collections::HashMap;

use super::build::lower;
use super::choices::{Choices, Range};
use super::classes::Classes;
use super::correct::{self, Means};
use super::equalise::{self, Equalisation, Undo};
use super::error_metric::ErrorMetric;
use super::joint::{self, Joint, Producer};
use super::lowered::Lowered;
use super::phase::Told;
use super::ranges::Method;
use super::report::{self, Report, StepReport, Subject};
use super::samples::Samples;
use super::sensitivity;
use super::split::{self, Split};
use super::subjects::Subjects;
use super::widen;
use crate::calibrate::{Calibrator, Observed, RealMaps, RealOutputs, RealRun, Seen};
use crate::network::{FloatNetwork, MapId};
use lapwing_engine::int8::input_quant;
use lapwing_engine::ir::Graph;
use lapwing_engine::parallel;
use lapwing_engine::tail::Tail;

pub use super::phase::Phase;

/// Least share of the error that a decision must take away.
pub const GAIN_MIN: f64 = 0.001;
/// Least share of the error that splitting a convolution must take away: it costs time in every run.
pub const SPLIT_GAIN_MIN: f64 = 0.01;

/// Share that is enough however many convolutions are split together.
pub const JOINT_GAIN_MAX: f64 = 0.3;

/// What is asked.
pub struct Request<'a> {
    /// Pictures, at least one.
    pub samples: &'a Samples,
    /// Whether an output holds logits: its errors are measured behind the logistic function.
    pub is_logit: fn(usize) -> bool,
    /// Threads that pictures are dealt over. The result is the same for every number of them.
    pub threads: usize,
    /// Try all methods; without it every range takes the first one.
    pub search: bool,
    /// Share of all convolutions' results that may have sixteen bits where that helps; 0 for none.
    pub wide: f64,
    /// Measure what each layer costs.
    pub sensitivity: bool,
    /// What follows the graph in float32.
    pub tail: Option<&'a Tail>,
}

/// Most bytes that all threads together hold of a network's maps in float32.
const REAL_BYTES_MAX: usize = 4 << 30;

impl Request<'_> {
    /// Threads that may run the network in float32 at the same time: memory bounds them.
    pub(super) fn threads_real(&self, network: &FloatNetwork) -> usize {
        let bytes: usize = network.maps.iter().map(|m| m.shape.elements() * size_of::<f32>()).sum();
        self.threads.min(REAL_BYTES_MAX / bytes.max(1)).max(1)
    }
}

/// What comes of it.
pub struct Quantized {
    /// The network.
    pub graph: Graph,
    /// How it was made and how good it is.
    pub report: Report,
}

/// Calibrates, quantizes and tunes a network; `told` hears of every step.
///
/// # Errors
/// The node or the picture, and what is wrong with it.
pub fn tuned(mut network: FloatNetwork, request: &Request<'_>, told: Told<'_>) -> Result<Quantized, String> {
    let samples = request.samples;
    if samples.is_empty() {
        return Err("there is no picture to calibrate on".into());
    }
    let classes = Classes::of(&network);
    let (mut observed, places) = observe(&network, &classes, request, told)?;
    let (held_out, others) = samples.split();
    let input = input_quant(samples.spec());
    let real = real_outputs(&network, request, &held_out, told)?;
    let mut error_metric = ErrorMetric::new(samples, &held_out, request.is_logit, request.threads, input, real);
    if let Some(tail) = request.tail {
        let shapes: Vec<Vec<usize>> = network.outputs.iter().map(|o| o.shape.clone()).collect();
        error_metric = error_metric.through(tail, &shapes)?;
    }
    let mut steps = Vec::new();

    let structure = network.clone(); // weights change below, shapes and functions do not
    let mut choices = Choices::new(&structure, &classes, &observed, input)?;
    let mut rounding = true;
    let first = lower(&network, &classes, &observed, &choices.quants()?, rounding)?;
    let mut best = error_metric.error(&first.graph)?;
    steps.push(StepReport { step: "mse ranges", tried: 0, kept: 0, error: best });

    if request.wide > 0.0 {
        let subject = Subjects { network: &network, classes: &classes, observed: &observed, rounding };
        let (tried, kept) = widen::widen(&subject, request.wide, &mut choices, &mut error_metric, &mut best, told)?;
        steps.push(StepReport { step: "sixteen bits", tried, kept, error: best });
    }
    let mut scales: HashMap<MapId, Vec<f32>> = HashMap::new();
    if request.search {
        let (of, mut kept) = (places.len(), 0);
        for (done, place) in places.into_iter().enumerate() {
            told(Phase { name: "equalising", done, of });
            if place.way.splits().any(|split| choices.is_wide(split.producer)) {
                continue; // it has all the bits that a table of its own would give
            }
            let maps: Vec<MapId> = place.scaled.iter().map(|(map, _)| *map).collect();
            let undo = place.apply(&mut network);
            let swap = |observed: &mut [Observed], scaled: Vec<(MapId, Observed)>| -> Vec<(MapId, Observed)> {
                scaled.into_iter().map(|(map, seen)| (map, std::mem::replace(&mut observed[map], seen))).collect()
            };
            let before = swap(&mut observed, place.scaled);
            choices.observe(&observed, &maps);
            let mut splits = 0;
            for (split, groups) in place.way.splits().zip(&place.groups) {
                choices.split(split, groups);
                splits += 1;
            }
            let gain = if splits == 0 { GAIN_MIN } else { (SPLIT_GAIN_MIN * splits as f64).min(JOINT_GAIN_MAX) };
            let trial = lower(&network, &classes, &observed, &choices.quants()?, rounding)?;
            let (error, better) = error_metric.beats(&trial.graph, best * (1.0 - gain))?;
            if better {
                best = error;
                kept += 1;
                scales.extend(maps.into_iter().map(|map| (map, place.way.scales(map))));
            } else {
                choices.unsplit(splits);
                undo.apply(&mut network);
                swap(&mut observed, before);
                choices.observe(&observed, &maps);
            }
        }
        steps.push(StepReport { step: "equalisation", tried: of, kept, error: best });

        let rough = lower(&network, &classes, &observed, &choices.quants()?, false)?;
        let (error, better) = error_metric.beats(&rough.graph, best * (1.0 - GAIN_MIN))?;
        rounding = !better;
        best = if better { error } else { best };
        steps.push(StepReport { step: "rounding off biases", tried: 1, kept: usize::from(rounding), error: best });

        let subject = Subjects { network: &network, classes: &classes, observed: &observed, rounding };
        let (tried, kept) = subject.ranges(&mut choices, &mut error_metric, &mut best, told)?;
        steps.push(StepReport { step: "ranges", tried, kept, error: best });
    }
    let mut lowered = lower(&network, &classes, &observed, &choices.quants()?, rounding)?;

    if request.search {
        let (tried, kept) =
            correct_all(&mut lowered, &network, &scales, &mut error_metric, &others, request, &mut best, told)?;
        steps.push(StepReport { step: "bias correction", tried, kept, error: best });
    }
    lowered.graph.check()?;

    let outputs = report::outputs(&lowered.graph, &error_metric.outputs(&lowered.graph)?);
    let mut done = 0;
    let subject =
        Subject { network: &network, classes: &classes, choices: &choices, lowered: &lowered, scales: &scales };
    let mut layers = subject.layers(samples, &held_out, request.threads_real(&network), &error_metric, &mut || {
        done += 1;
        told(Phase { name: "comparing", done, of: held_out.len() });
    })?;
    if request.sensitivity {
        let of = layers.len();
        for (done, (index, layer)) in layers.iter_mut().enumerate() {
            told(Phase { name: "weighing", done, of });
            if let Some(coarser) = sensitivity::coarser(&lowered.graph, *index) {
                layer.sensitivity = Some(sensitivity::share(best, error_metric.error(&coarser)?));
            }
        }
        layers.sort_by(|a, b| b.1.sensitivity.unwrap_or(0.0).total_cmp(&a.1.sensitivity.unwrap_or(0.0)));
    } else {
        layers.sort_by(|a, b| a.1.sqnr_db.total_cmp(&b.1.sqnr_db));
    }
    let layers = layers.into_iter().map(|(_, layer)| layer).collect();
    let report = Report { pictures: samples.len(), judged_on: held_out.len(), steps, outputs, layers };
    Ok(Quantized { graph: lowered.graph, report })
}

/// A place where channels can be scaled, with what its maps hold then.
struct Place {
    way: Way,
    scaled: Vec<(MapId, Observed)>,
    /// What each group of each convolution that is split holds before its table.
    groups: Vec<Vec<Observed>>,
}

/// How channels are scaled.
enum Way {
    /// In the weights of the convolution.
    Whole(Equalisation),
    /// In the tables of its groups of channels.
    Split(Split),
    /// Those of many convolutions, which are joined.
    Joint(Joint),
}

impl Place {
    fn apply(&self, network: &mut FloatNetwork) -> Undo {
        match &self.way {
            Way::Whole(equalisation) => equalisation.apply(network),
            Way::Split(split) => split.apply(network),
            Way::Joint(joint) => joint.apply(network),
        }
    }
}

impl Way {
    /// The divisors of the channels of `map`, one of those that are scaled.
    fn scales(&self, map: MapId) -> Vec<f32> {
        match self {
            Way::Whole(equalisation) => equalisation.scales.clone(),
            Way::Split(split) => split.scales(),
            Way::Joint(joint) => joint.maps.get(&map).cloned().unwrap_or_default(),
        }
    }

    /// The convolutions that are split.
    fn splits(&self) -> impl Iterator<Item = &Split> {
        let (alone, joint) = match self {
            Way::Whole(_) => (None, None),
            Way::Split(split) => (Some(split), None),
            Way::Joint(joint) => (None, Some(joint.splits())),
        };
        alone.into_iter().chain(joint.into_iter().flatten())
    }

    /// The maps whose channels are divided.
    fn maps(&self) -> Vec<MapId> {
        match self {
            Way::Whole(equalisation) => equalisation.maps.clone(),
            Way::Split(split) => split.maps.clone(),
            Way::Joint(joint) => joint.maps.keys().copied().collect(),
        }
    }

    /// The first convolution that divides.
    fn producer(&self) -> usize {
        match self {
            Way::Whole(equalisation) => equalisation.producer,
            Way::Split(split) => split.producer,
            Way::Joint(joint) => joint.producers.iter().map(Producer::node).min().unwrap_or(0),
        }
    }
}

/// Both passes of calibration: what every map holds, and where channels can be scaled, with what
/// the scaled maps hold.
fn observe(
    network: &FloatNetwork,
    classes: &Classes,
    request: &Request<'_>,
    told: Told<'_>,
) -> Result<(Vec<Observed>, Vec<Place>), String> {
    let samples = request.samples;
    let mut calibrator = Calibrator::new(network);
    let (mut done, of) = (0, 2 * samples.len());
    let mut told = || {
        done += 1;
        told(Phase { name: "calibrating", done, of });
    };
    for seen in pass(network, request, &calibrator, Calibrator::extremes, &mut told)? {
        calibrator.join_extremes(&seen);
    }
    let seen = calibrator.seen();
    let mut ways: Vec<Way> = equalise::find(network, classes, seen).into_iter().map(Way::Whole).collect();
    ways.extend(split::find(network, classes, seen).into_iter().map(Way::Split));
    let alone = ways.iter().map(Way::producer).collect();
    ways.extend(joint::find(network, classes, seen, &alone).into_iter().map(Way::Joint));
    ways.sort_by_key(Way::producer);
    for way in &ways {
        way.maps().into_iter().for_each(|map| calibrator.scale(map, way.scales(map)));
        for split in way.splits() {
            let groups: Vec<Vec<usize>> = split.groups.iter().map(|g| g.channels.clone()).collect();
            calibrator.group(split.before, &groups);
        }
    }
    for seen in pass(network, request, &calibrator, Calibrator::count, &mut told)? {
        calibrator.join_counts(&seen);
    }
    let Seen { maps: observed, mut scaled, mut grouped } = calibrator.finish();
    let place = |way: Way| {
        let scaled = way.maps().into_iter().filter_map(|map| Some((map, scaled.remove(&map)?))).collect();
        let groups = way.splits().map(|split| grouped.remove(&split.before).unwrap_or_default()).collect();
        Place { way, scaled, groups }
    };
    let found = ways.into_iter().map(place).collect();
    Ok((observed, found))
}

/// One pass of calibration over all pictures, on threads that hold each their own run of the network.
fn pass(
    network: &FloatNetwork,
    request: &Request<'_>,
    begin: &Calibrator,
    look: fn(&mut Calibrator, &RealMaps<'_>) -> Result<(), String>,
    told: &mut dyn FnMut(),
) -> Result<Vec<Calibrator>, String> {
    let samples = request.samples;
    let pictures: Vec<usize> = (0..samples.len()).collect();
    let worker = || Ok::<_, String>((RealRun::new(network)?, Vec::new()));
    let each = |(run, input): &mut (RealRun, Vec<f32>), seen: &mut Calibrator, picture: usize| {
        samples.real(picture, input);
        let looked = run.run(input).and_then(|maps| look(seen, &maps));
        looked.map_err(|what| format!("picture {:?}: {what}", samples.name(picture)))
    };
    parallel::over(request.threads_real(network), &pictures, worker, || begin.clone(), each, told)
}

fn real_outputs(
    network: &FloatNetwork,
    request: &Request<'_>,
    pictures: &[usize],
    told: Told<'_>,
) -> Result<Vec<Vec<Vec<f32>>>, String> {
    let of = pictures.len();
    let mut done = 0;
    let worker = || Ok::<_, String>((RealOutputs::new(network)?, Vec::new()));
    let each = |(run, input): &mut (RealOutputs, Vec<f32>), real: &mut Vec<Vec<Vec<f32>>>, picture: usize| {
        request.samples.real(picture, input);
        real.push(run.run(input)?);
        Ok(())
    };
    let lanes = parallel::over(request.threads_real(network), pictures, worker, Vec::new, each, &mut || {
        done += 1;
        told(Phase { name: "running in float32", done, of });
    })?;
    Ok(parallel::in_order(lanes).collect())
}

impl Subjects<'_> {
    /// Tries every method for every range; (tried, kept).
    fn ranges(
        &self,
        choices: &mut Choices<'_>,
        error_metric: &mut ErrorMetric<'_>,
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
            ranges.extend(groups.map(|group| Range::BeforePart(node, group)));
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
                let trial = lower(self.network, self.classes, self.observed, &quants, self.rounding)?;
                known.push(quants);
                let (error, better) = error_metric.beats(&trial.graph, *best * (1.0 - GAIN_MIN))?;
                if better {
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
    network: &FloatNetwork,
    scales: &HashMap<MapId, Vec<f32>>,
    error_metric: &mut ErrorMetric<'_>,
    pictures: &[usize],
    request: &Request<'_>,
    best: &mut f64,
    told: Told<'_>,
) -> Result<(usize, usize), String> {
    let mut done = 0;
    let scales = |map: MapId| scales.get(&map).cloned();
    let means = Means::of(network, request.samples, pictures, request.threads_real(network), scales, &mut || {
        done += 1;
        told(Phase { name: "taking means", done, of: pictures.len() });
    })?;
    let (mut tried, mut kept) = (0, 0);
    let of = lowered.graph.nodes.len();
    for index in 0..of {
        told(Phase { name: "correcting biases", done: index, of });
        let before = lowered.graph.nodes[index].op.clone();
        if !correct::correct(lowered, index, network, &means, error_metric, pictures)? {
            continue;
        }
        tried += 1;
        let bound = *best * (1.0 - GAIN_MIN);
        let valid = lowered.graph.check().is_ok();
        let (error, better) = if valid { error_metric.beats(&lowered.graph, bound)? } else { (bound, false) };
        if better {
            *best = error;
            kept += 1;
        } else {
            lowered.graph.nodes[index].op = before;
        }
    }
    Ok((tried, kept))
}
