//! A graph becomes steps: places in the arena, packed weights, nothing left to decide per run.

use super::ir::{Checked, Conv, Graph, Node, Numbers, Op, Shape, Source, TensorId};
use super::kernels::max_pool::MaxPool;
use super::kernels::packing::{InputSteps, PARTS_MAX};
use super::kernels::place::Place;
use super::kernels::program::{Program, THREADS_MAX};
use super::kernels::region::Region;
use super::kernels::scratch::Scratch;
use super::kernels::step::{Step, Work};
use super::kernels::wide::WideConv;
use super::kernels::winograd::Winograd;
use super::kernels::{Kernels, PackedConv, PackedDepthwise, Product, Sum};
use super::layout::{ALIGNMENT, Layout};
use super::quant::Quant;
use super::sixteen::NO_REST;

/// A graph that is ready to run on this processor.
pub struct Plan {
    graph: Checked<Graph>,
    layout: Layout,
    program: Program,
    /// See [`Kernels::flip`].
    flip: u8,
}

/// A tensor's bytes after a run: value (y, x, c) is `bytes[y * row + x * pixel + c] ^ flip`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// From the first value on.
    pub bytes: &'a [u8],
    /// See [`Kernels::flip`].
    pub flip: u8,
    /// Bytes to the next row.
    pub row: usize,
    /// Bytes to the next pixel.
    pub pixel: usize,
    /// Extents.
    pub shape: Shape,
    /// What the numbers stand for.
    pub quant: Quant,
}

impl View<'_> {
    /// The channels of one pixel.
    pub fn pixel(&self, y: usize, x: usize) -> impl Iterator<Item = u8> {
        let flip = self.flip;
        self.stored(y, x).iter().map(move |byte| byte ^ flip)
    }

    /// The greatest value of row `y`.
    pub fn most(&self, y: usize) -> u8 {
        let Shape { width, channels, .. } = self.shape;
        // without a branch, so that it is compiled to vectors
        let most = |bytes: &[u8]| bytes.iter().fold(0u8, |most, byte| most.max(byte ^ self.flip));
        if self.pixel == channels {
            most(&self.bytes[y * self.row..][..width * channels])
        } else {
            (0..width).map(|x| most(self.stored(y, x))).max().unwrap_or(0)
        }
    }

    /// Value (y, x, c).
    pub fn value(&self, y: usize, x: usize, c: usize) -> u8 {
        self.bytes[y * self.row + x * self.pixel + c] ^ self.flip
    }

    /// The channels of one pixel as they lie in memory.
    fn stored(&self, y: usize, x: usize) -> &[u8] {
        let at = y * self.row + x * self.pixel;
        &self.bytes[at..at + self.shape.channels]
    }
}

impl Plan {
    /// Lays the graph out and packs its weights.
    ///
    /// # Errors
    /// The node and what is wrong with it, or that a thread could not be started.
    pub fn new(graph: Checked<Graph>, kernels: &'static Kernels, threads: usize) -> Result<Plan, String> {
        let layout = Layout::new(&graph);
        let threads = threads.clamp(1, THREADS_MAX);
        let scratch = Scratch { first: layout.bytes, bytes: scratch_bytes(&graph, kernels), threads };
        let bytes = layout.bytes + scratch.bytes * threads;
        let planner = Planner { graph: &graph, layout: &layout, kernels, scratch };
        let mut steps = Vec::new();
        for (index, work) in planner.work() {
            let named = |what| format!("node {:?}: {what}", graph.nodes.get(index).map_or("", |n| &n.name));
            steps.push(Step::new(index, work, bytes).map_err(named)?);
        }
        let program = Program::new(steps, kernels, bytes, threads).map_err(|e| format!("starting a thread: {e}"))?;
        Ok(Plan { graph, layout, program, flip: kernels.flip })
    }

