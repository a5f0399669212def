//! Which convolutions write sixteen bits: where eight cost most, within a bound.
//!
//! Each convolution that another one reads is widened on its own first, with its ranges as they are and
//! with ranges that cut nothing off; then, the greatest gain a result first, one after the other stays
//! wide while the outputs come closer and the bound allows.

use super::choices::{Choices, Range};
use super::error_metric::ErrorMetric;
use super::phase::{Phase, Told};
use super::ranges::Method;
use super::subjects::Subjects;
use crate::network::RealOp;

/// Least share of the error that sixteen bits must take away: they cost time in every run.
pub const WIDE_GAIN_MIN: f64 = 0.01;

/// A convolution, as it was best alone.
struct Trial {
    node: usize,
    results: usize,
    /// Its ranges cut nothing off.
    whole: bool,
    error: f64,
}

/// Widens convolutions whose results are together at most `share` of all convolutions'; (tried, kept).
///
/// # Errors
/// The node and what is wrong with it.
pub(super) fn widen(
    subject: &Subjects<'_>,
    share: f64,
    choices: &mut Choices<'_>,
    error_metric: &mut ErrorMetric<'_>,
    best: &mut f64,
    told: Told<'_>,
) -> Result<(usize, usize), String> {
    let network = subject.network;
    let results = |node: usize| network.maps[network.nodes[node].output].shape.elements();
    let is_convolution = |node: &usize| matches!(network.nodes[*node].op, RealOp::Conv(_));
    let convolutions: Vec<usize> = (0..network.nodes.len()).filter(is_convolution).collect();
    let mut room = (convolutions.iter().map(|&node| results(node)).sum::<usize>() as f64 * share) as usize;
    let readers = network.readers();
    let useful = |node: &usize| {
        let map = subject.classes.stored(network, *node);
        subject.classes.root(map) != 0 && readers.get(&map).is_some_and(|all| all.iter().any(is_convolution))
    };
    let fitting: Vec<usize> = convolutions.into_iter().filter(|node| useful(node) && results(*node) <= room).collect();

    let (mut tried, mut trials) = (0, Vec::new());
    for (done, &node) in fitting.iter().enumerate() {
        told(Phase { name: "trying sixteen bits", done, of: fitting.len() });
        let mut best_alone = Trial { node, results: results(node), whole: false, error: f64::INFINITY };
        for whole in [false, true] {
            let before = apply(subject, choices, node, whole);
            tried += 1;
            // the bound says which graph is to be beaten; none here is to take its place
            let (error, _) = error_metric.beats(&subject.lowered(choices)?, 0.0)?;
            if error < best_alone.error {
                (best_alone.error, best_alone.whole) = (error, whole);
            }
            undo(choices, node, before);
        }
        if best_alone.error < *best * (1.0 - WIDE_GAIN_MIN) {
            trials.push(best_alone);
        }
    }
    let worth = |trial: &Trial| (*best - trial.error) / trial.results as f64;
    trials.sort_by(|a, b| worth(b).total_cmp(&worth(a)).then(a.node.cmp(&b.node)));
    let (mut kept, of) = (0, trials.len());
    for (done, trial) in trials.into_iter().enumerate() {
        told(Phase { name: "widening", done, of });
        if trial.results > room {
            continue;
        }
        let before = apply(subject, choices, trial.node, trial.whole);
        tried += 1;
        let (error, better) = error_metric.beats(&subject.lowered(choices)?, *best * (1.0 - WIDE_GAIN_MIN))?;
        if better {
            *best = error;
            kept += 1;
            room -= trial.results;
        } else {
            undo(choices, trial.node, before);
        }
    }
    Ok((tried, kept))
}

/// Widens a convolution; what its ranges were before.
fn apply(subject: &Subjects<'_>, choices: &mut Choices<'_>, node: usize, whole: bool) -> [(Range, Method); 2] {
    let root = subject.classes.root(subject.classes.stored(subject.network, node));
    let before = [Range::Class(root), Range::Before(node)].map(|range| (range, choices.method(range)));
    if whole {
        before.iter().for_each(|(range, _)| choices.choose(*range, Method::MinMax));
    }
    choices.widen(node, true);
    before
}

