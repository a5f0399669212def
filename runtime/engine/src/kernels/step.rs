//! One step of a plan: a kernel and the bytes it works on.

use std::ops::Range;

use super::super::ir::{Graph, Node, Op, Shape, TensorId, WeightSums, Window};
use super::super::quant::Table;
use super::arena::Arena;
use super::attention::AttentionStep;
use super::max_pool::MaxPool;
use super::operands::{Block, Product, Rows, SLACK, Sum};
use super::packed::{PackedConv, PackedDepthwise};
use super::place::Place;
use super::set::Kernels;
use super::tensor_span::{TensorSpan, pixels, spans, spans2};
use super::wide::WideConv;
use super::windowed::{rows_of, windowed};
use super::winograd_conv::Winograd;

/// What a step does.
#[derive(Debug)]
pub enum Work {
    /// Fills the border of a slab with its zero point.
    Border {
        /// The pixels inside the border.
        inner: TensorSpan,
        /// Border pixels at the top, left, bottom and right.
        border: [usize; 4],
        /// The tensor whose zero point it is.
        tensor: TensorId,
        /// The value.
        zero: u8,
        /// What stands in the second half of the channels, if those are rests.
        rest: Option<u8>,
    },
    /// Dense convolution, group by group.
    Conv {
        /// Weights of each group.
        groups: Vec<PackedConv>,
        /// Geometry.
        window: Window,
        /// Input, border included in its reach.
        input: TensorSpan,
        /// Output.
        output: TensorSpan,
    },
    /// Dense convolutions of the step's node and of those that follow it, computed as one.
    Joined {
        /// Weights of all.
        packed: PackedConv,
        /// Geometry.
        window: Window,
        /// Input, border included in its reach.
        input: TensorSpan,
        /// Outputs, side by side.
        output: TensorSpan,
    },
    /// Depthwise convolution.
    Depthwise {
        /// Weights.
        packed: PackedDepthwise,
        /// Geometry.
        window: Window,
        /// Input, border included in its reach.
        input: TensorSpan,
        /// Output.
        output: TensorSpan,
    },
    /// Dense convolution with fewer multiplications.
    Winograd(Box<Winograd>),
    /// Convolution with sixteen bits at one end or both.
    Wide(Box<WideConv>),
    /// Each value through a table.
    Table(Box<Table>, TensorSpan, TensorSpan),
    /// Each value through the table of its channel.
    Tables(Box<[Table]>, TensorSpan, TensorSpan),
    /// See `ir::Op::Add`: the two inputs and the output.
    Add(Sum, [TensorSpan; 2], TensorSpan),
    /// See `ir::Op::Mul`: the two inputs, of which the second may be one pixel, and the output.
    Mul(Product, [TensorSpan; 2], TensorSpan),
    /// See `ir::Op::MaxPool`.
    MaxPool(MaxPool),
    /// See `ir::Op::Attention`.
    Attention(Box<AttentionStep>),
    /// See `ir::Op::MeanPool`.
    MeanPool(Window, TensorSpan, TensorSpan),
    /// See `ir::Op::Upsample`.
    Upsample([usize; 2], TensorSpan, TensorSpan),
    /// As it is.
    Copy(TensorSpan, TensorSpan),
    /// See `ir::Op::Gather`.
    Gather {
        /// Offsets of the channels from the first input pixel of an output pixel.
        offsets: Vec<usize>,
        /// Down and to the right.
        stride: [usize; 2],
        /// The input.
        input: TensorSpan,
        /// The output.
        output: TensorSpan,
    },
    /// Values to other places.
    Place(Place),
}

impl Work {
    /// Takes the next work in if both gather channels of the same pixels and write them side by side into
    /// the pixels of one slab.
    pub fn join(&mut self, next: &Work) -> bool {
        let Work::Gather { offsets, stride, input, output } = self else { return false };
        let Work::Gather { offsets: others, stride: next_stride, input: next_input, output: next_output } = next else {
            return false;
        };
        let channels = output.shape.channels;
        let behind = TensorSpan { first: output.first + channels, shape: next_output.shape, ..*output };
        let alike = Shape { channels, ..next_output.shape } == output.shape && behind == *next_output;
        let one_pixel = channels + next_output.shape.channels <= output.pixel;
        if (*stride, *input) != (*next_stride, *next_input) || !alike || !one_pixel {
            return false;
        }
        offsets.extend(others);
        output.shape.channels += next_output.shape.channels;
        true
    }
}

/// A step that fits its arena.
#[derive(Debug)]
pub struct Step {
    /// Index of its node.
    pub node: usize,
    work: Work,
}