    /// Takes other numbers: `change` is given those of the graph, and what was packed follows them, in
    /// place. The layout, the weights and the threads stay; nothing is allocated unless the graph is
    /// shared. After an error the plan is gone.
    ///
    /// # Errors
    /// Those of `change`, or the node and what is wrong with its numbers.
    pub fn renumbered(mut self, change: impl FnOnce(&mut Numbers<'_>) -> Result<(), String>) -> Result<Plan, String> {
        change(&mut self.graph.numbers())?;
        self.program.renumber(&self.graph)?;
        Ok(self)
    }

    /// The graph.
    pub fn graph(&self) -> &Checked<Graph> {
        &self.graph
    }

    /// What it runs on.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes of all tensors.
    pub fn arena_bytes(&self) -> usize {
        self.layout.bytes
    }

    /// Writes row `y` of input `index`: (column, channel) values; a short slice leaves the pixels it does
    /// not hold whole as they are.
    pub fn write_row(&mut self, index: usize, y: usize, values: &[u8]) {
        let Some(&id) = self.graph.inputs.get(index) else { return };
        let region = region(&self.graph, &self.layout, id);
        let Shape { height, width, channels } = region.shape;
        if y >= height {
            return;
        }
        let row = &mut self.program.bytes_mut()[region.first + y * region.row..][..width * region.pixel];
        let flip = self.flip;
        if (channels, region.pixel) == (3, 4) {
            // a picture, whose slab is its own, so that the fourth byte is nobody's: arrays let the
            // compiler load and store vectors of pixels
            for (to, &[red, green, blue]) in row.as_chunks_mut::<4>().0.iter_mut().zip(values.as_chunks::<3>().0) {
                *to = [red ^ flip, green ^ flip, blue ^ flip, 0];
            }
            return;
        }
        for (to, from) in row.chunks_exact_mut(region.pixel).zip(values.chunks_exact(channels)) {
            for (to, from) in to[..channels].iter_mut().zip(from) {
                *to = from ^ flip;
            }
        }
    }

    /// Runs the network on the input that was written.
    pub fn run(&mut self) {
        self.program.run();
    }

    /// Runs the network and tells the time of each step and the indices of its nodes, which are several where
    /// convolutions are computed as one.
    pub fn run_timed(&mut self, told: impl FnMut(std::ops::Range<usize>, std::time::Duration)) {
        self.program.run_timed(told);
    }

    /// A tensor of the last run that an output refers to; another tensor's bytes may be reused.
    pub fn view(&self, id: TensorId) -> View<'_> {
        let region = region(&self.graph, &self.layout, id);
        View {
            bytes: &self.program.bytes()[region.first..],
            flip: self.flip,
            row: region.row,
            pixel: region.pixel,
            shape: region.shape,
            quant: self.graph.tensor(id).quant,
        }
    }

    /// Output `index` in real numbers, in the original network's order; `into` takes its length.
    pub fn real_output(&self, index: usize, into: &mut Vec<f32>) {
        let Some(output) = self.graph.outputs.get(index) else { return };
        into.resize(output.shape.iter().product(), 0.0);
        for part in &output.parts {
            let view = self.view(part.tensor);
            let real: [f32; 256] = std::array::from_fn(|byte| view.quant.real(byte as u8 ^ view.flip));
            let [sy, sx, sc] = part.strides;
            for y in 0..view.shape.height {
                for x in 0..view.shape.width {
                    for (c, &byte) in view.stored(y, x).iter().enumerate() {
                        into[part.base + y * sy + x * sx + c * sc] = real[usize::from(byte)];
                    }
                }
            }
        }
    }
}

fn region(graph: &Graph, layout: &Layout, id: TensorId) -> Region {
    let slab = layout.slab(id);
    Region { first: layout.first(id), row: slab.row(), pixel: slab.pixel, shape: graph.tensor(id).shape }
}

/// Bytes in which a thread keeps what a step needs between two passes.
fn scratch_bytes(graph: &Graph, kernels: &Kernels) -> usize {
    let of = |node: &Node| {
        let [input, output] = [node.inputs[0], node.output].map(|id| graph.tensor(id).shape);
        match &node.op {
            Op::Conv(conv) if !conv.wide.is_none() => WideConv::scratch_bytes(conv),
            Op::Conv(conv) => Winograd::scratch_bytes(conv, input, output, kernels),
            Op::MaxPool(window) => MaxPool::scratch_bytes(window, input),
            _ => 0,
        }
    };
    graph.nodes.iter().map(of).max().unwrap_or(0).next_multiple_of(ALIGNMENT)
}

struct Planner<'a> {
    graph: &'a Graph,
    layout: &'a Layout,
    kernels: &'static Kernels,
    scratch: Scratch,
}

