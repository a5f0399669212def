//! Convolutions of three by three taps, which some instruction sets compute with fewer multiplications.

use proptest::prelude::*;

use super::super::ir::{Conv, Graph, Op, Shape, Wide, Window};
use super::super::kernels;
use super::maker::Maker;
use super::{cases, equals_the_reference};

/// One convolution with these weights; the picture is as large as its results.
fn graph(seed: u64, shape: Shape, outputs: usize, weight: &mut dyn FnMut(&mut Maker) -> i8) -> Graph {
    let mut maker = Maker::new(seed);
    let input = maker.input(shape);
    let pad = [0, 1, 2, 3].map(|_| maker.below(3));
    let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pad };
    let products = 9 * shape.channels;
    let conv = Conv {
        window,
        groups: 1,
        weights: (0..products * outputs).map(|_| weight(&mut maker)).collect(),
        bias: (0..outputs).map(|_| maker.below(20_001) as i32 - 10_000).collect(),
        // now and then steep, so that each unit of a sum is seen
        multiplier: (0..outputs).map(|_| if maker.below(3) == 0 { 0.25 } else { 1e-4 }).collect(),
        pre_zero: maker.below(256) as u8,
        table: None,
        wide: Wide::default(),
    };
    let quant = maker.of(input).quant;
    if let Some((height, width)) = window.output(shape.height, shape.width) {
        let output = maker.node(Op::Conv(conv), &[input], Shape { height, width, channels: outputs }, quant);
        maker.output(output);
    }
    maker.graph
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().min(256), ..ProptestConfig::default() })]

    #[test]
    fn three_by_three_taps_equal_the_reference(
        seed: u64,
        (height, width) in (1usize..19, 1usize..19),
        channels in prop_oneof![1usize..40, Just(64), Just(65), Just(130)],
        outputs in prop_oneof![1usize..40, Just(64), Just(65), Just(130)],
        extreme: bool,
        threads in 1usize..4,
    ) {
        let shape = if cfg!(miri) {
            Shape { height: height.min(6), width: width.min(6), channels: channels.min(9) }
        } else {
            Shape { height, width, channels }
        };
        let outputs = if cfg!(miri) { outputs.min(9) } else { outputs };
        let mut weight = |maker: &mut Maker| match extreme {
            true => [-127, 127][maker.below(2)],
            false => (maker.below(255) as i32 - 127) as i8,
        };
        let graph = graph(seed, shape, outputs, &mut weight);
        if graph.nodes.is_empty() {
            return Err(TestCaseError::reject("the window does not fit"));
        }
        let input = Maker::new(!seed).noise(shape.elements());
        for kernels in kernels::tested() {
            prop_assert!(equals_the_reference(graph.clone(), &input, kernels, threads), "{:?}", kernels);
        }
    }
}

/// The sums of 115 channels of the greatest values are the last that stay exact; 116 are left to the direct loops.
#[test]
fn the_greatest_sums_equal_the_reference() {
    for channels in if cfg!(miri) { 115..116 } else { 114..118 } {
        for (weight, value) in [(127, 255), (-127, 255), (127, 0)] {
            let shape = Shape { height: 5, width: 6, channels };
            let graph = graph(channels as u64, shape, 9, &mut |_| weight);
            let input = vec![value; shape.elements()];
            for kernels in kernels::tested() {
                assert!(equals_the_reference(graph.clone(), &input, kernels, 1), "{kernels:?}: {channels} channels");
            }
        }
    }
}