fn undo(choices: &mut Choices<'_>, node: usize, before: [(Range, Method); 2]) {
    before.into_iter().for_each(|(range, method)| choices.choose(range, method));
    choices.widen(node, false);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::build::lower;
    use super::super::classes::Classes;
    use super::super::quants::Part;
    use super::super::samples::Samples;
    use super::super::tests::{PIXELS, input, network, observed, run, spec, with_functions};
    use super::*;
    use lapwing_engine::ir::{Graph, Op};
    use lapwing_engine::reference;

    /// How many convolutions of a graph (read, write) sixteen bits.
    fn wide(graph: &Graph) -> (usize, usize) {
        let convs = || graph.nodes.iter().filter_map(|n| if let Op::Conv(conv) = &n.op { Some(conv) } else { None });
        (convs().filter(|c| c.wide.input).count(), convs().filter(|c| c.wide.output).count())
    }

    fn pixels(seed: u64) -> Vec<u8> {
        input(seed).iter().map(|&v| v as u8).collect()
    }

    /// Squared error of the last map.
    fn error(graph: &Graph, real: &[f32], seed: u64) -> f32 {
        let tensor = graph.outputs[0].parts[0].tensor;
        let found = reference::run(graph, &[&pixels(seed)]).unwrap();
        let quant = graph.tensor(tensor).quant;
        found[tensor.at()].iter().zip(real).map(|(&q, r)| (quant.real(q) - r).powi(2)).sum()
    }

    #[test]
    fn sixteen_bits_come_closer() {
        // one network of each seed may be lucky in eight bits; all together are not
        let (mut eight, mut sixteen) = (0.0, 0.0);
        for seed in 0..20 {
            let network = with_functions(network(seed));
            let real = run(&network, &input(seed));
            let seen = observed(&network, &real);
            let classes = Classes::of(&network);
            let last = real[network.nodes[4].output].clone();
            let mut choices = Choices::new(&network, &classes, &seen, PIXELS).unwrap();
            let lowered =
                |choices: &mut Choices<'_>| lower(&network, &classes, &seen, &choices.quants().unwrap(), true).unwrap();
            let plain = lowered(&mut choices).graph;
            [0, 2].into_iter().for_each(|node| choices.widen(node, true));
            let fine = lowered(&mut choices).graph;
            assert_eq!((wide(&plain), wide(&fine)), ((0, 0), (2, 2)));
            let scale = last.iter().map(|v| v * v).sum::<f32>();
            eight += error(&plain, &last, seed) / scale;
            sixteen += error(&fine, &last, seed) / scale;
        }
        assert!(sixteen < eight * 0.7, "{sixteen} {eight}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// A split convolution reads the values alone; they are what the wide store rounded to.
        #[test]
        fn a_split_reader_reads_values(seed: u64) {
            let network = with_functions(network(seed));
            let seen = observed(&network, &run(&network, &input(seed)));
            let classes = Classes::of(&network);
            let mut choices = Choices::new(&network, &classes, &seen, PIXELS).unwrap();
            choices.widen(0, true);
            let mut quants = choices.quants().unwrap();
            let part = |channels: Vec<usize>| Part { channels, scale: 1.0, before: quants.before[&2] };
            let parts = vec![part(vec![4, 0]), part(vec![5, 1, 3, 2])];
            quants.parts.insert(2, parts);
            let lowered = lower(&network, &classes, &seen, &quants, true).unwrap();
            prop_assert_eq!(wide(&lowered.graph), (0, 1));
            prop_assert_eq!(lowered.graph.nodes.len(), lowered.origins.len());
            reference::run(&lowered.graph, &[&pixels(seed)]).unwrap();
        }
    }

    #[test]
    fn the_bound_holds_and_every_widening_pays() {
        let network = with_functions(network(3));
        let mut samples = Samples::new(&spec(), 8);
        let mut real = Vec::new();
        for seed in 0..8 {
            samples.add(&seed.to_string(), &pixels(seed));
            real.push(vec![run(&network, &input(seed))[network.nodes[4].output].clone()]);
        }
        samples.finish();
        let pictures: Vec<usize> = (0..8).collect();
        let seen = observed(&network, &run(&network, &input(0)));
        let classes = Classes::of(&network);
        let results = |node: usize| network.maps[network.nodes[node].output].shape.elements() as f64;
        let all = results(0) + results(2) + results(4);
        let mut errors = Vec::new();
        for share in [0.0, (results(0) + 0.5) / all, 1.0] {
            let mut error_metric = ErrorMetric::new(&samples, &pictures, |_| false, 2, PIXELS, real.clone());
            let mut choices = Choices::new(&network, &classes, &seen, PIXELS).unwrap();
            let subject = Subjects { network: &network, classes: &classes, observed: &seen, rounding: true };
            let mut best = error_metric.error(&subject.lowered(&mut choices).unwrap()).unwrap();
            let before = best;
            let (_, kept) = widen(&subject, share, &mut choices, &mut error_metric, &mut best, &mut |_| {}).unwrap();
            let graph = subject.lowered(&mut choices).unwrap();
            assert_eq!(wide(&graph).1, kept);
            assert!(kept <= [0, 1, 2][errors.len()], "{kept} of {share}");
            assert!(best <= before * (1.0 - WIDE_GAIN_MIN).powi(kept as i32));
            assert_eq!(error_metric.error(&graph).unwrap(), best);
            errors.push(best);
        }
        assert!(errors[2] < errors[0] && errors[1] <= errors[0], "{errors:?}");
    }
}
