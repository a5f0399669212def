//! Known answers on networks small enough to compute by hand.

use std::collections::HashMap;

use proptest::prelude::*;
use tract_onnx::prelude::{OutletId, TypedModel};
use tract_onnx::tract_core::ops::nn::sigmoid;

use super::build::lower;
use super::choices::Choices;
use super::classes::Classes;
use super::correct::{self, Means};
use super::error_metric::ErrorMetric;
use super::quants::{Part, Quants};
use super::samples::Samples;
use super::{equalise, sensitivity, split};
use crate::calibrate::{Channel, Observed};
use crate::network::{FloatNetwork, Function, Map, RealConv, RealNode, RealOp, RealOutput, RealPart};
use lapwing_engine::Manifest;
use lapwing_engine::ir::{Op, Shape, Window};
use lapwing_engine::manifest::InputSpec;
use lapwing_engine::quant::Quant;
use lapwing_engine::reference;

pub(super) const HEIGHT: usize = 4;
pub(super) const WIDTH: usize = 5;

/// Numbers in -1..=1 from a seed.
pub(super) fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*seed >> 40) as f32 / (1u64 << 23) as f32) - 1.0
}

fn window(kernel: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [1; 2], dilation: [1; 2], pad: [kernel / 2; 4] }
}

pub(super) fn conv(seed: &mut u64, kernel: usize, inputs: usize, outputs: usize, groups: usize) -> RealConv {
    let weights = (0..outputs * kernel * kernel * inputs / groups).map(|_| noise(seed)).collect();
    let bias = (0..outputs).map(|_| noise(seed)).collect();
    RealConv { window: window(kernel), groups, weights, bias }
}

/// 3 channels -> 1x1 -> 6 channels of unlike reach -> depthwise 3x3 -> 1x1 -> 2 channels.
pub(super) fn network(seed: u64) -> FloatNetwork {
    let mut seed = seed;
    let mut first = conv(&mut seed, 1, 3, 6, 1);
    for (o, filter) in first.weights.chunks_exact_mut(3).enumerate() {
        filter.iter_mut().for_each(|w| *w *= [20.0, 0.05, 1.0, 7.0, 0.3, 1.0][o]);
    }
    let convs = [first, conv(&mut seed, 3, 6, 6, 6), conv(&mut seed, 1, 6, 2, 1)];
    let shape = |channels| Shape { height: HEIGHT, width: WIDTH, channels };
    let map =
        |channels| Map { shape: shape(channels), outlet: OutletId::new(0, 0), ordered: true, quant: None, level: 1 };
    let nodes = convs.into_iter().enumerate().map(|(at, conv)| RealNode {
        name: format!("conv{at}"),
        op: RealOp::Conv(conv),
        inputs: vec![at],
        output: at + 1,
        origin: vec![at],
        region: 1,
    });
    let parts = vec![RealPart { map: 3, base: 0, strides: [WIDTH, 1, HEIGHT * WIDTH] }];
    FloatNetwork {
        model: TypedModel::default(),
        maps: [3, 6, 6, 2].map(map).to_vec(),
        inputs: vec![0],
        nodes: nodes.collect(),
        outputs: vec![RealOutput {
            name: "out".into(),
            outlet: OutletId::new(0, 0),
            shape: vec![1, 2, HEIGHT, WIDTH],
            parts,
        }],
        remaining: Vec::new(),
    }
}

/// All maps in float32, (row, column, channel), one loop a convolution.
pub(super) fn run(network: &FloatNetwork, input: &[f32]) -> Vec<Vec<f32>> {
    let mut maps = vec![Vec::new(); network.maps.len()];
    maps[0] = input.to_vec();
    for node in &network.nodes {
        let RealOp::Conv(conv) = &node.op else {
            let pixels =
                |input: usize| maps[node.inputs[input]].chunks(network.maps[node.inputs[input]].shape.channels);
            maps[node.output] = match &node.op {
                RealOp::Pointwise(function) => function.eval(&maps[node.inputs[0]]).unwrap(),
                RealOp::Add => pixels(0).flatten().zip(pixels(1).flatten()).map(|(a, b)| a + b).collect(),
                RealOp::Concat => pixels(0).zip(pixels(1)).flat_map(|(a, b)| [a, b].concat()).collect(),
                RealOp::Gather { from, .. } => {
                    pixels(0).flat_map(|pixel| from.iter().map(|source| pixel[source.channel])).collect()
                }
                other => panic!("{other:?}"),
            };
            continue;
        };
        let (from, inputs) = (&maps[node.inputs[0]], network.maps[node.inputs[0]].shape.channels);
        let (kernel, pad, outputs) = (conv.window.kernel[0], conv.window.pad[0], conv.bias.len());
        let per_group = inputs / conv.groups;
        let mut out = Vec::new();
        for at in 0..HEIGHT * WIDTH * outputs {
            let (y, x, o) = (at / outputs / WIDTH, at / outputs % WIDTH, at % outputs);
            let mut sum = f64::from(conv.bias[o]);
            for tap in 0..kernel * kernel {
                let (row, column) = ((y + tap / kernel).wrapping_sub(pad), (x + tap % kernel).wrapping_sub(pad));
                if row < HEIGHT && column < WIDTH {
                    for i in 0..per_group {
                        let channel = o / (outputs / conv.groups) * per_group + i;
                        let weight = conv.weights[(o * kernel * kernel + tap) * per_group + i];
                        sum += f64::from(weight) * f64::from(from[(row * WIDTH + column) * inputs + channel]);
                    }
                }
            }
            out.push(sum as f32);
        }
        maps[node.output] = out;
    }
    maps
}

