//! Weights in the order in which kernels read them, and the numbers beside them.

use std::ops::Range;

use super::super::ir::WeightSums;
use super::super::quant::Table;
use super::memory::Piece;
use super::packed_table::PackedTable;

/// Output channels that a kernel computes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// First output channel.
    pub channel: usize,
    /// Output channels, without padding.
    pub channels: usize,
    /// Vectors of lanes.
    pub vectors: usize,
    /// Offset of its weights in [`PackedConv::weights`].
    pub weights: usize,
    /// Offset of its constants in [`PackedConv::bias`] and [`PackedConv::multiplier`].
    pub constants: usize,
}

/// One group of a dense convolution, or several convolutions of the same windows.
///
/// The window of a pixel is a few runs of bytes without a gap. Weights lie panel by panel; in a panel
/// by (run, block, lane, byte of the block); see `Kernels::block`. A run is padded with zero weights
/// to whole blocks.
#[derive(Debug)]
pub struct PackedConv {
    /// See [`Panel`].
    pub panels: Vec<Panel>,
    /// Packed weights.
    pub weights: Piece<i8>,
    /// The bias with the input's zero point folded in, padded to whole vectors.
    pub bias: Vec<i32>,
    /// Padded to whole vectors.
    pub multiplier: Vec<f32>,
    /// Zero point before the table.
    pub pre_zero: u8,
    /// The activation.
    pub table: PackedTable,
    /// The convolutions in the order of their channels, if there are several: then their zero points and
    /// activations stand for the ones above. Only where `Kernels::joins` is not 0.
    pub parts: Vec<Part>,
    /// Input offset of each run.
    pub taps: Vec<usize>,
    /// Length of a run in blocks.
    pub groups: usize,
    /// Length of a run in bytes.
    pub run: usize,
    /// How large the numbers before the rounding may become.
    pub reach: AccumulatorBound,
    /// Of the weights of each output.
    pub sums: Vec<WeightSums>,
}

/// One of several convolutions that are computed as one.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its output channels among those of all.
    pub channels: Range<usize>,
    /// Zero point before the table.
    pub pre_zero: u8,
    /// The activation.
    pub table: PackedTable,
}

/// Most convolutions that are computed as one.
pub const PARTS_MAX: usize = 8;

/// A depthwise convolution; channels are padded to a multiple of 64.
#[derive(Debug)]
pub struct PackedDepthwise {
    /// Channels, without padding.
    pub channels: usize,
    /// Rows and columns of taps.
    #[allow(dead_code, reason = "not every instruction set reads it")]
    pub kernel: [usize; 2],
    /// Weights by (tap, channel).
    pub weights: Piece<i8>,
    /// The bias with the input's zero point folded in.
    pub bias: Vec<i32>,
    /// One a channel.
    pub multiplier: Vec<f32>,
    /// Zero point before the table.
    pub pre_zero: u8,
    /// The activation.
    pub table: PackedTable,
    /// Input offset of each tap.
    pub taps: Vec<usize>,
    /// How large the numbers before the rounding may become.
    pub reach: AccumulatorBound,
    /// Of the weights of each channel.
    pub sums: Vec<WeightSums>,
}

/// Channels of [`PackedDepthwise`] are padded to a multiple of this.
pub const DEPTHWISE_CHANNELS: usize = 64;

/// Bounds of the numbers before the rounding, by the weights: where they are small, a float's own bits
/// do what conversions do, at less cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccumulatorBound {
    /// Nothing is known.
    Any,
    /// Every product with the multiplier is below [`RESULT_MAX`] in magnitude.
    SmallResults,
    /// And every sum is below [`SUM_MAX`].
    SmallSums,
}

/// See [`AccumulatorBound`]: an i16 holds the rounded number.
pub const RESULT_MAX: f32 = 32_000.0;

/// See [`AccumulatorBound`]: added to 1.5 * 2^23 it stays between 2^23 and 2^24, where a float's last bit is one.
pub const SUM_MAX: i64 = 1 << 22;

impl PackedConv {
    /// The zero point and the activation of an output channel.
    pub fn activation(&self, channel: usize) -> (u8, Option<&Table>) {
        match self.parts.iter().find(|part| part.channels.contains(&channel)) {
            Some(part) => (part.pre_zero, part.table.entries()),
            None => (self.pre_zero, self.table.entries()),
        }
    }

    /// From the first byte of a window to behind its last.
    pub fn extent(&self) -> usize {
        self.taps.iter().max().map_or(0, |tap| tap + self.run)
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        let constants = self.bias.len() + self.multiplier.len();
        self.weights.len() + 4 * constants + 8 * (self.taps.len() + self.sums.len())
    }
}

impl PackedDepthwise {
    /// From the first byte of a window to behind its last.
    pub fn extent(&self) -> usize {
        self.taps.iter().max().map_or(0, |tap| tap + self.channels)
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        let constants = self.bias.len() + self.multiplier.len();
        self.weights.len() + 4 * constants + 8 * (self.taps.len() + self.sums.len())
    }
}
