//! What a node computes.

use serde::{Deserialize, Serialize};

use super::super::quant::Table;
use super::attention::Attention;
use super::conv::Conv;
use super::window::Window;

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
    /// Output (y, x, c) is input (`rows[y]`, `columns[x]`, c), or `fill` where there is none: padding of
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