pub(super) fn observed(network: &FloatNetwork, maps: &[Vec<f32>]) -> Vec<Observed> {
    let one = |(values, map): (&Vec<f32>, &Map)| {
        let channels = map.shape.channels;
        let of = |c: usize| values.iter().skip(c).step_by(channels).copied();
        let area = (HEIGHT * WIDTH) as f32;
        let seen: Vec<Channel> = (0..channels)
            .map(|c| Channel {
                low: of(c).fold(f32::INFINITY, f32::min),
                high: of(c).fold(f32::NEG_INFINITY, f32::max),
                mean: of(c).sum::<f32>() / area,
            })
            .collect();
        let low = seen.iter().map(|c| c.low).fold(f32::INFINITY, f32::min);
        let high = seen.iter().map(|c| c.high).fold(f32::NEG_INFINITY, f32::max);
        let mut histogram = vec![0; 2048];
        for v in values {
            histogram[(((v - low) / (high - low) * 2048.0) as usize).min(2047)] += 1;
        }
        Observed { low, high, histogram, channels: seen }
    };
    maps.iter().zip(&network.maps).map(one).collect()
}

pub(super) fn input(seed: u64) -> Vec<f32> {
    let mut seed = seed ^ 0xabcd;
    (0..HEIGHT * WIDTH * 3).map(|_| (noise(&mut seed) * 127.0 + 128.0).round().clamp(0.0, 255.0)).collect()
}

pub(super) const PIXELS: Quant = Quant { scale: 1.0, zero: 0 };

pub(super) fn spec() -> InputSpec {
    let manifest = Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
    InputSpec { width: WIDTH as u32, height: HEIGHT as u32, mean: [0.0; 3], scale: [1.0; 3], ..manifest.input }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn equalisation_leaves_the_real_function_as_it_was(seed: u64) {
        let plain = network(seed);
        let input = input(seed);
        let before = run(&plain, &input);
        let classes = Classes::of(&plain);
        let places = equalise::find(&plain, &classes, &observed(&plain, &before));
        prop_assert!(!places.is_empty());
        let mut made = plain.clone();
        for place in &places {
            let undo = place.apply(&mut made);
            let after = run(&made, &input);
            let most = before[3].iter().fold(0f32, |m, v| m.max(v.abs()));
            for (a, b) in after[3].iter().zip(&before[3]) {
                prop_assert!((a - b).abs() <= 1e-4 * most, "{} {}", a, b);
            }
            // and the maps are what the scales say
            for &map in &place.maps {
                for (at, (a, b)) in after[map].iter().zip(&before[map]).enumerate() {
                    let scale = place.scales[at % place.scales.len()];
                    prop_assert!((a * scale - b).abs() <= 1e-3 * b.abs().max(1.0));
                }
            }
            undo.apply(&mut made);
            prop_assert_eq!(&run(&made, &input), &before);
        }
    }

    /// With one scale and one range for all groups, a split graph computes what the whole one does.
    #[test]
    fn a_split_convolution_computes_the_same(seed: u64, producer in 0usize..2) {
        let network = with_functions(network(seed));
        let input = input(seed);
        let seen = observed(&network, &run(&network, &input));
        let classes = Classes::of(&network);
        let whole = Choices::new(&network, &classes, &seen, PIXELS).unwrap().quants().unwrap();
        let producer = producer * 2; // every second node is a function
        let part = |channels: Vec<usize>| Part { channels, scale: 1.0, before: whole.before[&producer] };
        let parts = HashMap::from([(producer, vec![part(vec![4, 0]), part(vec![5]), part(vec![1, 3, 2])])]);
        let split = Quants { parts, ..whole.clone() };
        let pixels: Vec<u8> = input.iter().map(|&v| v as u8).collect();
        let result = |quants: &Quants| {
            let graph = lower(&network, &classes, &seen, quants, true).unwrap().graph;
            reference::run(&graph, &[&pixels]).unwrap()[graph.outputs[0].parts[0].tensor.at()].clone()
        };
        prop_assert_eq!(result(&whole), result(&split));
    }
}