impl Step {
    /// Checks that everything the step touches lies inside an arena of `bytes`.
    ///
    /// # Errors
    /// What does not; a fault of the plan.
    pub(super) fn new(node: usize, work: Work, bytes: usize) -> Result<Step, String> {
        let limit = bytes.saturating_sub(SLACK) as u64;
        let inside =
            |r: &TensorSpan| if r.end() <= limit { Ok(()) } else { Err(format!("{r:?} leaves the arena of {bytes}")) };
        match &work {
            Work::Border { inner, border, .. } => {
                inside(inner)?;
                let before = inner.before(border[0], border[1]);
                let behind = inner.before(border[2], border[3]);
                if before > inner.first as u64 || inner.end().saturating_add(behind) > limit {
                    return Err(format!("the border of {inner:?} leaves the arena of {bytes}"));
                }
            }
            Work::Conv { window, input, output, groups } => {
                let reach = groups.iter().map(PackedConv::extent).max().unwrap_or(0);
                windowed(window, input, output, reach, limit)?;
                inside(output)?;
            }
            Work::Joined { window, input, output, packed } => {
                windowed(window, input, output, packed.extent(), limit)?;
                inside(output)?;
            }
            Work::Depthwise { window, input, output, packed } => {
                windowed(window, input, output, packed.extent(), limit)?;
                inside(output)?;
            }
            Work::Winograd(conv) => {
                conv.check(limit, bytes)?;
                inside(conv.output())?;
            }
            Work::Wide(conv) => {
                conv.check(limit, bytes)?;
                inside(conv.output())?;
            }
            Work::MaxPool(pool) => {
                pool.regions().iter().try_for_each(&inside)?;
                pool.check(bytes)?;
            }
            Work::Attention(attention) => {
                attention.regions().try_for_each(&inside)?;
                attention.check(bytes)?;
            }
            Work::Gather { offsets, stride, input, output } => {
                let [h, w] = [(output.shape.height, stride[0]), (output.shape.width, stride[1])]
                    .map(|(size, step)| size.saturating_sub(1).saturating_mul(step));
                if input.reach(h, w, offsets.iter().max().copied().unwrap_or(0)) >= limit {
                    return Err(format!("{input:?} leaves the arena of {bytes}"));
                }
                inside(output)?;
            }
            Work::Add(_, inputs, output) | Work::Mul(_, inputs, output) => {
                inputs.iter().chain([output]).try_for_each(inside)?;
            }
            Work::Place(place) => place.regions().iter().try_for_each(&inside)?,
            Work::Tables(_, a, b)
            | Work::Table(_, a, b)
            | Work::MeanPool(_, a, b)
            | Work::Upsample(_, a, b)
            | Work::Copy(a, b) => [a, b].into_iter().try_for_each(inside)?,
        }
        Ok(Step { node, work })
    }

