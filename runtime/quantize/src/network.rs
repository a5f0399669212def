//! The network in float32, as [`super::import`] finds it in tract's graph: maps of (channels,
//! height, width) and the operations that have an eight-bit rule.

use std::collections::HashMap;

use tract_onnx::prelude::{OutletId, TractResult, TypedModel};
use tract_onnx::tract_core::internal::*;

use lapwing_engine::ir::{AttentionHead, Between, Op, Shape, Source, Window};
use lapwing_engine::quant::Quant;

/// Index of a map in [`FloatNetwork::maps`].
pub type MapId = usize;

/// A value of shape (1, channels, height, width).
#[derive(Debug, Clone)]
pub struct Map {
    /// Extents.
    pub shape: Shape,
    /// Where tract computes it.
    pub outlet: OutletId,
    /// False if tract's values there come in another order than (channel, row, column).
    pub ordered: bool,
    /// The scale that the file states for it.
    pub quant: Option<Quant>,
    /// The region that writes it; what comes from tract has an even level, of which the next is the
    /// first region that can read it.
    pub level: usize,
}

/// A convolution in float32.
#[derive(Debug, Clone)]
pub struct RealConv {
    /// Geometry.
    pub window: Window,
    /// Independent groups of channels.
    pub groups: usize,
    /// (output channel, row, column, input channel of the group).
    pub weights: Vec<f32>,
    /// One an output channel.
    pub bias: Vec<f32>,
}

impl RealConv {
    /// Whether each filter reads one channel, that of its own number.
    pub fn is_depthwise(&self) -> bool {
        let area: usize = self.window.kernel.iter().product();
        self.groups == self.bias.len() && self.weights.len() == self.bias.len() * area
    }
}

/// What a node computes.
#[derive(Debug, Clone)]
pub enum RealOp {
    /// See [`RealConv`].
    Conv(RealConv),
    /// A function of each value.
    Pointwise(Function),
    /// Of two maps of one shape.
    Add,
    /// Of two maps of one shape, the first less the second.
    Sub,
    /// Of two maps of one shape, or the second (channels, 1, 1).
    Mul,
    /// The greatest of a window.
    MaxPool(Window),
    /// The mean of what a window covers.
    MeanPool(Window),
    /// Each pixel repeated.
    Upsample([usize; 2]),
    /// Channels one after the other.
    Concat,
    /// Channels and strides, see `ir::Op::Gather`.
    Gather {
        /// Down and to the right.
        stride: [usize; 2],
        /// One entry an output channel.
        from: Vec<Source>,
    },
    /// Rows and columns, see `ir::Op::Pick`.
    Pick {
        /// The input's row of each output row.
        rows: Vec<Option<u16>>,
        /// The input's column of each output column.
        columns: Vec<Option<u16>>,
        /// Stands where there is none.
        fill: f32,
    },
    /// See `ir::Op::DepthToSpace`.
    DepthToSpace {
        /// Down and to the right.
        block: [usize; 2],
        /// The input's channels, place by place of the block.
        from: Vec<usize>,
    },
    /// See `ir::Op::Bilinear`.
    Bilinear {
        /// One entry an output row.
        rows: Vec<Between>,
        /// One entry an output column.
        columns: Vec<Between>,
    },
    /// See [`RealAttention`]. Three maps: queries, keys, values.
    Attention(RealAttention),
}

/// Attention in float32, see `ir::Attention`.
#[derive(Debug, Clone)]
pub struct RealAttention {
    /// Pixels of an area.
    pub tokens: usize,
    /// Channels of a query and of a key.
    pub key: usize,
    /// Channels of a value.
    pub value: usize,
    /// Where each head's pixels and channels begin.
    pub heads: Vec<AttentionHead>,
    /// Products are multiplied with this before the softmax; above zero.
    pub factor: f32,
}

impl RealOp {
    /// True if the output takes its numbers from the inputs and stays in their range: all of them
    /// share one quantization.
    pub fn keeps_numbers(&self) -> bool {
        match self {
            RealOp::MaxPool(_)
            | RealOp::MeanPool(_)
            | RealOp::Upsample(_)
            | RealOp::Concat
            | RealOp::Gather { .. }
            | RealOp::Pick { .. }
            | RealOp::DepthToSpace { .. }
            | RealOp::Bilinear { .. } => true,
            RealOp::Conv(_) | RealOp::Pointwise(_) | RealOp::Add | RealOp::Sub | RealOp::Mul | RealOp::Attention(_) => {
                false
            }
        }
    }
}

