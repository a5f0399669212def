//! The quantised network: what is computed, with no word about where or in which order of bytes.
//!
//! A [`Graph`] is a list of nodes in the order of their execution. Tensors are one picture each,
//! (height, width, channels) of u8; weights are i8 with one scale a channel, folded into
//! multipliers. Everything else (memory, padding, packing, threads) is decided by
//! [`super::plan`]; what the numbers must be is defined by [`super::reference`].

use serde::{Deserialize, Serialize};

use super::quant::{Quant, REQUANTISED_MAX, Table};

/// Largest height, width or channel count of a tensor.
pub const SIDE_MAX: usize = 1 << 14;
/// Largest number of elements of a tensor, and of bytes of all tensors of a graph.
pub const BYTES_MAX: usize = 1 << 30;
/// Largest number of nodes.
pub const NODES_MAX: usize = 1 << 14;
/// Most products in one sum, so that 255 * 127 * products stays in an i32.
pub const PRODUCTS_MAX: usize = 60_000;

/// Index of a tensor in [`Graph::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(pub u32);

impl TensorId {
    /// As an index.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// Extents of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values a pixel.
    pub channels: usize,
}

impl Shape {
    /// Number of values.
    pub fn elements(self) -> usize {
        self.height * self.width * self.channels
    }
}

/// A value that flows between nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Extents.
    pub shape: Shape,
    /// What the numbers stand for.
    pub quant: Quant,
}

/// Geometry of a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step down and to the right.
    pub stride: [usize; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
    /// Rows and columns added at the top, left, bottom and right.
    pub pad: [usize; 4],
}

impl Window {
    /// Height and width of the output; `None` if the window does not fit once.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let extent = |axis: usize, size: usize| {
            let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let padded = size + self.pad[axis] + self.pad[axis + 2];
            Some(padded.checked_sub(reach)? / self.stride[axis] + 1)
        };
        Some((extent(0, height)?, extent(1, width)?))
    }

    fn valid(&self) -> bool {
        let sane = |n: usize| (1..=256).contains(&n);
        self.kernel.iter().chain(&self.stride).chain(&self.dilation).all(|&n| sane(n))
            && self.pad.iter().all(|&n| n <= 256)
    }
}

/// A convolution with everything that its store does.
///
/// `out = table[clamp(round(multiplier[o] * (bias[o] + sum w * (in - zero_in))) + pre_zero)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Geometry; taps outside the input count as real zeros.
    pub window: Window,
    /// Channels are split into this many independent groups; = channels for a depthwise one.
    pub groups: usize,
    /// Weights in the order (output channel, row, column, input channel of the group), -127..=127.
    pub weights: Vec<i8>,
    /// One a output channel, in units of scale_in * scale_weight.
    pub bias: Vec<i32>,
    /// One a output channel: scale_in * scale_weight / scale_pre.
    pub multiplier: Vec<f32>,
    /// Zero point before the table.
    pub pre_zero: u8,
    /// The activation, if it is not a clamp.
    pub table: Option<Box<Table>>,
}

impl Conv {
    /// One filter a channel and nothing across channels.
    pub fn is_depthwise(&self, input: Shape) -> bool {
        self.groups == input.channels && self.groups == self.bias.len() && self.groups > 1
    }
}

/// Where [`Op::Gather`] takes a channel from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Added to the row.
    pub row: usize,
    /// Added to the column.
    pub column: usize,
    /// The input's channel.
    pub channel: usize,
}

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// See [`Conv`]. One input.
    Conv(Conv),
    /// Each value on its own. One input.
    Table(Box<Table>),
    /// `(a + b)` in real numbers, rounded to the output's quantisation:
    /// `round((a - zero_a) * multiplier_a + (b - zero_b) * multiplier_b) + zero`.
    Add {
        /// scale_a / scale_out and scale_b / scale_out.
        multipliers: [f32; 2],
    },
    /// `(a * b)`: `round((a - zero_a) * (b - zero_b) * multiplier) + zero`.
    /// The second input may be (1, 1, channels): one factor a channel.
    Mul {
        /// scale_a * scale_b / scale_out.
        multiplier: f32,
    },
    /// The greatest of each window; taps outside do not count. One input, the same quantisation.
    MaxPool(Window),
    /// The mean of each window, rounded to nearest even; taps outside do not count. One input, the
    /// same quantisation.
    MeanPool(Window),
    /// Each pixel becomes `factor[0]` x `factor[1]` of them. One input, the same quantisation.
    Upsample {
        /// Down and to the right.
        factor: [usize; 2],
    },
    /// Channels one after the other. All of one quantisation.
    Concat,
    /// Channels `start..start + channels of the output`. One input, the same quantisation.
    Slice {
        /// First channel.
        start: usize,
    },
    /// Output (y, x, c) is input (y * stride + row, x * stride + column, channel) of `from[c]`: a
    /// permutation of channels with stride 1, space to depth with a larger one. One input, the same
    /// quantisation.
    Gather {
        /// Down and to the right.
        stride: [usize; 2],
        /// One entry an output channel.
        from: Vec<Source>,
    },
}

