//! From a graph and its layout to the work of each step, weights packed.

use std::ops::Range;

use super::int16::NO_LOW_BYTE;
use super::ir::{Conv, Graph, Node, Op, Source, Tensor, TensorId};
use super::kernels::attention::AttentionStep;
use super::kernels::max_pool::MaxPool;
use super::kernels::memory::{ALIGNMENT, Memory};
use super::kernels::packed::PARTS_MAX;
use super::kernels::packing::{InputSteps, Packer};
use super::kernels::place::Place;
use super::kernels::scratch::Scratch;
use super::kernels::step::Work;
use super::kernels::tensor_span::TensorSpan;
use super::kernels::wide::WideConv;
use super::kernels::winograd_conv::Winograd;
use super::kernels::{Kernels, PackedConv, PackedDepthwise, Product, Sum};
use super::layout::Layout;
use crate::parallel;

/// Where a tensor lies.
pub(super) fn region(layout: &Layout, tensors: &[Tensor], id: TensorId) -> TensorSpan {
    let slab = layout.slab(id);
    TensorSpan { first: layout.first(id), row: slab.row(), pixel: slab.pixel, shape: tensors[id.at()].shape }
}

/// Bytes in which a thread keeps what a step needs between two passes.
pub(super) fn scratch_bytes(graph: &Graph, kernels: &Kernels) -> usize {
    let of = |node: &Node| {
        let [input, output] = [node.inputs[0], node.output].map(|id| graph.tensor(id).shape);
        match &node.op {
            Op::Conv(conv) if !conv.wide.is_none() => WideConv::scratch_bytes(conv),
            Op::Conv(conv) => Winograd::scratch_bytes(conv, input, output, kernels),
            Op::MaxPool(window) => MaxPool::scratch_bytes(window, input),
            Op::Attention(attention) => AttentionStep::scratch_bytes(attention),
            _ => 0,
        }
    };
    graph.nodes.iter().map(of).max().unwrap_or(0).next_multiple_of(ALIGNMENT)
}

/// What a plan is made from.
pub(super) struct Planner<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Where its tensors lie.
    pub layout: &'a Layout,
    /// What it will run on.
    pub kernels: &'static Kernels,
    /// Where threads keep what a step needs between two passes, [`scratch_bytes`] each.
    pub scratch: Scratch,
}

