//! Every plan on every instruction set computes what [`super::reference`] computes, bit for bit.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::ir::{
    Between, Checked, Conv, Graph, Node, NodeNumbers, Numbers, Op, Output, Part, Shape, Source, Tensor, TensorId,
    WEIGHT_ONE, Wide, Window,
};
use super::kernels;
use super::kernels::packing::PARTS_MAX;
use super::plan::Plan;
use super::quant::Quant;
use super::reference;
use super::sixteen::{self, Curve};

/// Random graphs that pass `Graph::check`.
struct Maker {
    rng: TestRng,
    graph: Graph,
}

impl Maker {
    fn new(seed: u64) -> Maker {
        let mut bytes = [7u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Maker { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), graph: Graph::default() }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u32() as usize) % bound.max(1)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of a list of growing sizes; of its first half where an interpreter runs the tests.
    fn size(&mut self, of: &[usize]) -> usize {
        self.one_of(if cfg!(miri) { &of[..of.len() / 2] } else { of })
    }

    fn quant(&mut self) -> Quant {
        Quant { scale: 0.01 + self.below(100) as f32 * 0.003, zero: self.one_of(&[0, 1, 127, 128, 200, 255]) }
    }

    fn tensor(&mut self, shape: Shape, quant: Quant) -> TensorId {
        self.graph.tensors.push(Tensor { shape, quant });
        TensorId(self.graph.tensors.len() as u32 - 1)
    }

