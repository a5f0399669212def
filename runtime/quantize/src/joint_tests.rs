//! Neighbourhoods of channels: the real function stays, and eight bits come closer to it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tract_onnx::prelude::{OutletId, TypedModel};
use tract_onnx::tract_core::ops::nn::hard_swish;

use super::build::lower;
use super::choices::Choices;
use super::classes::Classes;
use super::joint::{Joint, find};
use super::split::Group;
use super::tests::{HEIGHT, PIXELS, WIDTH, conv, input, observed, run};
use crate::calibrate::Observed;
use crate::network::{FloatNetwork, Function, Map, MapId, RealConv, RealNode, RealOp, RealOutput, RealPart};
use lapwing_engine::ir::{Output, Shape, Source};
use lapwing_engine::reference;

struct Net(FloatNetwork);

impl Net {
    /// An input of three channels.
    fn new() -> Net {
        let shape = Shape { height: HEIGHT, width: WIDTH, channels: 3 };
        Net(FloatNetwork {
            model: TypedModel::default(),
            maps: vec![Map { shape, outlet: OutletId::new(0, 0), ordered: true, quant: None, level: 0 }],
            inputs: vec![0],
            nodes: Vec::new(),
            outputs: Vec::new(),
            remaining: Vec::new(),
        })
    }

    fn push(&mut self, op: RealOp, inputs: &[MapId], channels: usize) -> MapId {
        let (at, output) = (self.0.nodes.len(), self.0.maps.len());
        let shape = Shape { height: HEIGHT, width: WIDTH, channels };
        self.0.maps.push(Map { shape, outlet: OutletId::new(0, 0), ordered: true, quant: None, level: 1 });
        let (name, inputs) = (format!("node{at}"), inputs.to_vec());
        self.0.nodes.push(RealNode { name, op, inputs, output, origin: vec![at], region: 1 });
        output
    }

    fn gather(&mut self, from: MapId, channels: impl Iterator<Item = usize>) -> MapId {
        let from_channels: Vec<Source> = channels.map(|channel| Source { row: 0, column: 0, channel }).collect();
        let count = from_channels.len();
        self.push(RealOp::Gather { stride: [1, 1], from: from_channels }, &[from], count)
    }

    fn give(&mut self, map: MapId) {
        let channels = self.0.maps[map].shape.channels;
        self.0.outputs.push(RealOutput {
            name: format!("out{map}"),
            outlet: OutletId::new(0, 0),
            shape: vec![1, channels, HEIGHT, WIDTH],
            parts: vec![RealPart { map, base: 0, strides: [WIDTH, 1, HEIGHT * WIDTH] }],
        });
    }
}

/// Of the weights of two convolutions.
const REACH: [[f32; 6]; 2] = [[0.2, 0.0005, 0.01, 0.07, 0.003, 0.01], [0.01, 0.02, 0.0002, 0.01, 0.03, 0.4]];

/// As in ShuffleNet: two convolutions of unlike reach are joined and shuffled; one half goes through a depthwise
/// convolution and meets the other half in a sum; the shuffled map and the sum are read by convolutions, to which small
/// channels matter as much as great ones.
fn shuffled(seed: u64, with_functions: bool) -> FloatNetwork {
    let mut seed = seed;
    let mut net = Net::new();
    let mut ends = Vec::new();
    for reach in REACH {
        let mut first = conv(&mut seed, 1, 3, 6, 1);
        first.weights.chunks_exact_mut(3).zip(reach).for_each(|(w, reach)| w.iter_mut().for_each(|w| *w *= reach));
        let made = net.push(RealOp::Conv(first), &[0], 6);
        let function = || Function::Apply(Box::new(hard_swish()), vec![Function::Argument]);
        ends.push(if with_functions { net.push(RealOp::Pointwise(function()), &[made], 6) } else { made });
    }
    let joined = net.push(RealOp::Concat, &ends, 12);
    let mixed = net.gather(joined, (0..12).map(|channel| channel % 2 * 6 + channel / 2));
    let halves = [net.gather(mixed, 0..6), net.gather(mixed, 6..12)];
    let depthwise = conv(&mut seed, 3, 6, 6, 6);
    let through = net.push(RealOp::Conv(depthwise), &[halves[0]], 6);
    let sum = net.push(RealOp::Add, &[through, halves[1]], 6);
    for (map, channels) in [(sum, 6), (mixed, 12)] {
        let mut last = conv(&mut seed, 1, channels, 2, 1);
        for (at, weight) in last.weights.iter_mut().enumerate() {
            let channel = at % channels + 12 - channels;
            *weight *= 0.01 / REACH[channel % 2][channel / 2];
        }
        let output = net.push(RealOp::Conv(last), &[map], 2);
        net.give(output);
    }
    net.0
}

