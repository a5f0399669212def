//! Random graphs with every operation, shapes from one value to some thousands.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::super::int16::{self, Curve};
use super::super::ir::{
    Attention, AttentionHead, Between, Conv, Graph, Node, Op, Output, Part, Shape, Source, Tensor, TensorId,
    WEIGHT_ONE, Wide, Window,
};
use super::super::quant::Quant;

/// Random graphs; not every one passes `Graph::check`.
pub(super) struct Maker {
    rng: TestRng,
    pub graph: Graph,
}

impl Maker {
    pub fn new(seed: u64) -> Maker {
        let mut bytes = [7u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Maker { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), graph: Graph::default() }
    }

    pub fn below(&mut self, bound: usize) -> usize {
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

    /// An input of the graph.
    pub fn input(&mut self, shape: Shape) -> TensorId {
        let quant = self.quant();
        let input = self.tensor(shape, quant);
        self.graph.inputs.push(input);
        input
    }

    fn tensor(&mut self, shape: Shape, quant: Quant) -> TensorId {
        self.graph.tensors.push(Tensor { shape, quant });
        TensorId(self.graph.tensors.len() as u32 - 1)
    }

    pub fn node(&mut self, op: Op, inputs: &[TensorId], shape: Shape, quant: Quant) -> TensorId {
        let output = self.tensor(shape, quant);
        let name = format!("n{}", self.graph.nodes.len());
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    pub fn of(&self, id: TensorId) -> Tensor {
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

    /// Of any entries, or as smooth as an activation: kernels look these up in shorter tables.
    fn table(&mut self) -> Box<[u8; 256]> {
        if self.below(2) == 0 {
            let (from, to) = (self.quant(), self.quant());
            return Box::new(from.table(to, |x| x / (1.0 + (-x).exp())));
        }
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
    pub fn filters(&mut self, window: Window, groups: usize, products: usize, channels: usize) -> Conv {
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
    pub fn side_by_side(&mut self, from: TensorId) -> TensorId {
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
        let span = usize::from(int16::GREATEST - int16::LEAST) + 1;
        Box::new(std::array::from_fn(|_| int16::LEAST + self.below(span) as u16))
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
        match self.below(14) {
            13 => self.attention(from),
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

    /// Attention of a tensor to itself: some heads, one area or two.
    fn attention(&mut self, from: TensorId) -> TensorId {
        let Tensor { shape, .. } = self.of(from);
        let pixels = shape.height * shape.width;
        let areas = if pixels.is_multiple_of(2) { self.one_of(&[1, 2]) } else { 1 };
        let count = 1 + self.below(2);
        let (key, value) = (1 + self.below(shape.channels.min(40)), 1 + self.below(shape.channels.min(40)));
        let mut heads = Vec::new();
        for area in 0..areas {
            for index in 0..count {
                let mut first = |channels: usize| self.below(shape.channels - channels + 1);
                let (query, key, from) = (first(key), first(key), first(value));
                let pixel = area * (pixels / areas);
                heads.push(AttentionHead { pixel, query, key, value: from, output: index * value });
            }
        }
        let steep = self.one_of(&[0.001, 0.02, 0.3, 9.0]);
        let store = 0.2 + self.below(20) as f32 * 0.1;
        let attention = Attention { tokens: pixels / areas, key, value, heads, multiplier: steep, store };
        let quant = self.quant();
        let out = Shape { channels: count * value, ..shape };
        self.node(Op::Attention(Box::new(attention)), &[from, from, from], out, quant)
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

    pub fn make(mut self) -> Graph {
        let channels = self.size(&[1, 3, 3, 4, 8, 16, 20, 24, 33, 80]);
        // now and then a long row
        let (height, width) = match self.below(8) {
            _ if cfg!(miri) => (4, 6),
            0 => (2, 90),
            _ => (14, 20),
        };
        let shape = Shape { height: 1 + self.below(height), width: 1 + self.below(width), channels };
        let input = self.input(shape);
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

    pub fn output(&mut self, id: TensorId) {
        let Shape { height, width, channels } = self.of(id).shape;
        self.graph.outputs.push(Output {
            name: format!("t{}", id.0),
            shape: vec![1, channels, height, width],
            parts: vec![Part { tensor: id, base: 0, strides: [width, 1, height * width] }],
        });
    }

    pub fn noise(&mut self, bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        self.rng.fill_bytes(&mut noise);
        noise
    }
}