    /// The numbers of its node in `graph` fit the packed weights.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn check(&self, graph: &Graph) -> Result<(), String> {
        let Some(node) = graph.nodes.get(self.node) else { return Err(format!("there is no node {}", self.node)) };
        let check = |node: &Node, sums: &mut dyn Iterator<Item = WeightSums>| {
            graph.check_numbers(node, sums).map_err(|what| format!("node {:?}: {what}", node.name))
        };
        match &self.work {
            Work::Border { .. } => Ok(()),
            Work::Joined { packed, .. } => {
                let mut parts = packed.parts.iter().zip(&graph.nodes[self.node..]);
                parts.try_for_each(|(part, node)| check(node, &mut packed.sums[part.channels.clone()].iter().copied()))
            }
            Work::Conv { groups, .. } => check(node, &mut groups.iter().flat_map(|g| &g.sums).copied()),
            Work::Depthwise { packed, .. } => check(node, &mut packed.sums.iter().copied()),
            Work::Winograd(conv) => check(node, &mut conv.sums()),
            Work::Wide(conv) => check(node, &mut conv.sums()),
            _ => check(node, &mut std::iter::empty()),
        }
    }

    /// Takes the numbers of its node in `graph`, whose structure is that of the graph it was made of.
    pub fn set_params(&mut self, graph: &Graph, kernels: &Kernels) {
        let Some(node) = graph.nodes.get(self.node) else { return };
        let zero_of = |id: TensorId| graph.tensor(id).quant.zero;
        let zeros = || [node.inputs[0], node.inputs[1], node.output].map(zero_of);
        match (&mut self.work, &node.op) {
            (Work::Border { tensor, zero, .. }, _) => *zero = zero_of(*tensor) ^ kernels.sign_xor,
            (Work::Conv { groups, .. }, Op::Conv(conv)) => {
                let all = groups.iter_mut().enumerate();
                all.for_each(|(group, packed)| packed.set_params(conv, group, zero_of(node.inputs[0]), kernels));
            }
            (Work::Joined { packed, .. }, _) => {
                for (index, node) in (0..packed.parts.len()).zip(&graph.nodes[self.node..]) {
                    if let Op::Conv(conv) = &node.op {
                        packed.renumber_part(index, conv, zero_of(node.inputs[0]), kernels);
                    }
                }
            }
            (Work::Depthwise { packed, .. }, Op::Conv(conv)) => {
                packed.set_params(conv, zero_of(node.inputs[0]), kernels);
            }
            (Work::Winograd(packed), Op::Conv(conv)) => packed.set_params(conv, zero_of(node.inputs[0]), kernels),
            (Work::Wide(wide), Op::Conv(conv)) => wide.set_params(conv, zero_of(node.inputs[0]), kernels),
            (Work::Table(to, ..), Op::Table(from)) => **to = kernels.sign_xored(from),
            (Work::Tables(to, ..), Op::Tables(from)) => {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = kernels.sign_xored(from));
            }
            (Work::Add(sum, ..), Op::Add { multipliers }) => *sum = Sum { multipliers: *multipliers, zeros: zeros() },
            (Work::Mul(product, ..), Op::Mul { multiplier }) => {
                *product = Product { multiplier: *multiplier, zeros: zeros() };
            }
            (Work::Attention(step), Op::Attention(attention)) => {
                let [q, k, v] = [node.inputs[0], node.inputs[1], node.inputs[2]].map(zero_of);
                step.set_params(attention, [q, k, v, zero_of(node.output)]);
            }
            _ => {}
        }
    }

    /// Bytes of packed weights.
    pub fn bytes(&self) -> usize {
        match &self.work {
            Work::Conv { groups, .. } => groups.iter().map(PackedConv::bytes).sum(),
            Work::Joined { packed, .. } => packed.bytes(),
            Work::Depthwise { packed, .. } => packed.bytes(),
            Work::Winograd(conv) => conv.bytes(),
            Work::Wide(conv) => conv.bytes(),
            _ => 0,
        }
    }

    /// True if it takes fewer multiplications than its nodes have products.
    pub fn is_winograd(&self) -> bool {
        matches!(self.work, Work::Winograd(_))
    }

    /// Indices of the nodes that it does; gathers that were taken in count as the first one's.
    pub fn nodes(&self) -> Range<usize> {
        let count = if let Work::Joined { packed, .. } = &self.work { packed.parts.len() } else { 1 };
        self.node..self.node + count
    }

    /// Does share `part` of `parts`: a range of output rows.
    ///
    /// # Safety
    /// The arena has the size that the step was made for; steps run one after the other, and the
    /// shares of one step touch different rows; `kernels` runs on this processor and is the table
    /// that the weights were packed for.
    pub(super) unsafe fn run(&self, kernels: &Kernels, arena: &Arena, part: usize, parts: usize) {
        let base = arena.base();
        let share = |height: usize| height * part / parts..height * (part + 1) / parts;
        // Safety: every offset below lies inside the arena by `Step::new`.
        unsafe {
            match &self.work {
                Work::Border { inner, border, zero, rest, .. } => {
                    if part == 0 {
                        fill_border(base, inner, *border, *zero, *rest);
                    }
                }
                Work::Conv { groups, window, input, output } => {
                    let inputs = input.shape.channels / groups.len();
                    let outputs = output.shape.channels / groups.len();
                    let rows = rows_of(base, window, input, output, share(output.shape.height));
                    for (g, packed) in groups.iter().enumerate() {
                        let shifted =
                            Rows { input: rows.input.add(g * inputs), output: rows.output.add(g * outputs), ..rows };
                        (kernels.conv)(packed, &shifted);
                    }
                }
                Work::Joined { packed, window, input, output } => {
                    (kernels.conv)(packed, &rows_of(base, window, input, output, share(output.shape.height)));
                }
                Work::Depthwise { packed, window, input, output } => {
                    (kernels.depthwise)(packed, &rows_of(base, window, input, output, share(output.shape.height)));
                }
                Work::Winograd(conv) => conv.run(base, part, parts),
                Work::Wide(conv) => conv.run(base, share(conv.output().shape.height), part, kernels),
                Work::Table(table, from, to) => {
                    spans(from, to, share(to.shape.height), |a, b, count| {
                        (kernels.table)(table, base.add(a), base.add(b), count);
                    });
                }
                Work::Tables(tables, from, to) => {
                    for (y, x) in pixels(to, share(to.shape.height)) {
                        let (a, b) = (base.add(from.at(y, x)), base.add(to.at(y, x)));
                        for (c, table) in tables.iter().enumerate().take(to.shape.channels) {
                            b.add(c).write(table[usize::from(a.add(c).read())]);
                        }
                    }
                }
                Work::Copy(from, to) => {
                    spans(from, to, share(to.shape.height), |a, b, count| {
                        std::ptr::copy_nonoverlapping(base.add(a), base.add(b), count);
                    });
                }
                Work::Gather { offsets, stride, input, output } => {
                    let rows = share(output.shape.height);
                    let rows = Rows {
                        // an empty share may point one row further
                        input: base.wrapping_add(input.at(rows.start * stride[0], 0)),
                        input_pixel: stride[1] * input.pixel,
                        input_row: stride[0] * input.row,
                        output: base.wrapping_add(output.at(rows.start, 0)),
                        output_pixel: output.pixel,
                        output_row: output.row,
                        width: output.shape.width,
                        height: rows.len(),
                    };
                    (kernels.gather)(offsets, &rows);
                }
                Work::Add(sum, [a, b], output) => {
                    spans2(a, b, output, share(output.shape.height), |a, b, to, count| {
                        (kernels.add)(sum, base.add(a), base.add(b), base.add(to), count);
                    });
                }
                Work::Mul(product, [a, b], output) => {
                    spans2(a, b, output, share(output.shape.height), |a, b, to, count| {
                        (kernels.mul)(product, base.add(a), base.add(b), base.add(to), count);
                    });
                }
                Work::MaxPool(pool) => pool.run(base, share(pool.regions()[1].shape.height), part, kernels),
                Work::Attention(step) => step.run(base, share(step.output().shape.height), part, kernels),
                Work::MeanPool(window, from, to) => {
                    for (y, x) in pixels(to, share(to.shape.height)) {
                        let (rows, columns) = covered(window, from.shape, y, x);
                        let [dy, dx] = window.dilation;
                        let block = Block {
                            pixels: [rows.len().div_ceil(dy), columns.len().div_ceil(dx)],
                            steps: [dy * from.row, dx * from.pixel],
                        };
                        // a window with dilation may have no tap inside; then nothing is read
                        let first = base.wrapping_add(from.at(rows.start, columns.start));
                        (kernels.mean)(&block, first, base.add(to.at(y, x)), to.shape.channels);
                    }
                }
                // Safety: the place's regions lie inside the arena by `Step::new`.
                Work::Place(place) => place.run(base, share(place.regions()[1].shape.height), kernels.sign_xor),
                Work::Upsample(factor, from, to) => {
                    for (y, x) in pixels(to, share(to.shape.height)) {
                        let a = base.add(from.at(y / factor[0], x / factor[1]));
                        std::ptr::copy_nonoverlapping(a, base.add(to.at(y, x)), to.shape.channels);
                    }
                }
            }
        }
    }
}