impl Planner<'_> {
    fn region(&self, id: TensorId) -> TensorSpan {
        region(self.layout, &self.graph.tensors, id)
    }

    /// Bytes of memory that the weights of all units take; `usize::MAX` where that does not hold it.
    pub fn footprint(&self, units: &[Range<usize>]) -> usize {
        let footprints = units.iter().map(|unit| self.footprint_of(&self.graph.nodes[unit.clone()]));
        footprints.fold(0, usize::saturating_add)
    }

    fn footprint_of(&self, nodes: &[Node]) -> usize {
        let convs = convs(nodes);
        let Some(conv) = convs.first() else { return 0 };
        let [input, output] = [nodes[0].inputs[0], nodes[0].output].map(|id| self.region(id));
        if nodes.len() == 1 {
            if let Some(bytes) = Winograd::footprint(conv, input.shape, output.shape, self.kernels) {
                return bytes;
            }
            if conv.is_depthwise(input.shape) {
                return PackedDepthwise::footprint(conv);
            }
        }
        let outputs = convs.iter().map(|conv| conv.bias.len()).sum();
        PackedConv::footprint(conv, outputs, InputSteps::of(&input), self.kernels)
    }

    /// What the units do, in their order, each with the index of the first node that it stands for. Packing
    /// weights, into parts of `memory`, is most of the time that loading takes; `threads` share it.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn work(&self, units: &[Range<usize>], threads: usize, memory: &Memory) -> Result<Vec<(usize, Work)>, String> {
        let packer = Packer { kernels: self.kernels, memory };
        let made: Vec<Vec<Work>> = if threads > 1 {
            let each = |(): &mut (), made: &mut Vec<Vec<Work>>, index: usize| {
                made.push(self.unit(&units[index], packer));
                Ok::<_, String>(())
            };
            let indices: Vec<usize> = (0..units.len()).collect();
            parallel::in_order(parallel::over(threads, &indices, || Ok(()), Vec::new, each, &mut || {})?).collect()
        } else {
            units.iter().map(|unit| self.unit(unit, packer)).collect()
        };
        let mut all: Vec<(usize, Work)> = Vec::new();
        for (unit, works) in units.iter().zip(made) {
            for work in works {
                if !all.last_mut().is_some_and(|(_, last)| last.join(&work)) {
                    all.push((unit.start, work));
                }
            }
        }
        Ok(all)
    }

    /// The nodes, one by one but for those that are computed as one.
    pub fn units(&self) -> Vec<Range<usize>> {
        let mut units = Vec::with_capacity(self.graph.nodes.len());
        let mut first = 0;
        while first < self.graph.nodes.len() {
            let unit = first..first + self.joined(first).max(1);
            first = unit.end;
            units.push(unit);
        }
        units
    }

    /// What the nodes of a unit do.
    fn unit(&self, unit: &Range<usize>, packer: Packer) -> Vec<Work> {
        let (first, mut all) = (unit.start, Vec::new());
        for slab in self.layout.slabs.iter().filter(|s| s.life.0 == first && s.border != [0; 4]) {
            let inner = TensorSpan { first: slab.inner(), row: slab.row(), pixel: slab.pixel, shape: slab.shape };
            let zero = self.graph.tensor(slab.tensor).quant.zero ^ self.kernels.sign_xor;
            let rest = slab.wide.then_some(NO_LOW_BYTE ^ self.kernels.sign_xor);
            all.push(Work::Border { inner, border: slab.border, tensor: slab.tensor, zero, rest });
        }
        match &self.graph.nodes[unit.clone()] {
            [node] => self.node(node, packer, &mut |work| all.push(work)),
            nodes => all.push(self.join(nodes, packer)),
        }
        all
    }

    /// How many convolutions from node `first` on are better computed as one: they slide one window over
    /// one input, write side by side into one slab, and fill fewer vectors together than apart.
    fn joined(&self, first: usize) -> usize {
        let head = &self.graph.nodes[first];
        let Op::Conv(Conv { window, .. }) = &head.op else { return 0 };
        let (mut channels, mut apart, mut most, mut best) = (0, 0, 0, 0);
        for (before, node) in self.graph.nodes[first..].iter().take(PARTS_MAX).enumerate() {
            let Op::Conv(conv) = &node.op else { break };
            let alike = node.inputs == head.inputs && conv.window == *window && conv.groups == 1 && conv.wide.is_none();
            if !alike || !self.layout.within(node.output, head.output, channels) {
                break;
            }
            channels += conv.bias.len();
            if channels > self.kernels.joins {
                break;
            }
            apart += conv.bias.len().div_ceil(self.kernels.lanes);
            let saved = apart - channels.div_ceil(self.kernels.lanes);
            if saved > most {
                (most, best) = (saved, before + 1);
            }
        }
        best
    }

    /// Convolutions as one, see [`Planner::joined`].
    fn join(&self, nodes: &[Node], packer: Packer) -> Work {
        let convs = convs(nodes);
        let (node, window) = (&nodes[0], convs[0].window);
        let input = self.region(node.inputs[0]);
        let mut output = self.region(node.output);
        output.shape.channels = convs.iter().map(|conv| conv.bias.len()).sum();
        let zero = self.graph.tensor(node.inputs[0]).quant.zero;
        let packed = PackedConv::joined(&convs, window, zero, InputSteps::of(&input), packer);
        Work::Joined { packed, window, input, output }
    }

    fn node(&self, node: &Node, packer: Packer, push: &mut impl FnMut(Work)) {
        let input = self.region(node.inputs[0]);
        let output = self.region(node.output);
        let zero_of = |id: TensorId| self.graph.tensor(id).quant.zero;
        let zeros = || [zero_of(node.inputs[0]), zero_of(node.inputs[1]), zero_of(node.output)];
        match &node.op {
            Op::Conv(conv) => {
                let (zero, window, steps) = (zero_of(node.inputs[0]), conv.window, InputSteps::of(&input));
                let (ends, scratch) = ([input, output], self.scratch);
                if !conv.wide.is_none() {
                    push(Work::Wide(Box::new(WideConv::new(conv, zero, ends, scratch, packer))));
                } else if let Some(conv) = Winograd::new(conv, zero, ends, scratch, packer) {
                    push(Work::Winograd(Box::new(conv)));
                } else if conv.is_depthwise(input.shape) {
                    let packed = PackedDepthwise::new(conv, zero, steps, packer);
                    push(Work::Depthwise { packed, window, input, output });
                } else {
                    let pack = |group| PackedConv::new(conv, group, zero, steps, packer);
                    push(Work::Conv { groups: (0..conv.groups).map(pack).collect(), window, input, output });
                }
            }
            Op::Table(table) => push(Work::Table(Box::new(self.kernels.sign_xored(table)), input, output)),
            Op::Tables(tables) => {
                let tables = tables.iter().map(|t| self.kernels.sign_xored(t)).collect();
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
            Op::Attention(attention) => {
                let inputs = [0, 1, 2].map(|input| self.region(node.inputs[input]));
                let [q, k, v] = [0, 1, 2].map(|input| zero_of(node.inputs[input]));
                let zeros = [q, k, v, zero_of(node.output)];
                push(Work::Attention(Box::new(AttentionStep::new(attention, zeros, inputs, output, self.scratch))));
            }
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
                    let part = TensorSpan { first: input.first + start, shape: output.shape, ..input };
                    push(Work::Copy(part, output));
                }
            }
            Op::Concat => {
                let mut channel = 0;
                for &id in &node.inputs {
                    let from = self.region(id);
                    if !self.layout.within(id, node.output, channel) {
                        push(Work::Copy(
                            from,
                            TensorSpan { first: output.first + channel, shape: from.shape, ..output },
                        ));
                    }
                    channel += from.shape.channels;
                }
            }
        }
    }
}

/// Those among the nodes; all of a unit of several.
fn convs(nodes: &[Node]) -> Vec<&Conv> {
    nodes.iter().filter_map(|node| if let Op::Conv(conv) = &node.op { Some(conv) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::kernels;
    use super::super::plan_tests::random_graph;
    use super::*;

    #[test]
    fn weights_take_what_was_reckoned() {
        for graph in (0..if cfg!(miri) { 2 } else { 60 }).map(random_graph).filter(|graph| graph.check().is_ok()) {
            let layout = Layout::new(&graph).unwrap();
            for kernels in kernels::tested() {
                let scratch = Scratch { first: layout.bytes, bytes: scratch_bytes(&graph, kernels), threads: 1 };
                let planner = Planner { graph: &graph, layout: &layout, kernels, scratch };
                let units = planner.units();
                let memory = Memory::new(planner.footprint(&units)).unwrap();
                planner.work(&units, 1, &memory).unwrap();
                assert_eq!(memory.left(), 0, "{kernels:?}");
            }
        }
    }
}
