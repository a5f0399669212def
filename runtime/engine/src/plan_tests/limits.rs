//! Graphs whose sizes multiply to more than any memory holds, or than 32 bits do, are refused: on every processor, in
//! every build.

use super::super::ir::{
    BYTES_MAX, Checked, Conv, Graph, Node, Op, Output, Part, Shape, Source, TensorId, Wide, Window,
};
use super::super::kernels::best;
use super::super::plan::Plan;
use super::Maker;

const PICTURE: Shape = Shape { height: 2048, width: 2048, channels: 3 };

fn refused(graph: Graph) -> String {
    match Checked::new(graph) {
        Err(what) => what,
        Ok(graph) => Plan::new(&graph, best(), 1).map(|_| ()).expect_err("it should not fit"),
    }
}

/// An input of `from`, and a node that makes `to` of it.
fn one_node(from: Shape, op: Op, to: Shape) -> Graph {
    let mut maker = Maker::new(1);
    let input = maker.input(from);
    let quant = maker.of(input).quant;
    let made = maker.node(op, &[input], to, quant);
    maker.output(made);
    maker.graph
}

#[test]
fn products_of_extents_that_wrap_in_32_bits() {
    // gathered to 16 channels and enlarged eight times, it has 2^32 values
    let mut maker = Maker::new(1);
    let input = maker.input(PICTURE);
    let quant = maker.of(input).quant;
    let from = (0..16).map(|channel| Source { row: 0, column: 0, channel: channel % 3 }).collect();
    let wide = Shape { channels: 16, ..PICTURE };
    let gathered = maker.node(Op::Gather { stride: [1, 1], from }, &[input], wide, quant);
    let large = Shape { height: 1 << 14, width: 1 << 14, channels: 16 };
    let enlarged = maker.node(Op::Upsample { factor: [8, 8] }, &[gathered], large, quant);
    maker.output(enlarged);
    let what = refused(maker.graph);
    assert!(what.contains("at most"), "{what}");
    assert!(large.elements() > BYTES_MAX && large.tensor_elements().is_none());
    for shape in [[0, 1, 1], [1, (1 << 14) + 1, 1], [usize::MAX; 3], [1 << 14, 1 << 14, 5]] {
        let [height, width, channels] = shape;
        assert_eq!(Shape { height, width, channels }.tensor_elements(), None);
    }
}

#[test]
fn tensors_that_together_are_too_large() {
    let mut maker = Maker::new(1);
    let shape = Shape { height: 1 << 14, width: 1 << 14, channels: 4 };
    let mut last = maker.input(shape);
    let quant = maker.of(last).quant;
    for _ in 0..4 {
        last = maker.node(Op::Table(Box::new([7; 256])), &[last], shape, quant);
    }
    let what = refused(maker.graph);
    assert!(what.contains("its tensors need more"), "{what}");
}

#[test]
fn borders_count() {
    let filters = |window: Window, channels: usize| Conv {
        window,
        groups: 1,
        weights: vec![1; channels].into(),
        bias: vec![0],
        multiplier: vec![0.001],
        pre_zero: 0,
        table: None,
        wide: Wide::default(),
    };
    // a single pixel in a border of 256 on each side: 2^32 bytes
    let window = Window { kernel: [1, 1], stride: [256, 256], dilation: [1, 1], pad: [256; 4] };
    let pixel = Shape { height: 1, width: 1, channels: 1 << 14 };
    let graph = one_node(pixel, Op::Conv(filters(window, 1 << 14)), Shape { height: 3, width: 3, channels: 1 });
    let what = refused(graph);
    assert!(what.contains("borders"), "{what}");
    // a channel takes four bytes, and a border comes to it
    let plane = Shape { height: 1 << 14, width: 1 << 14, channels: 1 };
    let window = Window { pad: [1; 4], ..window };
    let output = Shape { height: (1 << 14) / 256 + 1, width: (1 << 14) / 256 + 1, channels: 1 };
    let what = refused(one_node(plane, Op::Conv(filters(window, 1)), output));
    assert!(what.contains("borders"), "{what}");
}

#[test]
fn outputs_count_however_often_they_show_a_tensor() {
    let shape = Shape { height: 1 << 12, width: 1 << 12, channels: 4 };
    let mut graph = one_node(shape, Op::Table(Box::new([7; 256])), shape);
    let output = graph.outputs[0].clone();
    graph.outputs = vec![output.clone(); 3];
    assert!(Checked::new(graph.clone()).is_ok());
    graph.outputs = vec![output; 5];
    let what = refused(graph);
    assert!(what.contains("outputs have more"), "{what}");
    // places that wrap, and values that are written twice
    let tensor = TensorId(0);
    for (base, strides, extents, parts) in [
        (usize::MAX, [1, 1, 1], vec![4], 1),
        (0, [usize::MAX, 1, 1], vec![8], 1),
        (0, [0, 0, 0], vec![1 << 16, 1 << 16], 1),
        (0, [0, 0, 0], vec![4], 2),
    ] {
        let mut graph = one_node(
            Shape { height: 2, width: 2, channels: 1 },
            Op::Slice { start: 0 },
            Shape { height: 2, width: 2, channels: 1 },
        );
        let parts = vec![Part { tensor, base, strides }; parts];
        graph.outputs = vec![Output { name: "y".into(), shape: extents, parts }];
        assert!(Checked::new(graph).is_err());
    }
}

#[test]
fn weights_and_multiplications() {
    let window = Window { kernel: [256, 16], stride: [1, 1], dilation: [1, 1], pad: [0; 4] };
    let input = Shape { height: 256, width: 16, channels: 14 };
    let conv = Conv {
        window,
        groups: 1,
        weights: Vec::new().into(),
        bias: vec![0; 1 << 14],
        multiplier: vec![0.001; 1 << 14],
        pre_zero: 0,
        table: None,
        wide: Wide::default(),
    };
    let mut graph = one_node(input, Op::Conv(conv), Shape { height: 1, width: 1, channels: 1 << 14 });
    assert!(refused(graph.clone()).contains("weights do not fit"));
    // multiplications are counted in 64 bits
    let Some(Node { op: Op::Conv(conv), .. }) = graph.nodes.first_mut() else { panic!() };
    conv.weights = vec![1; 1 << 20].into();
    graph.tensors[1].shape = PICTURE;
    assert_eq!(graph.macs(), 1 << 42);
}