/// A node of the network.
#[derive(Debug, Clone)]
pub struct RealNode {
    /// The name in the file.
    pub name: String,
    /// What it computes.
    pub op: RealOp,
    /// What it reads.
    pub inputs: Vec<MapId>,
    /// What it writes.
    pub output: MapId,
    /// The nodes of tract's graph that it stands for.
    pub origin: Vec<usize>,
    /// Nodes of one region run together; regions run in the order of their numbers.
    pub region: usize,
}

/// A part of an output that one map holds: as `ir::Part`.
#[derive(Debug, Clone)]
pub struct RealPart {
    /// The map.
    pub map: MapId,
    /// Place of its first value.
    pub base: usize,
    /// Steps for the next row, column and channel.
    pub strides: [usize; 3],
}

/// A value that leaves the regions, put together from maps.
#[derive(Debug, Clone)]
pub struct RealOutput {
    /// The name in the file.
    pub name: String,
    /// Where tract computes it.
    pub outlet: OutletId,
    /// Extents.
    pub shape: Vec<usize>,
    /// Where its values come from.
    pub parts: Vec<RealPart>,
}

/// A node that stays with tract, in float32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// Its number in tract's graph.
    pub node: usize,
    /// The name in the file.
    pub name: String,
    /// tract's name of the operation.
    pub op: String,
    /// Why no eight-bit rule covers it.
    pub why: String,
}

/// The nodes of a model that have an eight-bit rule, and those that have none.
#[derive(Debug, Clone)]
pub struct FloatNetwork {
    /// tract's graph, for running it in float32.
    pub model: TypedModel,
    /// All maps; the first is the picture.
    pub maps: Vec<Map>,
    /// Maps that no node writes: the picture, and what comes from nodes in float32.
    pub inputs: Vec<MapId>,
    /// In the order of execution.
    pub nodes: Vec<RealNode>,
    /// What it gives: the model's outputs, in their order, if nothing remains; else what the rest
    /// and the model's outputs take from the regions.
    pub outputs: Vec<RealOutput>,
    /// What stays with tract.
    pub remaining: Vec<Remaining>,
}

impl FloatNetwork {
    /// Multiply-accumulates of its convolutions for one picture.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|node| self.macs_of(node)).sum()
    }

    /// Those of a node; none where it is neither a convolution nor attention.
    pub fn macs_of(&self, node: &RealNode) -> u64 {
        let Shape { height, width, .. } = self.maps[node.output].shape;
        match &node.op {
            RealOp::Conv(conv) => conv.weights.len() as u64 * height as u64 * width as u64,
            RealOp::Attention(a) => (a.heads.len() * a.tokens * (a.key + a.value)) as u64 * a.tokens as u64,
            _ => 0,
        }
    }

    /// True if the file states the scales (QDQ), so that nothing is to be calibrated.
    pub fn has_own_scales(&self) -> bool {
        self.maps.iter().any(|m| m.quant.is_some())
    }

    /// The nodes that read each map.
    pub fn readers(&self) -> HashMap<MapId, Vec<usize>> {
        let mut readers: HashMap<MapId, Vec<usize>> = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&map| readers.entry(map).or_default().push(index));
        }
        readers
    }

    /// The operation of a node that moves or mixes values of one quantization.
    pub fn moving(&self, node: &RealNode, quant: Quant) -> Option<Op> {
        let (from, to) = (self.maps[*node.inputs.first()?].shape, self.maps[node.output].shape);
        Some(match &node.op {
            RealOp::MaxPool(window) => Op::MaxPool(*window),
            RealOp::MeanPool(window) => Op::MeanPool(*window),
            RealOp::Upsample(factor) => Op::Upsample { factor: *factor },
            RealOp::Concat => Op::Concat,
            RealOp::Gather { stride: [1, 1], from: sources }
                if (from.height, from.width) == (to.height, to.width)
                    && sources.iter().enumerate().all(|(i, s)| s.channel == sources[0].channel + i) =>
            {
                Op::Slice { start: sources[0].channel }
            }
            RealOp::Gather { stride, from } => Op::Gather { stride: *stride, from: from.clone() },
            RealOp::Pick { rows, columns, fill } => {
                Op::Pick { rows: rows.clone(), columns: columns.clone(), fill: quant.quantize(*fill) }
            }
            RealOp::DepthToSpace { block, from } => Op::DepthToSpace { block: *block, from: from.clone() },
            RealOp::Bilinear { rows, columns } => Op::Bilinear { rows: rows.clone(), columns: columns.clone() },
            RealOp::Conv(_) | RealOp::Pointwise(_) | RealOp::Add | RealOp::Sub | RealOp::Mul | RealOp::Attention(_) => {
                return None;
            }
        })
    }

    /// True if an output takes values from `map`.
    pub fn is_output(&self, map: MapId) -> bool {
        self.outputs.iter().flat_map(|o| &o.parts).any(|p| p.map == map)
    }
}

