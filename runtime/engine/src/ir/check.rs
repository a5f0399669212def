//! What execution takes for granted about a [`Graph`], proved node by node.
//!
//! A graph that passes needs no further check: every shape follows from its inputs', every value is
//! written once before it is read, every sum fits its type on every instruction set.

use super::super::int16::{GREATEST, LEAST};
use super::super::quant::REQUANTIZED_MAX;
use super::{
    BYTES_MAX, Between, Graph, NODES_MAX, Node, OUTPUT_VALUES_MAX, Op, Output, PRODUCTS_MAX, SIDE_MAX, Shape, Source,
    Tensor, TensorId, WEIGHT_ONE, WeightSums, Window,
};

struct Check<'a> {
    graph: &'a Graph,
    written: Vec<bool>,
    /// See [`Graph::wide`].
    wide: Vec<bool>,
}

impl<'a> Check<'a> {
    fn of(graph: &'a Graph) -> Check<'a> {
        Check { graph, written: vec![false; graph.tensors.len()], wide: graph.wide() }
    }

    fn run(mut self) -> Result<(), String> {
        let graph = self.graph;
        if graph.nodes.len() > NODES_MAX || graph.tensors.len() > 2 * NODES_MAX {
            return Err(format!("{} nodes are more than {NODES_MAX}", graph.nodes.len()));
        }
        let mut bytes = 0;
        for (index, tensor) in graph.tensors.iter().enumerate() {
            let elements = tensor.shape.tensor_elements().ok_or_else(|| {
                format!(
                    "tensor {index}: extents {:?}, each must be 1 to {SIDE_MAX}, and {BYTES_MAX} values at most",
                    tensor.shape
                )
            })?;
            scaled(tensor).map_err(|what| format!("tensor {index}: {what}"))?;
            bytes += elements as u64;
            if bytes > BYTES_MAX as u64 {
                return Err(format!("its tensors need more than {BYTES_MAX} bytes"));
            }
        }
        if graph.inputs.is_empty() {
            return Err("it has no input".into());
        }
        for &input in &graph.inputs {
            self.write(input).map_err(|e| format!("input: {e}"))?;
        }
        for node in &graph.nodes {
            self.node(node).map_err(|what| format!("node {:?} ({}): {what}", node.name, node.op.name()))?;
        }
        let mut values = 0;
        for output in &graph.outputs {
            values += self.output(output).map_err(|what| format!("output {:?}: {what}", output.name))?;
            if values > OUTPUT_VALUES_MAX as u64 {
                return Err(format!("its outputs have more than {OUTPUT_VALUES_MAX} values"));
            }
        }
        Ok(())
    }

    fn write(&mut self, id: TensorId) -> Result<(), String> {
        match self.written.get_mut(id.at()) {
            None => Err(format!("there is no tensor {}", id.0)),
            Some(true) => Err(format!("tensor {} is written twice", id.0)),
            Some(written) => {
                *written = true;
                Ok(())
            }
        }
    }

    fn readable(&self, id: TensorId) -> Result<&Tensor, String> {
        match self.written.get(id.at()) {
            Some(true) => Ok(self.graph.tensor(id)),
            _ => Err(format!("it reads tensor {}, which nothing before it writes", id.0)),
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        let inputs = node.inputs.iter().map(|&id| self.readable(id)).collect::<Result<Vec<_>, _>>()?;
        let count = match node.op {
            Op::Add { .. } | Op::Mul { .. } => 2..=2,
            Op::Concat => 1..=NODES_MAX,
            Op::Attention(_) => 3..=3,
            _ => 1..=1,
        };
        if !count.contains(&inputs.len()) {
            return Err(format!("it has {} inputs", inputs.len()));
        }
        let output = self.graph.tensors.get(node.output.at()).ok_or("its output does not exist")?;
        let found = output.shape;
        for (id, input) in node.inputs.iter().zip(&inputs) {
            let half = input.shape.channels / 2;
            match (&node.op, self.wide[id.at()]) {
                (Op::Conv(conv), wide) if conv.wide.input == wide => {}
                (Op::Slice { start }, true) if start.saturating_add(found.channels) <= half => {}
                (_, true) => return Err("it reads rests that it cannot use".into()),
                (Op::Conv(_), false) => return Err("it reads rests of a tensor that has none".into()),
                (_, false) => {}
            }
        }
        let expected = shape_of(&node.op, &inputs, found)?;
        if found != expected {
            return Err(format!("its output is {found:?}, it should be {expected:?}"));
        }
        weighed(&node.op)?;
        activated(&node.op)?;
        numbers_of(&node.op, inputs.iter().copied(), output, &mut weight_sums(&node.op))?;
        self.write(node.output)
    }

    /// Tells how many values it has.
    fn output(&self, output: &Output) -> Result<u64, String> {
        let mut elements = 1usize;
        for &extent in &output.shape {
            elements = elements.checked_mul(extent).filter(|&n| n <= OUTPUT_VALUES_MAX).ok_or("it is too large")?;
        }
        let (elements, mut filled) = (elements as u64, 0);
        for part in &output.parts {
            let shape = self.readable(part.tensor)?.shape;
            let last = [(shape.height, 0), (shape.width, 1), (shape.channels, 2)]
                .into_iter()
                .try_fold(part.base, |at, (n, axis)| at.checked_add((n - 1).checked_mul(part.strides[axis])?));
            if last.is_none_or(|last| last as u64 >= elements) {
                return Err("a part lies outside it".into());
            }
            filled += shape.elements() as u64;
        }
        if filled == elements { Ok(elements) } else { Err(format!("its parts hold {filled} of {elements} values")) }
    }
}

/// The output's shape; `found` serves where the operation leaves a choice.
fn shape_of(op: &Op, inputs: &[&Tensor], found: Shape) -> Result<Shape, String> {
    let first = inputs[0].shape;
    let windowed = |window: &Window, channels: usize| {
        if !window.valid() {
            return Err(format!("its window is {window:?}"));
        }
        let (height, width) = window.output(first.height, first.width).ok_or("its window is larger than its input")?;
        Ok(Shape { height, width, channels })
    };
    match op {
        Op::Conv(conv) => {
            let (input, out) = (conv.channels(first), conv.bias.len());
            if conv.groups == 0 || !input.is_multiple_of(conv.groups) || !out.is_multiple_of(conv.groups) {
                return Err(format!("{} groups do not divide {input} and {out} channels", conv.groups));
            }
            let [kh, kw] = conv.window.kernel;
            let products = kh.saturating_mul(kw).saturating_mul(input / conv.groups);
            if products > PRODUCTS_MAX {
                return Err(format!("{products} products a value are more than {PRODUCTS_MAX}"));
            }
            if Some(conv.weights.len()) != products.checked_mul(out) || conv.multiplier.len() != out {
                return Err("its weights do not fit its window and channels".into());
            }
            windowed(&conv.window, if conv.wide.output { out.saturating_mul(2) } else { out })
        }
        Op::Table(_) => Ok(first),
        Op::Tables(tables) if tables.len() == first.channels => Ok(first),
        Op::Tables(tables) => Err(format!("{} tables for {} channels", tables.len(), first.channels)),
        Op::Add { .. } if inputs[1].shape == first => Ok(first),
        Op::Mul { .. } if inputs[1].shape == first || inputs[1].shape == (Shape { height: 1, width: 1, ..first }) => {
            Ok(first)
        }
        Op::Add { .. } | Op::Mul { .. } => Err(format!("{first:?} and {:?} do not combine", inputs[1].shape)),
        Op::MaxPool(window) | Op::MeanPool(window) => {
            let fits = |axis: usize| {
                let reach = (window.kernel[axis] - 1) * window.dilation[axis];
                window.pad[axis] <= reach && window.pad[axis + 2] <= reach
            };
            let shape = windowed(window, first.channels)?;
            if fits(0) && fits(1) { Ok(shape) } else { Err("a window may lie outside the input".into()) }
        }
        Op::Upsample { factor } if factor.iter().all(|f| (1..=SIDE_MAX).contains(f)) => {
            Ok(Shape { height: first.height * factor[0], width: first.width * factor[1], ..first })
        }
        Op::Upsample { factor } => Err(format!("factor {factor:?}")),
        Op::Concat => {
            if inputs.iter().any(|t| (t.shape.height, t.shape.width) != (first.height, first.width)) {
                return Err("its inputs differ in height or width".into());
            }
            Ok(Shape { channels: inputs.iter().map(|t| t.shape.channels).sum(), ..first })
        }
        Op::Slice { start } => match start.checked_add(found.channels) {
            Some(end) if end <= first.channels => Ok(Shape { channels: found.channels, ..first }),
            _ => Err(format!("channels {start}.. are not in its input")),
        },
        Op::Gather { stride, from } => {
            let inside = |s: &Source| {
                let reach =
                    |at: usize, count: usize, step: usize| at.checked_add((count.max(1) - 1).checked_mul(step)?);
                s.channel < first.channels
                    && reach(s.row, found.height, stride[0]).is_some_and(|row| row < first.height)
                    && reach(s.column, found.width, stride[1]).is_some_and(|column| column < first.width)
            };
            if !from.iter().all(inside) {
                return Err(format!("stride {stride:?}: it takes what its input has not"));
            }
            Ok(Shape { channels: from.len(), ..found })
        }
        Op::Pick { rows, columns, .. } => {
            let inside = |picks: &[Option<u16>], size: usize| picks.iter().flatten().all(|&at| usize::from(at) < size);
            if !inside(rows, first.height) || !inside(columns, first.width) {
                return Err("it takes what its input has not".into());
            }
            Ok(Shape { height: rows.len(), width: columns.len(), ..first })
        }
        Op::DepthToSpace { block, from } => {
            let [by, bx] = *block;
            let parts = by.checked_mul(bx).filter(|&n| (1..=SIDE_MAX).contains(&n)).ok_or("its block")?;
            if !from.len().is_multiple_of(parts) || from.iter().any(|&c| c >= first.channels) {
                return Err(format!("block {block:?}: it takes what its input has not"));
            }
            Ok(Shape { height: first.height * by, width: first.width * bx, channels: from.len() / parts })
        }
        Op::Bilinear { rows, columns } => {
            let inside = |all: &[Between], size: usize| {
                all.iter().all(|b| usize::from(b.first.max(b.second)) < size && b.weight <= WEIGHT_ONE)
            };
            if !inside(rows, first.height) || !inside(columns, first.width) {
                return Err("it takes what its input has not".into());
            }
            Ok(Shape { height: rows.len(), width: columns.len(), ..first })
        }
        Op::Attention(attention) => attention.output([first, inputs[1].shape, inputs[2].shape], found),
    }
}

impl Graph {
    /// Everything that execution takes for granted; [`Checked::new`](super::Checked::new) keeps the proof.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        Check::of(self).run()
    }

    /// As [`Graph::check`] of one node of a graph that passed before its numbers changed; `sums` are
    /// those of a convolution's outputs, in their order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_numbers(&self, node: &Node, sums: &mut dyn Iterator<Item = WeightSums>) -> Result<(), String> {
        let inputs = || node.inputs.iter().map(|&id| self.tensor(id));
        let output = self.tensor(node.output);
        inputs().chain([output]).try_for_each(scaled)?;
        numbers_of(&node.op, inputs(), output, sums)
    }
}

