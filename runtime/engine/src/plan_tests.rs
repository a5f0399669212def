//! Every plan on every instruction set computes what [`super::reference`] computes, bit for bit.

use proptest::prelude::*;

use super::ir::{Checked, Graph, NodeParams, Op, QuantParams, Shape, Source, TensorId};
use super::kernels;
use super::kernels::packed::PARTS_MAX;
use super::plan::Plan;
use super::reference;
use super::refit::Refittable;
use maker::Maker;

mod depthwise;
mod limits;
mod maker;
mod winograd;

/// All values of a tensor that an output refers to.
fn values(plan: &Plan, id: TensorId) -> Vec<u8> {
    let view = plan.view(id);
    (0..view.shape.height)
        .flat_map(|y| (0..view.shape.width).map(move |x| (y, x)))
        .flat_map(|(y, x)| view.pixel(y, x).collect::<Vec<u8>>())
        .collect()
}

/// Whether the first node of a graph of one input gives what the reference gives.
fn equals_the_reference(graph: Graph, input: &[u8], kernels: &'static kernels::Kernels, threads: usize) -> bool {
    let graph = Checked::new(graph).unwrap();
    let expected = reference::run(&graph, &[input]).unwrap();
    let mut plan = Plan::new(&graph, kernels, threads).unwrap();
    plan.write(0, input);
    plan.run();
    let output = graph.nodes[0].output;
    values(&plan, output) == expected[output.at()]
}

/// A random graph; not every one passes `Graph::check`.
pub(super) fn random_graph(seed: u64) -> Graph {
    Maker::new(seed).make()
}

/// Where a processor is emulated, the tests are told what it can run.
#[test]
fn the_kernels_of_this_processor_are_found() {
    let found: Vec<&str> = kernels::available().iter().map(|k| k.name()).collect();
    match std::env::var("LAPWING_KERNELS") {
        Ok(expected) => assert_eq!(found.join(","), expected),
        Err(_) => assert_eq!(found.last(), Some(&"portable")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().min(256), ..ProptestConfig::default() })]

    #[test]
    fn a_row_is_written_up_to_its_last_whole_pixel(
        (channels, width) in (1usize..6, 1usize..70),
        seed: u64,
        length in 0usize..500,
    ) {
        let mut maker = Maker::new(seed);
        let input = maker.input(Shape { height: 2, width, channels });
        maker.output(input);
        let [mut first, second, other] = [0; 3].map(|_| maker.noise(width * channels));
        let graph = Checked::new(maker.graph).unwrap();
        for kernels in kernels::tested() {
            let mut plan = Plan::new(&graph, kernels, 1).unwrap();
            let written = length.min(other.len());
            plan.write_row(0, 0, &first);
            plan.write_row(0, 1, &second);
            plan.write_row(0, 0, &other[..written]);
            plan.write_row(0, 2, &other);
            plan.write_row(1, 0, &other);
            let whole = written - written % channels;
            first[..whole].copy_from_slice(&other[..whole]);
            prop_assert_eq!(values(&plan, input), [&first[..], &second].concat(), "{:?}", kernels);
        }
    }

    #[test]
    fn channels_gathered_side_by_side_are_one_step(seed: u64, parts in 1usize..6) {
        let mut maker = Maker::new(seed);
        let shape = Shape { height: 2 + maker.below(9), width: 2 + maker.below(9), channels: 1 + maker.below(20) };
        let input = maker.input(shape);
        let quant = maker.of(input).quant;
        let stride = [1 + maker.below(2), 1 + maker.below(2)];
        let (height, width) = (shape.height / stride[0], shape.width / stride[1]);
        let mut made = Vec::new();
        for _ in 0..parts {
            let channels = 1 + maker.below(24);
            let mut from = Vec::new();
            for _ in 0..channels {
                let (row, column) = (maker.below(stride[0]), maker.below(stride[1]));
                from.push(Source { row, column, channel: maker.below(shape.channels) });
            }
            made.push(maker.node(Op::Gather { stride, from }, &[input], Shape { height, width, channels }, quant));
        }
        let channels = made.iter().map(|id| maker.of(*id).shape.channels).sum();
        let joined = maker.node(Op::Concat, &made, Shape { height, width, channels }, quant);
        maker.output(joined);
        let pixels = maker.noise(shape.elements());
        let graph = Checked::new(maker.graph).unwrap();
        let expected = reference::run(&graph, &[&pixels]).unwrap();
        for kernels in kernels::tested() {
            let mut plan = Plan::new(&graph, kernels, 1).unwrap();
            plan.write(0, &pixels);
            let mut steps = 0;
            plan.run_timed(|_, _| steps += 1);
            prop_assert_eq!(steps, 1);
            prop_assert_eq!(&values(&plan, joined), &expected[joined.at()], "{:?}", kernels);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().min(256), ..ProptestConfig::default() })]

    #[test]
    fn convolutions_that_share_vectors_are_one_step(seed: u64) {
        let mut maker = Maker::new(seed);
        let shape = Shape { height: 1 + maker.below(9), width: 1 + maker.below(20), channels: 1 + maker.below(20) };
        let input = maker.input(shape);
        let joined = maker.side_by_side(input);
        maker.output(joined);
        let pixels = maker.noise(shape.elements());
        let Ok(graph) = Checked::new(maker.graph) else { return Err(TestCaseError::reject("refused")) };
        let expected = reference::run(&graph, &[&pixels]).unwrap();
        let sizes = graph.nodes.iter().filter_map(|n| if let Op::Conv(c) = &n.op { Some(c.bias.len()) } else { None });
        for kernels in kernels::tested() {
            let mut plan = Plan::new(&graph, kernels, 1).unwrap();
            plan.write(0, &pixels);
            let mut told = std::collections::BTreeSet::new();
            plan.run_timed(|nodes, _| _ = told.insert(nodes.start));
            prop_assert_eq!(&values(&plan, joined), &expected[joined.at()], "{:?}", kernels);
            let vectors = |channels: usize| channels.div_ceil(kernels.lanes);
            let first = sizes.clone().take(PARTS_MAX);
            let all = first.clone().sum();
            let saved = first.map(vectors).sum::<usize>() - vectors(all);
            if kernels.joins >= all && saved > 0 {
                prop_assert!(told.len() < sizes.clone().count(), "{:?}", kernels);
            } else if kernels.joins == 0 {
                prop_assert_eq!(told.len(), sizes.clone().count(), "{:?}", kernels);
            }
        }
    }
}