impl Op {
    /// The operation's name in the field.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::Table(_) => "Table",
            Op::Add { .. } => "Add",
            Op::Mul { .. } => "Mul",
            Op::MaxPool(_) => "MaxPool",
            Op::MeanPool(_) => "MeanPool",
            Op::Upsample { .. } => "Upsample",
            Op::Concat => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Gather { .. } => "Gather",
        }
    }
}

/// One step of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The name in the file it came from, for messages and reports.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<TensorId>,
    /// What it writes, and nothing else writes.
    pub output: TensorId,
}

/// A part of an output of the original network that one tensor holds.
///
/// Value (y, x, c) of the tensor belongs at `base + y * strides[0] + x * strides[1] + c * strides[2]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The tensor.
    pub tensor: TensorId,
    /// Place of its first value.
    pub base: usize,
    /// Steps for the next row, column and channel.
    pub strides: [usize; 3],
}

/// An output of the original network: dequantised parts, each value from exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The name in the file it came from.
    pub name: String,
    /// Extents in the original network, row-major.
    pub shape: Vec<usize>,
    /// Where its values lie.
    pub parts: Vec<Part>,
}

/// A quantised network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// In the order of execution.
    pub nodes: Vec<Node>,
    /// Read first; nothing writes them. A detector has one.
    pub inputs: Vec<TensorId>,
    /// What the original network gave.
    pub outputs: Vec<Output>,
}

impl Graph {
    /// The tensor of `id`.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.at()]
    }

    /// Multiplications of one run.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|n| self.macs_of(n)).sum()
    }

    /// Multiplications of one node; zero for everything but convolutions.
    pub fn macs_of(&self, node: &Node) -> u64 {
        match &node.op {
            Op::Conv(conv) => {
                let out = self.tensor(node.output).shape;
                let [kh, kw] = conv.window.kernel;
                let per = kh * kw * (self.tensor(node.inputs[0]).shape.channels / conv.groups.max(1));
                (out.elements() * per) as u64
            }
            _ => 0,
        }
    }

    /// Everything that execution takes for granted. A graph from a file must pass before it is used.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        Check { graph: self, written: vec![false; self.tensors.len()] }.run()
    }
}

struct Check<'a> {
    graph: &'a Graph,
    written: Vec<bool>,
}