/// The network with a logistic function behind its first two convolutions.
pub(super) fn with_functions(mut network: FloatNetwork) -> FloatNetwork {
    let last = network.nodes.pop().unwrap();
    let mut nodes = Vec::new();
    for node in network.nodes {
        let map = network.maps[node.output].clone();
        let (name, output) = (format!("{}.sigmoid", node.name), network.maps.len());
        network.maps.push(map);
        let function = Function::Apply(Box::new(sigmoid()), vec![Function::Argument]);
        let mut conv = node;
        if let Some(RealNode { output: before, .. }) = nodes.last() {
            conv.inputs = vec![*before];
        }
        let inputs = vec![conv.output];
        nodes.push(conv);
        nodes.push(RealNode { name, op: RealOp::Pointwise(function), inputs, output, origin: vec![0], region: 1 });
    }
    let inputs = vec![network.maps.len() - 1];
    nodes.push(RealNode { inputs, ..last });
    FloatNetwork { nodes, ..network }
}

/// Groups of channels have the scales they ask for, and the real function is as it was.
#[test]
fn a_split_brings_small_channels_closer() {
    let network = with_functions(network(3));
    let classes = Classes::of(&network);
    let input = input(3);
    let real = run(&network, &input);
    let mut seen = observed(&network, &real);
    // the second channel is small and matters: its readers' weights are large
    let mut made = network.clone();
    let scale_down = |channels: &mut [Channel]| channels[1].high = 0.01;
    scale_down(&mut seen[4].channels);
    let splits = split::find(&made, &classes, &seen);
    let split = &splits[0];
    assert!(split.groups.len() > 1);
    let scales = split.scales();
    assert!(scales[1] < scales.iter().fold(0f32, |m, &s| m.max(s)) * 0.5, "{scales:?}");
    let undo = split.apply(&mut made);
    let (RealOp::Conv(before), RealOp::Conv(after)) =
        (&network.nodes[split.consumers[0]].op, &made.nodes[split.consumers[0]].op)
    else {
        panic!("convolutions read it")
    };
    // depthwise 3x3: nine weights a channel
    for (at, (b, a)) in before.weights.iter().zip(&after.weights).enumerate() {
        assert!((b * scales[at / 9] - a).abs() < 1e-6);
    }
    undo.apply(&mut made);
    let RealOp::Conv(undone) = &made.nodes[split.consumers[0]].op else { panic!("it is one still") };
    assert_eq!(undone.weights, before.weights);
}

/// Groups of two channels with one filter each are no depthwise convolution: a group of their filters cannot be cut out.
#[test]
fn grouped_convolutions_are_not_split() {
    let mut network = with_functions(network(3));
    let RealOp::Conv(depthwise) = &mut network.nodes[2].op else { panic!("it is one") };
    assert!(depthwise.is_depthwise());
    // six channels read, three written
    *depthwise = conv(&mut 7, 3, 6, 3, 3);
    assert!(!depthwise.is_depthwise());
    (network.maps[2].shape.channels, network.maps[5].shape.channels) = (3, 3);
    let RealOp::Conv(last) = &mut network.nodes[4].op else { panic!("it is one") };
    *last = conv(&mut 8, 1, 3, 2, 1);
    last.weights.iter_mut().zip([1.0, 100.0, 0.01].into_iter().cycle()).for_each(|(w, unlike)| *w *= unlike);
    let seen = observed(&network, &run(&network, &input(3)));
    let splits = split::find(&network, &Classes::of(&network), &seen);
    assert!(splits.iter().all(|split| split.producer != 2), "{splits:?}");
}