/// As [`run`], with what tables divide divided.
fn run_divided(network: &FloatNetwork, joint: &Joint, input: &[f32]) -> Vec<Vec<f32>> {
    let mut made = network.clone();
    for split in joint.splits() {
        // a depthwise convolution behind the table that divides
        let scales = &joint.maps[&made.nodes[split.producer + 1].output];
        let stored = made.nodes[split.producer + 1].output;
        let count = scales.len();
        let weights = scales.iter().map(|scale| 1.0 / scale).collect();
        let window = conv(&mut 1, 1, count, count, count).window;
        let divide = RealConv { window, groups: count, weights, bias: vec![0.0; count] };
        let whole = made.maps.len();
        made.maps.push(made.maps[stored].clone());
        let name = String::new();
        made.nodes[split.producer + 1].output = whole;
        let node =
            RealNode { name, op: RealOp::Conv(divide), inputs: vec![whole], output: stored, origin: vec![], region: 1 };
        made.nodes.push(node);
    }
    // in an order that computes what is read
    let mut known: BTreeSet<MapId> = BTreeSet::from([0]);
    let mut waiting = std::mem::take(&mut made.nodes);
    while !waiting.is_empty() {
        let at = waiting.iter().position(|node| node.inputs.iter().all(|input| known.contains(input))).unwrap();
        let node = waiting.remove(at);
        known.insert(node.output);
        made.nodes.push(node);
    }
    run(&made, input)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_divided_is_multiplied_again(seed: u64, with_functions: bool) {
        let plain = shuffled(seed, with_functions);
        let input = input(seed);
        let before = run(&plain, &input);
        let found = find(&plain, &Classes::of(&plain), &observed(&plain, &before), &BTreeSet::new());
        // the last convolutions give what leaves the network
        prop_assert_eq!(found.len(), 1);
        let joint = &found[0];
        prop_assert_eq!(joint.producers.len(), 3);
        prop_assert_eq!(joint.splits().count(), if with_functions { 2 } else { 0 });
        let mut made = plain.clone();
        let undo = joint.apply(&mut made);
        let after = run_divided(&made, joint, &input);
        for (map, before) in before.iter().enumerate() {
            let most = before.iter().fold(0f32, |m, v| m.max(v.abs()));
            let scales = joint.maps.get(&map).cloned().unwrap_or_else(|| vec![1.0; plain.maps[map].shape.channels]);
            for (at, (a, b)) in after[map].iter().zip(before).enumerate() {
                let scale = scales[at % scales.len()];
                prop_assert!((a * scale - b).abs() <= 1e-4 * most, "map {}: {} {}", map, a * scale, b);
            }
        }
        undo.apply(&mut made);
        prop_assert_eq!(&run(&made, &input), &before);
    }
}