    fn node(&mut self, op: Op, inputs: &[TensorId], shape: Shape, quant: Quant) -> TensorId {
        let output = self.tensor(shape, quant);
        let name = format!("n{}", self.graph.nodes.len());
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    fn of(&self, id: TensorId) -> Tensor {
        self.graph.tensor(id).clone()
    }

    fn window(&mut self, input: Shape, pool: bool) -> Window {
        loop {
            let k = [self.one_of(&[1, 1, 2, 3, 3, 5, 7]), self.one_of(&[1, 2, 3, 3, 5])];
            let dilation = [self.one_of(&[1, 1, 2]), self.one_of(&[1, 1, 2])];
            let most = |axis: usize| if pool { (k[axis] - 1) * dilation[axis] } else { 4 };
            let pad = [0, 1, 0, 1].map(|axis| self.below(most(axis).min(3) + 1));
            let window =
                Window { kernel: k, stride: [self.one_of(&[1, 1, 2, 3]), self.one_of(&[1, 1, 2])], dilation, pad };
            if window.output(input.height, input.width).is_some() {
                return window;
            }
        }
    }

    fn table(&mut self) -> Box<[u8; 256]> {
        let mut table = Box::new([0; 256]);
        self.rng.fill_bytes(&mut table[..]);
        table
    }

    fn conv(&mut self, from: TensorId, depthwise: bool) -> TensorId {
        let mut input = self.of(from).shape;
        let window = self.window(input, false);
        let read = self.graph.wide()[from.at()];
        input.channels = if read { input.channels / 2 } else { input.channels };
        let (height, width) = window.output(input.height, input.width).unwrap();
        let divisors: Vec<usize> = (1..=input.channels.min(4)).filter(|g| input.channels.is_multiple_of(*g)).collect();
        let groups = if depthwise { input.channels } else { self.one_of(&divisors) };
        let per_group = self.size(&[1, 2, 3, 4, 5, 8, 12, 16, 17, 24, 31, 33, 48, 64, 65, 80, 255]);
        let channels = if depthwise { groups } else { groups * per_group };
        let products = window.kernel[0] * window.kernel[1] * (input.channels / groups);
        let mut conv = self.filters(window, groups, products, channels);
        conv.wide = Wide { input: read, output: self.below(4) == 0, curve: None };
        if conv.wide.output {
            conv.table = None;
            conv.wide.curve = (self.below(2) == 0).then(|| self.curve());
        }
        let quant = self.quant();
        let channels = if conv.wide.output { 2 * channels } else { channels };
        self.node(Op::Conv(conv), &[from], Shape { height, width, channels }, quant)
    }

    /// Eight-bit filters, each of so many products.
    fn filters(&mut self, window: Window, groups: usize, products: usize, channels: usize) -> Conv {
        let extreme = self.below(4) == 0;
        let weights = (0..products * channels)
            .map(|_| if extreme { self.one_of(&[-127, 127]) } else { (self.below(255) as i32 - 127) as i8 })
            .collect();
        let bias = (0..channels).map(|_| self.below(20_001) as i32 - 10_000).collect();
        let spread = 0.5 / (products as f32).sqrt() / 64.0;
        // now and then results far beyond eight bits, and once beyond sixteen
        let steep = self.one_of(&[1.0, 1.0, 1.0, 30.0, 3000.0]);
        let sign = |negative: bool| if negative { -1.0 } else { 1.0 };
        let multiplier = (0..channels)
            .map(|_| spread * (1 + self.below(8)) as f32 * 0.25 * steep * sign(self.below(8) == 0))
            .collect();
        let table = (self.below(2) == 0).then(|| self.table());
        let pre_zero = self.below(256) as u8;
        Conv { window, groups, weights, bias, multiplier, pre_zero, table, wide: Wide::default() }
    }

    /// Convolutions of one input whose results lie side by side, like those of a split one.
    fn side_by_side(&mut self, from: TensorId) -> TensorId {
        let input = self.of(from).shape;
        let window = self.window(input, false);
        let (height, width) = window.output(input.height, input.width).unwrap();
        let (quant, products) = (self.quant(), window.kernel[0] * window.kernel[1] * input.channels);
        let mut made = Vec::new();
        for _ in 0..2 + self.below(9) {
            let channels = self.size(&[1, 2, 3, 5, 8, 13, 16, 30, 61]);
            let conv = self.filters(window, 1, products, channels);
            made.push(self.node(Op::Conv(conv), &[from], Shape { height, width, channels }, quant));
        }
        let channels = made.iter().map(|id| self.of(*id).shape.channels).sum();
        self.node(Op::Concat, &made, Shape { height, width, channels }, quant)
    }

    fn curve(&mut self) -> Box<Curve> {
        let span = usize::from(sixteen::GREATEST - sixteen::LEAST) + 1;
        Box::new(std::array::from_fn(|_| sixteen::LEAST + self.below(span) as u16))
    }

    fn step(&mut self, from_tensor: TensorId) -> TensorId {
        let from = from_tensor;
        let Tensor { shape, quant } = self.of(from);
        if self.graph.wide()[from.at()] {
            return match self.below(3) {
                0 => self.conv(from, false),
                1 => self.conv(from, true),
                _ => self.values(from),
            };
        }
        match self.below(13) {
            12 => self.side_by_side(from),
            0..=2 => self.conv(from, false),
            3 => self.conv(from, true),
            4 => {
                let (table, to) = (self.table(), self.quant());
                if self.below(3) == 0 {
                    let tables = (0..shape.channels).map(|_| *self.table()).collect();
                    return self.node(Op::Tables(tables), &[from], shape, to);
                }
                self.node(Op::Table(table), &[from], shape, to)
            }
            5 => {
                let window = self.window(shape, true);
                let (height, width) = window.output(shape.height, shape.width).unwrap();
                let op = if self.below(2) == 0 { Op::MaxPool(window) } else { Op::MeanPool(window) };
                self.node(op, &[from], Shape { height, width, ..shape }, quant)
            }
            6 if shape.height * shape.width < 400 => {
                let factor = [self.one_of(&[1, 2]), 2];
                let up = Shape { height: shape.height * factor[0], width: shape.width * factor[1], ..shape };
                self.node(Op::Upsample { factor }, &[from], up, quant)
            }
            7 => {
                let pick = |maker: &mut Maker, size: usize| -> Vec<Option<u16>> {
                    let count = 1 + maker.below(2 * size);
                    (0..count).map(|_| (maker.below(5) != 0).then(|| maker.below(size) as u16)).collect()
                };
                let (rows, columns) = (pick(self, shape.height), pick(self, shape.width));
                let out = Shape { height: rows.len(), width: columns.len(), ..shape };
                let fill = self.below(256) as u8;
                self.node(Op::Pick { rows, columns, fill }, &[from], out, quant)
            }
            8 => {
                let block = [self.one_of(&[1, 2, 3]), self.one_of(&[1, 2])];
                let channels = 1 + self.below(9);
                let from: Vec<usize> =
                    (0..block[0] * block[1] * channels).map(|_| self.below(shape.channels)).collect();
                let out = Shape { height: shape.height * block[0], width: shape.width * block[1], channels };
                self.node(Op::DepthToSpace { block, from }, &[from_tensor], out, quant)
            }
            9 => {
                let between = |maker: &mut Maker, size: usize| -> Vec<Between> {
                    let count = 1 + maker.below(2 * size);
                    let mut place = || Between {
                        first: maker.below(size) as u16,
                        second: maker.below(size) as u16,
                        weight: maker.below(usize::from(WEIGHT_ONE) + 1) as u16,
                    };
                    (0..count).map(|_| place()).collect()
                };
                let (rows, columns) = (between(self, shape.height), between(self, shape.width));
                let out = Shape { height: rows.len(), width: columns.len(), ..shape };
                self.node(Op::Bilinear { rows, columns }, &[from], out, quant)
            }
            10 => {
                let start = self.below(shape.channels);
                let channels = 1 + self.below(shape.channels - start);
                self.node(Op::Slice { start }, &[from], Shape { channels, ..shape }, quant)
            }
            _ => {
                let stride = [self.one_of(&[1, 1, 2]).min(shape.height), self.one_of(&[1, 1, 2]).min(shape.width)];
                // as large as the input allows, or a crop
                let whole = self.below(2) == 0;
                let height = if whole { shape.height / stride[0] } else { 1 + self.below(shape.height / stride[0]) };
                let width = if whole { shape.width / stride[1] } else { 1 + self.below(shape.width / stride[1]) };
                let room = [shape.height - (height - 1) * stride[0], shape.width - (width - 1) * stride[1]];
                let from: Vec<Source> = (0..shape.channels * stride[0])
                    .map(|_| Source {
                        row: self.below(room[0]),
                        column: self.below(room[1]),
                        channel: self.below(shape.channels),
                    })
                    .collect();
                let channels = from.len();
                let out = Shape { height, width, channels };
                self.node(Op::Gather { stride, from }, &[from_tensor], out, quant)
            }
        }
    }

    /// The values of a tensor that has rests.
    fn values(&mut self, from: TensorId) -> TensorId {
        let Tensor { shape, quant } = self.of(from);
        let channels = shape.channels / 2;
        self.node(Op::Slice { start: 0 }, &[from], Shape { channels, ..shape }, quant)
    }

    /// Two branches of one shape, joined; like the blocks of a YOLO.
    fn block(&mut self, from: TensorId) -> TensorId {
        let from = if self.graph.wide()[from.at()] { self.values(from) } else { from };
        let Tensor { shape, quant } = self.of(from);
        let split = 1 + self.below(shape.channels);
        let a = self.node(Op::Slice { start: 0 }, &[from], Shape { channels: split, ..shape }, quant);
        let b = if split < shape.channels {
            self.node(Op::Slice { start: split }, &[from], Shape { channels: shape.channels - split, ..shape }, quant)
        } else {
            a
        };
        let table = self.table();
        let c = self.node(Op::Table(table), &[b], self.of(b).shape, quant);
        let out = self.quant();
        let [ma, mb] = [0.3, 0.7].map(|m| m * (1 + self.below(5)) as f32 * 0.2);
        let d = match self.below(3) {
            0 => self.node(Op::Add { multipliers: [ma, mb] }, &[b, c], self.of(b).shape, out),
            1 => self.node(Op::Mul { multiplier: ma * 0.01 }, &[b, c], self.of(b).shape, out),
            _ => c,
        };
        let mut joined: Vec<TensorId> = [a, b, c].into_iter().filter(|_| self.below(4) != 0).collect();
        if self.of(d).quant == quant {
            joined.push(d);
        }
        joined.push(a);
        let channels = joined.iter().map(|id| self.of(*id).shape.channels).sum();
        let joined = self.node(Op::Concat, &joined, Shape { channels, ..shape }, quant);
        if self.below(2) == 0 { joined } else { self.step(d) }
    }

    fn make(mut self) -> Graph {
        let channels = self.size(&[1, 3, 3, 4, 8, 16, 20, 24, 33, 80]);
        // now and then a long row
        let (height, width) = match self.below(8) {
            _ if cfg!(miri) => (4, 6),
            0 => (2, 90),
            _ => (14, 20),
        };
        let shape = Shape { height: 1 + self.below(height), width: 1 + self.below(width), channels };
        let quant = self.quant();
        let input = self.tensor(shape, quant);
        self.graph.inputs.push(input);
        let mut last = vec![input];
        for _ in 0..1 + self.below(6) {
            let from = self.one_of(&last);
            let next = if self.below(3) == 0 { self.block(from) } else { self.step(from) };
            if self.of(next).shape.elements() < if cfg!(miri) { 400 } else { 40_000 } {
                last.push(next);
            }
        }
        let ends = [last[last.len() - 1], self.one_of(&last)];
        ends.into_iter().for_each(|id| self.output(id));
        self.graph
    }

    fn output(&mut self, id: TensorId) {
        let Shape { height, width, channels } = self.of(id).shape;
        self.graph.outputs.push(Output {
            name: format!("t{}", id.0),
            shape: vec![1, channels, height, width],
            parts: vec![Part { tensor: id, base: 0, strides: [width, 1, height * width] }],
        });
    }

    fn noise(&mut self, bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        self.rng.fill_bytes(&mut noise);
        noise
    }
}

/// Writes all of input 0.
fn write(plan: &mut Plan, input: &[u8]) {
    let Shape { width, channels, .. } = plan.graph().tensor(plan.graph().inputs[0]).shape;
    for (y, row) in input.chunks_exact(width * channels).enumerate() {
        plan.write_row(0, y, row);
    }
}

/// All values of a tensor that an output refers to.
fn values(plan: &Plan, id: TensorId) -> Vec<u8> {
    let view = plan.view(id);
    (0..view.shape.height)
        .flat_map(|y| (0..view.shape.width).map(move |x| (y, x)))
        .flat_map(|(y, x)| view.pixel(y, x).collect::<Vec<u8>>())
        .collect()
}

/// A random graph; not every one passes `Graph::check`.
pub(super) fn random_graph(seed: u64) -> Graph {
    Maker::new(seed).make()
}

/// Where a processor is emulated, the tests are told what it can run.
#[test]
fn the_kernels_of_this_processor_are_found() {
    let found: Vec<&str> = kernels::available().iter().map(|k| k.name).collect();
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
        let quant = maker.quant();
        let input = maker.tensor(Shape { height: 2, width, channels }, quant);
        maker.graph.inputs.push(input);
        maker.output(input);
        let [mut first, second, other] = [0; 3].map(|_| maker.noise(width * channels));
        let graph = Checked::new(maker.graph).unwrap();
        for kernels in kernels::tested() {
            let mut plan = Plan::new(graph.clone(), kernels, 1).unwrap();
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
        let quant = maker.quant();
        let input = maker.tensor(shape, quant);
        maker.graph.inputs.push(input);
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
            let mut plan = Plan::new(graph.clone(), kernels, 1).unwrap();
            write(&mut plan, &pixels);
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
        let quant = maker.quant();
        let input = maker.tensor(shape, quant);
        maker.graph.inputs.push(input);
        let joined = maker.side_by_side(input);
        maker.output(joined);
        let pixels = maker.noise(shape.elements());
        let Ok(graph) = Checked::new(maker.graph) else { return Err(TestCaseError::reject("refused")) };
        let expected = reference::run(&graph, &[&pixels]).unwrap();
        let sizes = graph.nodes.iter().filter_map(|n| if let Op::Conv(c) = &n.op { Some(c.bias.len()) } else { None });
        for kernels in kernels::tested() {
            let mut plan = Plan::new(graph.clone(), kernels, 1).unwrap();
            write(&mut plan, &pixels);
            let mut told = std::collections::BTreeSet::new();
            plan.run_timed(|nodes, _| _ = told.insert(nodes.start));
            prop_assert_eq!(&values(&plan, joined), &expected[joined.at()], "{:?}", kernels);
            let vectors = |channels: usize| channels.div_ceil(kernels.lanes);
            let first = sizes.clone().take(PARTS_MAX);
            let saved = first.clone().map(vectors).sum::<usize>() - vectors(first.sum());
            if kernels.joins && saved > 0 {
                prop_assert!(told.len() < sizes.clone().count(), "{:?}", kernels);
            } else if !kernels.joins {
                prop_assert_eq!(told.len(), sizes.clone().count(), "{:?}", kernels);
            }
        }
    }
}

/// Other zero points, biases, multipliers and tables.
fn renumber(numbers: &mut Numbers<'_>, [tensors, nodes]: [usize; 2]) {
    for tensor in 0..tensors {
        if let Some(quant) = numbers.quant(tensor) {
            quant.zero ^= 5;
        }
    }
    for node in 0..nodes {
        match numbers.node(node) {
            NodeNumbers::Conv { bias, multiplier, pre_zero, table } => {
                bias.iter_mut().for_each(|b| *b -= 77);
                multiplier.iter_mut().for_each(|m| *m *= 0.75);
                *pre_zero ^= 0x55;
                table.into_iter().for_each(|t| t.rotate_left(3));
            }
            NodeNumbers::Tables(tables) => tables.iter_mut().for_each(|t| t.reverse()),
            NodeNumbers::Add(multipliers) => multipliers.swap(0, 1),
            NodeNumbers::Mul(multiplier) => *multiplier *= 1.5,
            NodeNumbers::None => {}
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
                let mut plan = Plan::new(graph.clone(), kernels, threads).unwrap();
                for turn in 0..2 {
                    write(&mut plan, &input);
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
    fn plans_with_other_numbers_equal_the_reference(seed: u64) {
        let Ok(graph) = Checked::new(Maker::new(seed).make()) else { return Err(TestCaseError::reject("refused")) };
        let input = Maker::new(!seed).noise(graph.tensor(graph.inputs[0]).shape.elements());
        let counts = [graph.tensors.len(), graph.nodes.len()];
        for kernels in kernels::tested() {
            let plan = Plan::new(graph.clone(), kernels, 1).unwrap();
            let renumbered = plan.renumbered(|numbers| {
                renumber(numbers, counts);
                Ok(())
            });
            let Ok(mut plan) = renumbered else { return Err(TestCaseError::reject("refused")) };
            write(&mut plan, &input);
            plan.run();
            let expected = reference::run(plan.graph(), &[&input]).unwrap();
            for part in plan.graph().outputs.iter().flat_map(|o| &o.parts) {
                prop_assert_eq!(&values(&plan, part.tensor), &expected[part.tensor.at()], "{:?}", kernels);
            }
        }
    }
}
