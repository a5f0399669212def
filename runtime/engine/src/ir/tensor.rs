//! A tensor: one picture of u8, (height, width, channels), and what its numbers stand for.

use serde::{Deserialize, Serialize};

use super::super::quant::Quant;

/// Largest height, width or channel count of a tensor.
pub const SIDE_MAX: usize = 1 << 14;

/// Largest number of elements of a tensor, and of bytes of all tensors of a graph.
pub const BYTES_MAX: usize = 1 << 30;

/// Index of a tensor in [`Graph::tensors`](super::Graph::tensors).
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
    /// of a [`Checked`](super::Checked) graph.
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
