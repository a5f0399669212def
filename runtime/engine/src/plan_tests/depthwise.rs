//! Depthwise convolutions: windows that some instruction sets share among neighbouring pixels, and others.

use proptest::prelude::*;

use super::super::ir::{Checked, Graph, Op, Shape, Window};
use super::super::kernels;
use super::maker::Maker;
use super::{cases, equals_the_reference};

/// One convolution of each channel by itself.
fn graph(maker: &mut Maker, shape: Shape, window: Window) -> Option<Graph> {
    let input = maker.input(shape);
    let (height, width) = window.output(shape.height, shape.width)?;
    let products = window.kernel[0] * window.kernel[1];
    let conv = maker.filters(window, shape.channels, products, shape.channels);
    let quant = maker.of(input).quant;
    let output = maker.node(Op::Conv(conv), &[input], Shape { height, width, ..shape }, quant);
    maker.output(output);
    Some(std::mem::take(&mut maker.graph))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().min(256), ..ProptestConfig::default() })]

    #[test]
    fn windows_of_all_sizes_equal_the_reference(
        seed: u64,
        kernel in prop_oneof![4 => Just([3, 3]), 3 => Just([5, 5]), 1 => Just([3, 5]), 1 => Just([2, 2]), 1 => Just([7, 7])],
        stride in prop_oneof![4 => Just([1, 1]), 4 => Just([2, 2]), 1 => Just([1, 2]), 1 => Just([3, 3])],
        dilation in prop_oneof![6 => Just([1, 1]), 1 => Just([2, 2]), 1 => Just([1, 3])],
        // with rows of more pixels than a tile has, by any remainder
        (height, width) in (1usize..9, 1usize..23),
        channels in prop_oneof![1usize..40, Just(48), Just(64), Just(65), Just(130)],
        threads in 1usize..4,
    ) {
        let mut maker = Maker::new(seed);
        let pad = [0, 1, 2, 3].map(|_| maker.below(3));
        let (shape, window) = (Shape { height, width, channels }, Window { kernel, stride, dilation, pad });
        let shape = if cfg!(miri) { Shape { channels: channels.min(18), ..shape } } else { shape };
        let Some(graph) = graph(&mut maker, shape, window) else {
            return Err(TestCaseError::reject("the window does not fit"));
        };
        if Checked::new(graph.clone()).is_err() {
            return Err(TestCaseError::reject("sums may become too great"));
        }
        let input = maker.noise(shape.elements());
        for kernels in kernels::tested() {
            prop_assert!(equals_the_reference(graph.clone(), &input, kernels, threads), "{:?}", kernels);
        }
    }
}