/// A function of one real number, made of tract's own operations.
#[derive(Debug, Clone)]
pub enum Function {
    /// The number itself.
    Argument,
    /// A constant.
    Constant(f32),
    /// An operation of tract on other functions.
    Apply(Box<dyn TypedOp>, Vec<Function>),
    /// The nearest number that eight bits can hold.
    Rounded(Quant, Box<Function>),
}

impl Function {
    /// Its values at `points`.
    ///
    /// # Errors
    /// tract's, if an operation fails.
    pub fn eval(&self, points: &[f32]) -> TractResult<Vec<f32>> {
        let argument = Tensor::from_shape(&[1, 1, 1, points.len()], points)?.into_tvalue();
        let value = self.tensor(&argument)?;
        let value = value.cast_to::<f32>()?;
        let view = value.as_plain_ram().context("a plain tensor")?;
        let found = view.as_slice::<f32>()?;
        match found {
            [constant] => Ok(vec![*constant; points.len()]),
            _ => Ok(found.to_vec()),
        }
    }

    fn tensor(&self, argument: &TValue) -> TractResult<TValue> {
        Ok(match self {
            Function::Argument => argument.clone(),
            Function::Constant(value) => tensor4(&[[[[*value]]]]).into_tvalue(),
            Function::Apply(op, arguments) => {
                let inputs = arguments.iter().map(|a| a.tensor(argument)).collect::<TractResult<TVec<_>>>()?;
                evaluate(op.as_ref(), inputs)?
            }
            Function::Rounded(quant, inner) => {
                let value = inner.tensor(argument)?;
                let value = value.cast_to::<f32>()?;
                let view = value.as_plain_ram().context("a plain tensor")?;
                let rounded: Vec<f32> =
                    view.as_slice::<f32>()?.iter().map(|&x| quant.real(quant.quantize(x))).collect();
                Tensor::from_shape(value.shape(), &rounded)?.into_tvalue()
            }
        })
    }

    /// Operations that it is made of.
    pub fn size(&self) -> usize {
        match self {
            Function::Argument | Function::Constant(_) => 0,
            Function::Apply(_, arguments) => 1 + arguments.iter().map(Function::size).sum::<usize>(),
            Function::Rounded(_, inner) => 1 + inner.size(),
        }
    }

    /// This function before its last rounding, and that rounding.
    pub fn unrounded(&self) -> (&Function, Option<Quant>) {
        match self {
            Function::Rounded(quant, inner) => (inner, Some(*quant)),
            other => (other, None),
        }
    }

    /// True if it changes no number by more than rounding in f32 does.
    ///
    /// # Errors
    /// tract's, if an operation fails.
    pub fn is_identity(&self) -> TractResult<bool> {
        let points: Vec<f32> = (-300..=300).map(|i| i as f32 * 0.37 + 0.001).collect();
        Ok(self.eval(&points)?.iter().zip(&points).all(|(f, x)| (f - x).abs() <= x.abs() * 1e-6))
    }

    /// The interval in which this function is the identity and outside of which it is constant
    /// (ReLU, ReLU6, Clip); `None` for any other function.
    ///
    /// # Errors
    /// tract's, if an operation fails.
    pub fn clamp(&self) -> TractResult<Option<(f32, f32)>> {
        const FAR: f32 = 1e6;
        let ends = self.eval(&[-FAR, FAR])?;
        let (low, high) = (ends[0], ends[1]);
        let points: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.01).chain([low, high]).collect();
        let same = self.eval(&points)?.iter().zip(&points).all(|(f, x)| *f == x.clamp(low.min(high), high));
        Ok((low <= high && same).then_some((low, high)))
    }
}

/// The first output of an operation that needs no plan around it.
pub(super) fn evaluate(op: &dyn TypedOp, inputs: TVec<TValue>) -> TractResult<TValue> {
    match op.eval_out_of_plan(inputs)? {
        Some(mut outputs) if !outputs.is_empty() => Ok(outputs.remove(0)),
        _ => bail!("it cannot be evaluated on its own"),
    }
}