/// The input rows and columns from the first to the last tap inside the input.
fn covered(window: &Window, input: Shape, y: usize, x: usize) -> (Range<usize>, Range<usize>) {
    let cut = |axis: usize, at: usize, size: usize| {
        let from = at * window.stride[axis];
        let reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let steps = window.pad[axis].saturating_sub(from).div_ceil(window.dilation[axis]);
        let first = (from + steps * window.dilation[axis]).saturating_sub(window.pad[axis]);
        first..(from + reach).saturating_sub(window.pad[axis]).min(size)
    };
    (cut(0, y, input.height), cut(1, x, input.width))
}

unsafe fn fill_border(
    base: *mut u8,
    inner: &TensorSpan,
    [top, left, bottom, right]: [usize; 4],
    zero: u8,
    rest: Option<u8>,
) {
    let origin = inner.first - top * inner.row - left * inner.pixel;
    let Shape { height, width, channels } = inner.shape;
    // Safety: the border lies inside the arena by `Step::new`.
    unsafe {
        let fill = |at: usize, bytes: usize| {
            std::ptr::write_bytes(base.add(at), zero, bytes);
            if let Some(rest) = rest {
                for pixel in (0..bytes).step_by(inner.pixel) {
                    std::ptr::write_bytes(base.add(at + pixel + channels / 2), rest, channels / 2);
                }
            }
        };
        fill(origin, top * inner.row);
        for y in 0..height {
            let row = origin + (top + y) * inner.row;
            fill(row, left * inner.pixel);
            fill(row + (left + width) * inner.pixel, right * inner.pixel);
        }
        fill(origin + (top + height) * inner.row, bottom * inner.row);
    }
}
