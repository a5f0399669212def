//! The numbers of a graph, which may change while its structure stays.
//!
//! Having [`QuantParams`] one can change scales, zero points, biases, multipliers and tables in place, and
//! nothing else: no shape, no window, no weight, no count of anything.

use super::super::quant::{Quant, Table};
use super::graph::Graph;
use super::op::Op;

/// See the module.
pub struct QuantParams<'a>(&'a mut Graph);

/// Those of one node.
pub enum NodeParams<'a> {
    /// Of a convolution.
    Conv {
        /// See [`super::Conv::bias`].
        bias: &'a mut [i32],
        /// See [`super::Conv::multiplier`].
        multiplier: &'a mut [f32],
        /// See [`super::Conv::pre_zero`].
        pre_zero: &'a mut u8,
        /// See [`super::Conv::table`].
        table: Option<&'a mut Table>,
    },
    /// One table, or one a channel.
    Tables(&'a mut [Table]),
    /// Multipliers of a sum's two inputs.
    Add(&'a mut [f32; 2]),
    /// Multiplier of a product.
    Mul(&'a mut f32),
    /// It has none.
    None,
}

impl Graph {
    /// The numbers, to be changed; [`Graph::check`] holds no longer.
    pub fn numbers(&mut self) -> QuantParams<'_> {
        QuantParams(self)
    }
}

impl QuantParams<'_> {
    /// What the numbers of a tensor stand for.
    pub fn quant(&mut self, tensor: usize) -> Option<&mut Quant> {
        self.0.tensors.get_mut(tensor).map(|t| &mut t.quant)
    }

    /// Those of the node at `index`.
    pub fn node(&mut self, index: usize) -> NodeParams<'_> {
        match self.0.nodes.get_mut(index).map(|n| &mut n.op) {
            Some(Op::Conv(conv)) => NodeParams::Conv {
                bias: &mut conv.bias,
                multiplier: &mut conv.multiplier,
                pre_zero: &mut conv.pre_zero,
                table: conv.table.as_deref_mut(),
            },
            Some(Op::Table(table)) => NodeParams::Tables(std::slice::from_mut(table)),
            Some(Op::Tables(tables)) => NodeParams::Tables(tables),
            Some(Op::Add { multipliers }) => NodeParams::Add(multipliers),
            Some(Op::Mul { multiplier }) => NodeParams::Mul(multiplier),
            _ => NodeParams::None,
        }
    }
}
