//! The quantized network: what is computed, with no word about where or in which order of bytes.
//!
//! A [`Graph`] is a list of nodes in the order of their execution. Tensors are one picture each,
//! (height, width, channels) of u8; weights are i8 with one scale a channel, folded into
//! multipliers. Everything else (memory, padding, packing, threads) is decided by
//! [`super::plan`]; what the numbers must be is defined by [`super::reference`].

pub mod attention;
mod check;
mod checked;
mod params;
mod signature;
mod weights;
mod wide;

use serde::{Deserialize, Serialize};

use super::quant::{Quant, Table};
use check::Check;

pub use attention::{Attention, AttentionHead};
pub use checked::Checked;
pub use params::{NodeParams, QuantParams};
pub use signature::Signature;
pub use weights::{WeightSums, Weights};
pub use wide::Wide;

/// Largest height, width or channel count of a tensor.
pub const SIDE_MAX: usize = 1 << 14;
/// Largest number of elements of a tensor, and of bytes of all tensors of a graph.
pub const BYTES_MAX: usize = 1 << 30;
/// Largest number of values of all outputs.
pub const OUTPUT_VALUES_MAX: usize = 1 << 28;
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
    /// Number of values; `usize::MAX`, which nothing has, where that does not hold it. Exact for the tensors
    /// of a [`Checked`] graph.
    pub fn elements(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Number of values of a tensor; `None` where an extent is zero or above [`SIDE_MAX`], or where they are
    /// more than [`BYTES_MAX`].
    pub fn tensor_elements(self) -> Option<usize> {
        let Shape { height, width, channels } = self;
        let sane = [height, width, channels].iter().all(|n| (1..=SIDE_MAX).contains(n));
        Some(self.elements()).filter(|&n| sane && n <= BYTES_MAX)
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
/// `out = table[clamp(round(multiplier[o] * (bias[o] + sum w * (in - zero_in))) + pre_zero)]`; an end
/// of sixteen bits has a fraction beside it, see [`Wide`].
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Geometry; taps outside the input count as real zeros.
    pub window: Window,
    /// Channels are split into this many independent groups; = channels for a depthwise one.
    pub groups: usize,
    /// Weights in the order (output channel, row, column, input channel of the group), -127..=127.
    pub weights: Weights,
    /// One a output channel, in units of scale_in * scale_weight.
    pub bias: Vec<i32>,
    /// One a output channel: scale_in * scale_weight / scale_pre; below zero where a factor behind
    /// the convolution is.
    pub multiplier: Vec<f32>,
    /// Zero point before the table.
    pub pre_zero: u8,
    /// The activation, if it is not a clamp; none where the output has sixteen bits.
    pub table: Option<Box<Table>>,
    /// Ends of sixteen bits.
    pub wide: Wide,
}

impl Conv {
    /// One filter a channel and nothing across channels.
    pub fn is_depthwise(&self, input: Shape) -> bool {
        self.groups == self.channels(input) && self.groups == self.bias.len() && self.groups > 1
    }

    /// True if it stores through a function that is not a clamp.
    pub fn has_function(&self) -> bool {
        self.table.is_some() || self.wide.curve.is_some()
    }

    /// QuantParams a pixel of an input of this shape.
    pub fn channels(&self, input: Shape) -> usize {
        if self.wide.input { input.channels / 2 } else { input.channels }
    }

    /// The weights of each output channel.
    pub fn filters(&self) -> std::slice::ChunksExact<'_, i8> {
        self.weights.chunks_exact(self.products().max(1))
    }

    /// Products in the sum of one result, over the whole window.
    pub fn products(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
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
    /// Each value through the table of its channel; one table a channel. One input.
    Tables(Box<[Table]>),
    /// `(a + b)` in float32, rounded to the output's quantization:
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
    /// The greatest of each window; taps outside do not count. One input, the same quantization.
    MaxPool(Window),
    /// The mean of each window, rounded to nearest even; taps outside do not count. One input, the
    /// same quantization.
    MeanPool(Window),
    /// Each pixel becomes `factor[0]` x `factor[1]` of them. One input, the same quantization.
    Upsample {
        /// Down and to the right.
        factor: [usize; 2],
    },
    /// Channels one after the other. All of one quantization.
    Concat,
    /// Channels `start..start + channels of the output`. One input, the same quantization.
    Slice {
        /// First channel.
        start: usize,
    },
    /// Output (y, x, c) is input (y * stride + row, x * stride + column, channel) of `from[c]`: a
    /// permutation of channels or a crop with stride 1, space to depth with a larger one. The output
    /// may be as large as the input allows. One input, the same quantization.
    Gather {
        /// Down and to the right.
        stride: [usize; 2],
        /// One entry an output channel.
        from: Vec<Source>,
    },
    /// Output (y, x, c) is input (rows[y], columns[x], c), or `fill` where there is none: padding of
    /// any kind, enlargement to the nearest of any ratio. One input, the same quantization.
    Pick {
        /// The input's row of each output row.
        rows: Vec<Option<u16>>,
        /// The input's column of each output column.
        columns: Vec<Option<u16>>,
        /// Stands where there is none.
        fill: u8,
    },
    /// Output (y, x, c) is input (y / block, x / block, from[((y % block) * block + x % block) *
    /// channels + c]). One input, the same quantization.
    DepthToSpace {
        /// Down and to the right.
        block: [usize; 2],
        /// The input's channel of each output channel, place by place of the block.
        from: Vec<usize>,
    },
    /// Between two rows and two columns, linearly: see [`Between`]. One input, the same
    /// quantization.
    Bilinear {
        /// One entry an output row.
        rows: Vec<Between>,
        /// One entry an output column.
        columns: Vec<Between>,
    },
    /// Softmax of products of pixels, times values: see [`Attention`]. Three inputs: queries, keys, values.
    Attention(Box<Attention>),
}

/// A place between two of the input's rows or columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The row or column before.
    pub first: u16,
    /// The one behind.
    pub second: u16,
    /// The share of the second, in 1 / [`WEIGHT_ONE`].
    pub weight: u16,
}