impl Planner<'_> {
    fn region(&self, id: TensorId) -> Region {
        region(self.graph, self.layout, id)
    }

    fn work(&self) -> Vec<(usize, Work)> {
        let mut all: Vec<(usize, Work)> = Vec::new();
        let mut next = 0;
        while let Some(node) = self.graph.nodes.get(next) {
            let index = next;
            next += 1;
            for slab in self.layout.slabs.iter().filter(|s| s.life.0 == index && s.border != [0; 4]) {
                let inner = Region { first: slab.inner(), row: slab.row(), pixel: slab.pixel, shape: slab.shape };
                let zero = self.graph.tensor(slab.tensor).quant.zero ^ self.kernels.flip;
                let rest = slab.wide.then_some(NO_REST ^ self.kernels.flip);
                all.push((index, Work::Border { inner, border: slab.border, tensor: slab.tensor, zero, rest }));
            }
            let convs = self.joined(index);
            if convs.len() > 1 {
                all.push((index, self.join(index, &convs)));
                next += convs.len() - 1;
                continue;
            }
            self.node(node, &mut |work| {
                if !all.last_mut().is_some_and(|(_, last)| last.join(&work)) {
                    all.push((index, work));
                }
            });
        }
        all
    }

    /// The convolutions from node `first` on that are better computed as one: they slide one window over
    /// one input, write side by side into one slab, and fill fewer vectors together than apart.
    fn joined(&self, first: usize) -> Vec<&Conv> {
        let mut found = Vec::new();
        let head = &self.graph.nodes[first];
        let Op::Conv(Conv { window, .. }) = &head.op else { return found };
        if !self.kernels.joins {
            return found;
        }
        let (mut channels, mut apart, mut most, mut best) = (0, 0, 0, 0);
        for node in self.graph.nodes[first..].iter().take(PARTS_MAX) {
            let Op::Conv(conv) = &node.op else { break };
            let alike = node.inputs == head.inputs && conv.window == *window && conv.groups == 1 && conv.wide.is_none();
            if !alike || !self.layout.within(node.output, head.output, channels) {
                break;
            }
            found.push(conv);
            channels += conv.bias.len();
            apart += conv.bias.len().div_ceil(self.kernels.lanes);
            let saved = apart - channels.div_ceil(self.kernels.lanes);
            if saved > most {
                (most, best) = (saved, found.len());
            }
        }
        found.truncate(best);
        found
    }

    /// The convolutions that begin at node `first`, as one.
    fn join(&self, first: usize, convs: &[&Conv]) -> Work {
        let (node, window) = (&self.graph.nodes[first], convs[0].window);
        let input = self.region(node.inputs[0]);
        let mut output = self.region(node.output);
        output.shape.channels = convs.iter().map(|conv| conv.bias.len()).sum();
        let steps = InputSteps { column: input.pixel, row: input.row };
        let zero = self.graph.tensor(node.inputs[0]).quant.zero;
        let packed = PackedConv::joined(convs, window, zero, steps, self.kernels);
        Work::Joined { packed, window, input, output }
    }

    fn node(&self, node: &Node, push: &mut impl FnMut(Work)) {
        let input = self.region(node.inputs[0]);
        let output = self.region(node.output);
        let zero_of = |id: TensorId| self.graph.tensor(id).quant.zero;
        let zeros = || [zero_of(node.inputs[0]), zero_of(node.inputs[1]), zero_of(node.output)];
        match &node.op {
            Op::Conv(conv) => {
                let steps = InputSteps { column: input.pixel, row: input.row };
                let zero = zero_of(node.inputs[0]);
                let window = conv.window;
                if !conv.wide.is_none() {
                    let conv = WideConv::new(conv, zero, [input, output], self.scratch, self.kernels);
                    push(Work::Wide(Box::new(conv)));
                } else if let Some(conv) = Winograd::new(conv, zero, [input, output], self.scratch, self.kernels) {
                    push(Work::Winograd(Box::new(conv)));
                } else if conv.is_depthwise(input.shape) {
                    let packed = PackedDepthwise::new(conv, zero, steps, self.kernels);
                    push(Work::Depthwise { packed, window, input, output });
                } else {
                    let pack = |group| PackedConv::new(conv, group, zero, steps, self.kernels);
                    push(Work::Conv { groups: (0..conv.groups).map(pack).collect(), window, input, output });
                }
            }
            Op::Table(table) => push(Work::Table(Box::new(self.kernels.flipped(table)), input, output)),
            Op::Tables(tables) => {
                let tables = tables.iter().map(|t| self.kernels.flipped(t)).collect();
                push(Work::Tables(tables, input, output));
            }
            Op::Add { multipliers } => {
                let other = self.region(node.inputs[1]);
                push(Work::Add(Sum { multipliers: *multipliers, zeros: zeros() }, [input, other], output));
            }
            Op::Mul { multiplier } => {
                let other = self.region(node.inputs[1]);
                push(Work::Mul(Product { multiplier: *multiplier, zeros: zeros() }, [input, other], output));
            }
            Op::MaxPool(window) => push(Work::MaxPool(MaxPool::new(*window, [input, output], self.scratch))),
            Op::MeanPool(window) => push(Work::MeanPool(*window, input, output)),
            Op::Upsample { factor } => push(Work::Upsample(*factor, input, output)),
            Op::Gather { stride, from } => {
                let offset = |s: &Source| s.row * input.row + s.column * input.pixel + s.channel;
                push(Work::Gather { offsets: from.iter().map(offset).collect(), stride: *stride, input, output });
            }
            Op::Pick { rows, columns, fill } => push(Work::Place(Place::Pick {
                rows: rows.clone(),
                columns: columns.clone(),
                fill: *fill,
                input,
                output,
            })),
            Op::DepthToSpace { block, from } => {
                push(Work::Place(Place::DepthToSpace { block: *block, from: from.clone(), input, output }));
            }
            Op::Bilinear { rows, columns } => {
                push(Work::Place(Place::Bilinear { rows: rows.clone(), columns: columns.clone(), input, output }))
            }
            Op::Slice { start } => {
                if !self.layout.within(node.output, node.inputs[0], *start) {
                    let part = Region { first: input.first + start, shape: output.shape, ..input };
                    push(Work::Copy(part, output));
                }
            }
            Op::Concat => {
                let mut channel = 0;
                for &id in &node.inputs {
                    let from = self.region(id);
                    if !self.layout.within(id, node.output, channel) {
                        push(Work::Copy(from, Region { first: output.first + channel, shape: from.shape, ..output }));
                    }
                    channel += from.shape.channels;
                }
            }
        }
    }
}