fn scaled(tensor: &Tensor) -> Result<(), String> {
    let scale = tensor.quant.scale;
    if scale.is_finite() && scale > 0.0 { Ok(()) } else { Err(format!("scale {scale}, it must be above zero")) }
}

/// The activation is one for the output's bits, and stays in them.
fn activated(op: &Op) -> Result<(), String> {
    let Op::Conv(conv) = op else { return Ok(()) };
    match (&conv.table, &conv.wide.curve) {
        (Some(_), _) if conv.wide.output => Err("it writes sixteen bits through a table of eight".into()),
        (_, Some(_)) if !conv.wide.output => Err("it writes eight bits through a curve of sixteen".into()),
        (_, Some(curve)) if curve.iter().any(|q| !(LEAST..=GREATEST).contains(q)) => {
            Err("its curve leaves sixteen bits".into())
        }
        _ => Ok(()),
    }
}

/// Weights that every instruction set can multiply.
fn weighed(op: &Op) -> Result<(), String> {
    let Op::Conv(conv) = op else { return Ok(()) };
    if !conv.weights.contains(&i8::MIN) {
        return Ok(());
    }
    let channel = conv.filters().position(|weights| weights.contains(&i8::MIN));
    Err(format!("channel {}: weight -128, the least is -127", channel.unwrap_or(0)))
}