/// A known shift of every bias is found and taken off.
#[test]
fn bias_correction_takes_off_a_known_shift() {
    let network = network(5);
    let input = input(5);
    let real = run(&network, &input);
    let seen = observed(&network, &real);
    let classes = Classes::of(&network);
    let quants = Choices::new(&network, &classes, &seen, PIXELS).unwrap().quants().unwrap();
    let mut lowered = lower(&network, &classes, &seen, &quants, true).unwrap();
    let Op::Conv(conv) = &mut lowered.graph.nodes[0].op else { panic!("a convolution comes first") };
    let right = conv.bias.clone();
    let multipliers = conv.multiplier.clone();
    // eight steps of the result up
    conv.bias.iter_mut().zip(&multipliers).for_each(|(b, m)| *b += (8.0 / m) as i32);
    let mut samples = Samples::new(&spec(), 1);
    samples.add("a", &input.iter().map(|&v| v as u8).collect::<Vec<u8>>());
    let pictures = [0];
    let error_metric = ErrorMetric::new(&samples, &pictures, |_| false, 2, PIXELS, Vec::new());
    let means = Means::given(seen.iter().map(|o| o.channels.iter().map(|c| f64::from(c.mean)).collect()).collect());
    assert!(correct::correct(&mut lowered, 0, &network, &means, &error_metric, &pictures).unwrap());
    let Op::Conv(conv) = &lowered.graph.nodes[0].op else { panic!("a convolution comes first") };
    for ((found, right), multiplier) in conv.bias.iter().zip(&right).zip(&multipliers) {
        let steps = (found - right) as f32 * multiplier;
        assert!(steps.abs() < 2.0, "{steps} steps are left of 8");
    }
}

/// A channel whose weights and bias are all zero gives zeros.
#[test]
fn a_channel_of_zeros_stays_zero() {
    let mut network = network(7);
    let RealOp::Conv(conv) = &mut network.nodes[2].op else { panic!("a convolution comes last") };
    conv.weights[..6].fill(0.0);
    conv.bias[0] = 0.0;
    let input = input(7);
    let seen = observed(&network, &run(&network, &input));
    let classes = Classes::of(&network);
    let quants = Choices::new(&network, &classes, &seen, PIXELS).unwrap().quants().unwrap();
    let graph = lower(&network, &classes, &seen, &quants, true).unwrap().graph;
    let pixels: Vec<u8> = input.iter().map(|&v| v as u8).collect();
    let tensor = graph.outputs[0].parts[0].tensor;
    let found = reference::run(&graph, &[&pixels]).unwrap();
    assert!(found[tensor.at()].iter().step_by(2).all(|&q| q == graph.tensor(tensor).quant.zero));
}

/// One bit less costs: the coarser graph is valid and further from the float32 values.
#[test]
fn a_coarser_layer_is_worse() {
    let network = network(11);
    let input = input(11);
    let real = run(&network, &input);
    let seen = observed(&network, &real);
    let classes = Classes::of(&network);
    let quants = Choices::new(&network, &classes, &seen, PIXELS).unwrap().quants().unwrap();
    let graph = lower(&network, &classes, &seen, &quants, true).unwrap().graph;
    let pixels: Vec<u8> = input.iter().map(|&v| v as u8).collect();
    let error = |graph: &lapwing_engine::ir::Graph| -> f32 {
        graph.check().unwrap();
        let tensor = graph.outputs[0].parts[0].tensor;
        let found = reference::run(graph, &[&pixels]).unwrap();
        let quant = graph.tensor(tensor).quant;
        found[tensor.at()].iter().zip(&real[3]).map(|(&q, r)| (quant.real(q) - r).powi(2)).sum()
    };
    let plain = error(&graph);
    let worse: f32 = (0..3).map(|layer| error(&sensitivity::coarser(&graph, layer).unwrap()) - plain).sum();
    assert!(worse > 0.0, "{worse}");
}

/// The error that decides is the same, bit for bit, for every number of threads.
#[test]
fn the_judge_does_not_depend_on_threads() {
    let network = network(13);
    let mut samples = Samples::new(&spec(), 40);
    let mut real = Vec::new();
    for picture in 0..40 {
        let input = input(picture);
        samples.add(&picture.to_string(), &input.iter().map(|&v| v as u8).collect::<Vec<u8>>());
        real.push(vec![run(&network, &input)[3].clone()]);
    }
    samples.finish();
    let seen = observed(&network, &run(&network, &input(0)));
    let classes = Classes::of(&network);
    let quants = Choices::new(&network, &classes, &seen, PIXELS).unwrap().quants().unwrap();
    let graph = lower(&network, &classes, &seen, &quants, true).unwrap().graph;
    let pictures: Vec<usize> = (0..40).collect();
    let error = |threads| {
        let mut error_metric = ErrorMetric::new(&samples, &pictures, |_| false, threads, PIXELS, real.clone());
        error_metric.error(&graph).unwrap().to_bits()
    };
    assert!(f64::from_bits(error(1)) > 0.0);
    assert_eq!([error(2), error(3), error(7)], [error(1); 3]);
}