impl Check<'_> {
    fn run(mut self) -> Result<(), String> {
        let graph = self.graph;
        if graph.nodes.len() > NODES_MAX || graph.tensors.len() > 2 * NODES_MAX {
            return Err(format!("{} nodes are more than {NODES_MAX}", graph.nodes.len()));
        }
        let mut bytes = 0;
        for (index, tensor) in graph.tensors.iter().enumerate() {
            let Shape { height, width, channels } = tensor.shape;
            if [height, width, channels].iter().any(|&n| n == 0 || n > SIDE_MAX) {
                return Err(format!("tensor {index}: extents {:?}, each must be 1 to {SIDE_MAX}", tensor.shape));
            }
            if !(tensor.quant.scale.is_finite() && tensor.quant.scale > 0.0) {
                return Err(format!("tensor {index}: scale {}, it must be above zero", tensor.quant.scale));
            }
            bytes += tensor.shape.elements();
            if bytes > BYTES_MAX {
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
        graph
            .outputs
            .iter()
            .try_for_each(|output| self.output(output).map_err(|what| format!("output {:?}: {what}", output.name)))
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
            _ => 1..=1,
        };
        if !count.contains(&inputs.len()) {
            return Err(format!("it has {} inputs", inputs.len()));
        }
        let output = self.graph.tensors.get(node.output.at()).ok_or("its output does not exist")?;
        let found = output.shape;
        let expected = shape_of(&node.op, &inputs, found)?;
        if found != expected {
            return Err(format!("its output is {found:?}, it should be {expected:?}"));
        }
        numbers_of(&node.op, &inputs, output)?;
        self.write(node.output)
    }

    fn output(&self, output: &Output) -> Result<(), String> {
        let mut elements = 1usize;
        for &extent in &output.shape {
            elements = elements.checked_mul(extent).filter(|&n| n <= BYTES_MAX).ok_or("it is too large")?;
        }
        let mut filled = 0;
        for part in &output.parts {
            let shape = self.readable(part.tensor)?.shape;
            let last = [(shape.height, 0), (shape.width, 1), (shape.channels, 2)]
                .into_iter()
                .try_fold(part.base, |at, (n, axis)| at.checked_add((n - 1).checked_mul(part.strides[axis])?));
            if last.is_none_or(|last| last >= elements) {
                return Err("a part lies outside it".into());
            }
            filled += shape.elements();
        }
        if filled == elements { Ok(()) } else { Err(format!("its parts hold {filled} of {elements} values")) }
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
            let out = conv.bias.len();
            if conv.groups == 0 || !first.channels.is_multiple_of(conv.groups) || !out.is_multiple_of(conv.groups) {
                return Err(format!("{} groups do not divide {} and {out} channels", conv.groups, first.channels));
            }
            let [kh, kw] = conv.window.kernel;
            let products = kh.saturating_mul(kw).saturating_mul(first.channels / conv.groups);
            if products > PRODUCTS_MAX {
                return Err(format!("{products} products a value are more than {PRODUCTS_MAX}"));
            }
            if conv.weights.len() != products * out || conv.multiplier.len() != out {
                return Err("its weights do not fit its window and channels".into());
            }
            windowed(&conv.window, out)
        }
        Op::Table(_) => Ok(first),
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
        Op::Upsample { factor } if factor.iter().all(|f| (1..=16).contains(f)) => {
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
            let [sy, sx] = *stride;
            let inside = |s: &Source| {
                s.channel < first.channels && s.row < sy && s.column < sx && sy <= first.height && sx <= first.width
            };
            if !from.iter().all(inside) {
                return Err(format!("stride {stride:?}: it takes what its input has not"));
            }
            Ok(Shape { height: first.height / sy, width: first.width / sx, channels: from.len() })
        }
    }
}

/// Scales and sums that every instruction set computes alike.
fn numbers_of(op: &Op, inputs: &[&Tensor], output: &Tensor) -> Result<(), String> {
    let bounded = |value: f32, what: &str| {
        if value.is_finite() && value.abs() < REQUANTISED_MAX { Ok(()) } else { Err(format!("{what} is {value}")) }
    };
    match op {
        Op::Conv(conv) => {
            let per = conv.weights.len() / conv.bias.len().max(1);
            for (channel, weights) in conv.weights.chunks_exact(per.max(1)).enumerate() {
                if weights.contains(&i8::MIN) {
                    return Err(format!("channel {channel}: weight -128, the least is -127"));
                }
                // at most PRODUCTS_MAX of at most 127: it fits
                let magnitude: u32 = weights.iter().map(|w| u32::from(w.unsigned_abs())).sum();
                let sum = i64::from(magnitude) * 255 + i64::from(conv.bias[channel]).abs();
                if sum > i64::from(i32::MAX) {
                    return Err(format!("channel {channel}: its sum may exceed 32 bits"));
                }
                let multiplier = conv.multiplier[channel];
                if multiplier.is_nan() || multiplier < 0.0 {
                    return Err(format!("channel {channel}: multiplier {multiplier}"));
                }
                bounded(sum as f32 * multiplier, &format!("channel {channel}: its largest result"))?;
            }
            Ok(())
        }
        Op::Add { multipliers } => multipliers.iter().try_for_each(|m| bounded(m * 512.0, "the largest result")),
        Op::Mul { multiplier } => bounded(multiplier * 65_536.0, "the largest result"),
        Op::Table(_) => Ok(()),
        _ if inputs.iter().all(|t| t.quant == output.quant) => Ok(()),
        _ => Err("input and output stand for different numbers".into()),
    }
}