/// Other zero points, biases, multipliers and tables.
fn set_params(numbers: &mut QuantParams<'_>, [tensors, nodes]: [usize; 2]) {
    for tensor in 0..tensors {
        if let Some(quant) = numbers.quant(tensor) {
            quant.zero ^= 5;
        }
    }
    for node in 0..nodes {
        match numbers.node(node) {
            NodeParams::Conv { bias, multiplier, pre_zero, table } => {
                bias.iter_mut().for_each(|b| *b -= 77);
                multiplier.iter_mut().for_each(|m| *m *= 0.75);
                *pre_zero ^= 0x55;
                table.into_iter().for_each(|t| t.rotate_left(3));
            }
            NodeParams::Tables(tables) => tables.iter_mut().for_each(|t| t.reverse()),
            NodeParams::Add(multipliers) => multipliers.swap(0, 1),
            NodeParams::Mul(multiplier) => *multiplier *= 1.5,
            NodeParams::None => {}
        }
    }
}

/// Fewer cases where a processor is emulated.
fn cases() -> u32 {
    std::env::var("LAPWING_PLAN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn plans_equal_the_reference(seed: u64) {
        // sums that 32 bits cannot hold and the like: rightly refused, not a case
        let Ok(graph) = Checked::new(Maker::new(seed).make()) else { return Err(TestCaseError::reject("refused")) };
        let input = Maker::new(!seed).noise(graph.tensor(graph.inputs[0]).shape.elements());
        let expected = reference::run(&graph, &[&input]).unwrap();
        for kernels in kernels::tested() {
            for threads in [1, 3] {
                let mut plan = Plan::new(&graph, kernels, threads).unwrap();
                for turn in 0..2 {
                    plan.write(0, &input);
                    plan.run();
                    for part in graph.outputs.iter().flat_map(|o| &o.parts) {
                        let (found, expected) = (values(&plan, part.tensor), &expected[part.tensor.at()]);
                        prop_assert_eq!(&found, expected, "{:?}, {} threads, turn {}", kernels, threads, turn);
                    }
                }
            }
        }
    }

    #[test]
    fn plans_share_weights_and_nothing_else(seed: u64, threads in 1usize..4) {
        let Ok(graph) = Checked::new(Maker::new(seed).make()) else { return Err(TestCaseError::reject("refused")) };
        let shape = graph.tensor(graph.inputs[0]).shape;
        let inputs = [!seed, seed ^ 0xff].map(|seed| Maker::new(seed).noise(shape.elements()));
        let expected = inputs.each_ref().map(|input| reference::run(&graph, &[input]).unwrap());
        for kernels in kernels::tested() {
            let plan = Plan::new(&graph, kernels, threads).unwrap();
            let mut plans = [plan.sharing_weights().unwrap(), plan];
            std::thread::scope(|scope| {
                for (plan, input) in plans.iter_mut().zip(&inputs) {
                    scope.spawn(move || {
                        plan.write(0, input);
                        plan.run();
                    });
                }
            });
            for (plan, expected) in plans.iter().zip(&expected) {
                for part in graph.outputs.iter().flat_map(|o| &o.parts) {
                    prop_assert_eq!(&values(plan, part.tensor), &expected[part.tensor.at()], "{:?}", kernels);
                }
            }
            let [mut one, other] = plans;
            prop_assert!(one.set_params(&graph).is_err(), "the other would compute with them");
            drop(other);
            prop_assert_eq!(one.set_params(&graph), Ok(()));
        }
    }

    #[test]
    fn plans_with_other_numbers_equal_the_reference(seed: u64) {
        let Ok(graph) = Checked::new(Maker::new(seed).make()) else { return Err(TestCaseError::reject("refused")) };
        let input = Maker::new(!seed).noise(graph.tensor(graph.inputs[0]).shape.elements());
        let counts = [graph.tensors.len(), graph.nodes.len()];
        for kernels in kernels::tested() {
            let plan = Refittable::new(graph.clone(), kernels, 1).unwrap();
            let refitted = plan.refitted(|numbers| {
                set_params(numbers, counts);
                Ok(())
            });
            let Ok(mut plan) = refitted else { return Err(TestCaseError::reject("refused")) };
            plan.plan_mut().write(0, &input);
            plan.plan_mut().run();
            let expected = reference::run(plan.graph(), &[&input]).unwrap();
            for part in plan.graph().outputs.iter().flat_map(|o| &o.parts) {
                prop_assert_eq!(&values(plan.plan(), part.tensor), &expected[part.tensor.at()], "{:?}", kernels);
            }
        }
    }
}