/// The whole of a [`Between`]; so small that four products of two of them and a value fit 31 bits.
pub const WEIGHT_ONE: u16 = 1 << 11;

impl Between {
    /// The value between `first` and `second`, times [`WEIGHT_ONE`].
    pub fn mix(self, first: i32, second: i32) -> i32 {
        first * i32::from(WEIGHT_ONE - self.weight) + second * i32::from(self.weight)
    }

    /// The rounded value between four; halves are rounded up.
    pub fn bilinear(row: Between, column: Between, top: [u8; 2], bottom: [u8; 2]) -> u8 {
        let mixed = |pair: [u8; 2]| column.mix(i32::from(pair[0]), i32::from(pair[1]));
        const BITS: u32 = 2 * WEIGHT_ONE.trailing_zeros();
        ((row.mix(mixed(top), mixed(bottom)) + (1 << (BITS - 1))) >> BITS) as u8
    }
}

impl Op {
    /// The operation's name in the field.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::Table(_) => "Table",
            Op::Tables(_) => "Tables",
            Op::Add { .. } => "Add",
            Op::Mul { .. } => "Mul",
            Op::MaxPool(_) => "MaxPool",
            Op::MeanPool(_) => "MeanPool",
            Op::Upsample { .. } => "Upsample",
            Op::Concat => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Gather { .. } => "Gather",
            Op::Pick { .. } => "Pick",
            Op::DepthToSpace { .. } => "DepthToSpace",
            Op::Bilinear { .. } => "Bilinear",
            Op::Attention(_) => "Attention",
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

/// An output of the original network: dequantized parts, each value from exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The name in the file it came from.
    pub name: String,
    /// Extents in the original network, row-major.
    pub shape: Vec<usize>,
    /// Where its values lie.
    pub parts: Vec<Part>,
}

/// A quantized network.
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

impl Part {
    /// Places in the output of the tensor's values in the order (row, column, channel).
    pub fn places(&self, shape: Shape) -> impl Iterator<Item = usize> + use<> {
        let (base, [sy, sx, sc]) = (self.base, self.strides);
        let Shape { height, width, channels } = shape;
        let pixels = (0..height).flat_map(move |y| (0..width).map(move |x| base + y * sy + x * sx));
        pixels.flat_map(move |first| (0..channels).map(move |c| first + c * sc))
    }
}

impl Graph {
    /// Extents of the outputs.
    pub fn output_shapes(&self) -> Vec<Vec<usize>> {
        self.outputs.iter().map(|o| o.shape.clone()).collect()
    }

    /// The tensor of `id`.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.at()]
    }

    /// Multiplications of one run.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().fold(0, |macs: u64, n| macs.saturating_add(self.macs_of(n)))
    }

    /// Multiplications of one node; zero for everything but convolutions and attention.
    pub fn macs_of(&self, node: &Node) -> u64 {
        match &node.op {
            Op::Conv(conv) => {
                let Shape { height, width, .. } = self.tensor(node.output).shape;
                // the rests are multiplied like the values
                let ends = if conv.wide.input { 2 } else { 1 };
                [height, width, conv.weights.len(), ends].iter().fold(1, |macs: u64, &n| macs.saturating_mul(n as u64))
            }
            Op::Attention(attention) => attention.macs(),
            _ => 0,
        }
    }

    /// True if a convolution has an end of sixteen bits.
    pub fn is_wide(&self) -> bool {
        self.nodes.iter().any(|node| matches!(&node.op, Op::Conv(conv) if !conv.wide.is_none()))
    }

    /// By tensor: whether its channels are values and their rests, see [`Wide`].
    pub fn wide(&self) -> Vec<bool> {
        let mut wide = vec![false; self.tensors.len()];
        for node in &self.nodes {
            if let (Op::Conv(conv), Some(wide)) = (&node.op, wide.get_mut(node.output.at())) {
                *wide = conv.wide.output;
            }
        }
        wide
    }

    /// Everything that execution takes for granted; [`Checked::new`] keeps the proof.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        Check::of(self).run()
    }
}