proptest! {
    /// A map whose scale is near 1, joined with one whose scale is not: both follow, or neither.
    #[test]
    fn a_scale_near_one_is_one_everywhere(seed: u64, more in 1.0f32..1.2) {
        let mut seed = seed;
        let mut net = Net::new();
        let ends = [1.0, 0.001].map(|reach| {
            let mut made = conv(&mut seed, 1, 3, 1, 1);
            made.weights.iter_mut().for_each(|w| *w *= reach);
            net.push(RealOp::Conv(made), &[0], 1)
        });
        let joined = net.push(RealOp::Concat, &ends, 2);
        let last = conv(&mut seed, 1, 2, 2, 1);
        let output = net.push(RealOp::Conv(last), &[joined], 2);
        net.give(output);
        let (mut plain, input) = (net.0, input(seed));
        let reach = |values: &[f32]| values.iter().fold(0f32, |most, v| most.max(v.abs()));
        let before = run(&plain, &input);
        let small = reach(&before[ends[0]]) / reach(&before[ends[1]]);
        // the second one's product of reach and weight is a little greater, so that the first one's scale is near 1
        if let RealOp::Conv(last) = &mut plain.nodes[3].op {
            last.weights = vec![1.0, small * more, 1.0, -small * more];
        }
        let before = run(&plain, &input);
        for joint in find(&plain, &Classes::of(&plain), &observed(&plain, &before), &BTreeSet::new()) {
            let mut made = plain.clone();
            joint.apply(&mut made);
            let after = run(&made, &input);
            let most = reach(&before[output]);
            for (a, b) in after[output].iter().zip(&before[output]) {
                prop_assert!((a - b).abs() <= 1e-4 * most, "{} {}", a, b);
            }
        }
    }
}

/// In eight bits, what was lost beside the greatest channel is there again.
#[test]
fn a_neighbourhood_comes_closer_in_eight_bits() {
    for (seed, with_functions) in [(1, true), (2, true), (1, false), (2, false)] {
        let plain = shuffled(seed, with_functions);
        let input = input(seed);
        let real = run(&plain, &input);
        let classes = Classes::of(&plain);
        let mut seen = observed(&plain, &real);
        let pixels: Vec<u8> = input.iter().map(|&v| v as u8).collect();
        let error = |network: &FloatNetwork, seen: &[Observed], choices: &mut Choices<'_>| -> f32 {
            let graph = lower(network, &classes, seen, &choices.quants().unwrap(), true).unwrap().graph;
            graph.check().unwrap();
            let found = reference::run(&graph, &[&pixels]).unwrap();
            let of = |output: &Output| {
                let tensor = output.parts[0].tensor;
                found[tensor.at()].iter().map(|&q| graph.tensor(tensor).quant.real(q)).collect::<Vec<f32>>()
            };
            let squares = graph.outputs.iter().zip(&plain.outputs).flat_map(|(output, expected)| {
                let exact = real[expected.parts[0].map].clone();
                of(output).into_iter().zip(exact).map(|(a, b)| (a - b) * (a - b)).collect::<Vec<f32>>()
            });
            squares.sum()
        };
        let before = error(&plain, &seen, &mut Choices::new(&plain, &classes, &seen, PIXELS).unwrap());
        let joint = find(&plain, &classes, &seen, &BTreeSet::new()).remove(0);
        let (mut made, mut choices) = (plain.clone(), Choices::new(&plain, &classes, &seen, PIXELS).unwrap());
        joint.apply(&mut made);
        let after = observed(&plain, &run_divided(&made, &joint, &input)[..plain.maps.len()]);
        for split in joint.splits() {
            let part = |group: &Group| {
                let all = &real[split.before];
                let of = |pixel: &[f32]| group.channels.iter().map(|&c| pixel[c]).collect::<Vec<f32>>();
                let values = all.chunks_exact(6).flat_map(of).collect::<Vec<f32>>();
                let mut map = plain.maps[split.before].clone();
                map.shape.channels = group.channels.len();
                let alone = FloatNetwork { maps: vec![map], ..plain.clone() };
                observed(&alone, &[values]).remove(0)
            };
            let groups: Vec<Observed> = split.groups.iter().map(part).collect();
            choices.split(split, &groups);
        }
        let maps: Vec<MapId> = joint.maps.keys().copied().collect();
        maps.iter().for_each(|&map| seen[map] = after[map].clone());
        choices.observe(&seen, &maps);
        let after = error(&made, &seen, &mut choices);
        assert!(after < before * 0.7, "seed {seed}, functions {with_functions}: {before} to {after}");
    }
}
