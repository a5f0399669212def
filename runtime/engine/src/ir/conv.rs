//! A convolution with everything that its store does.

use super::super::quant::Table;
use super::tensor::Shape;
use super::weights::Weights;
use super::wide::Wide;
use super::window::Window;

/// Most products in one sum, so that 255 * 127 * products stays in an i32.
pub const PRODUCTS_MAX: usize = 60_000;

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
    /// One an output channel, in units of scale_in * scale_weight.
    pub bias: Vec<i32>,
    /// One an output channel: scale_in * scale_weight / scale_pre; below zero where a factor behind
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

    /// Numbers a pixel of an input of this shape.
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