fn weight_sums(op: &Op) -> impl Iterator<Item = WeightSums> {
    let conv = if let Op::Conv(conv) = op { Some(conv) } else { None };
    conv.into_iter().flat_map(|conv| conv.filters().map(WeightSums::of))
}

/// Scales and sums that every instruction set computes alike; `sums` of a convolution's outputs.
fn numbers_of<'a>(
    op: &Op,
    mut inputs: impl Iterator<Item = &'a Tensor>,
    output: &Tensor,
    sums: &mut dyn Iterator<Item = WeightSums>,
) -> Result<(), String> {
    let bounded = |value: f32, what: &str| {
        if value.is_finite() && value.abs() < REQUANTIZED_MAX { Ok(()) } else { Err(format!("{what} is {value}")) }
    };
    match op {
        Op::Conv(conv) => {
            for (channel, (bias, multiplier)) in conv.bias.iter().zip(&conv.multiplier).enumerate() {
                let weights = sums.next().ok_or("its weights do not fit its channels")?;
                let sum = i64::from(weights.magnitude) * 255 + i64::from(*bias).abs();
                if sum > i64::from(i32::MAX) {
                    return Err(format!("channel {channel}: its sum may exceed 32 bits"));
                }
                bounded(sum as f32 * multiplier, "its largest result")
                    .map_err(|what| format!("channel {channel}: {what}"))?;
            }
            Ok(())
        }
        Op::Add { multipliers } => multipliers.iter().try_for_each(|m| bounded(m * 512.0, "the largest result")),
        Op::Mul { multiplier } => bounded(multiplier * 65_536.0, "the largest result"),
        Op::Attention(attention) => attention.check_numbers(),
        Op::Table(_) | Op::Tables(_) => Ok(()),
        _ if inputs.all(|t| t.quant == output.quant) => Ok(()),
        _ => Err("input and output stand for different numbers".into()),
    }
}
