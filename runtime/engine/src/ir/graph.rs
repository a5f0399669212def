//! The graph: tensors, the nodes that compute them, and the original network's outputs in them.

use serde::{Deserialize, Serialize};

use super::op::Op;
use super::tensor::{Shape, Tensor, TensorId};

/// Largest number of values of all outputs.
pub const OUTPUT_VALUES_MAX: usize = 1 << 28;

/// Largest number of nodes.
pub const NODES_MAX: usize = 1 << 14;

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

    /// True if an operation is attention.
    pub fn has_attention(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.op, Op::Attention(_)))
    }

    /// True if a convolution has an end of sixteen bits.
    pub fn is_wide(&self) -> bool {
        self.nodes.iter().any(|node| matches!(&node.op, Op::Conv(conv) if !conv.wide.is_none()))
    }

    /// By tensor: whether its channels are values and their rests, see [`Wide`](super::Wide).
    pub fn wide(&self) -> Vec<bool> {
        let mut wide = vec![false; self.tensors.len()];
        for node in &self.nodes {
            if let (Op::Conv(conv), Some(wide)) = (&node.op, wide.get_mut(node.output.at())) {
                *wide = conv.wide.output;
            }
        }
        wide
    }
}
