//! Where the values of a tensor lie in the arena.

use std::ops::Range;

use super::super::ir::Shape;

/// A tensor's bytes: values (y, x, c) at `first + y * row + x * pixel + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorSpan {
    /// Offset of the first value.
    pub first: usize,
    /// Bytes to the next row.
    pub row: usize,
    /// Bytes to the next pixel.
    pub pixel: usize,
    /// Extents.
    pub shape: Shape,
}

impl TensorSpan {
    pub(super) fn at(&self, y: usize, x: usize) -> usize {
        self.first + y * self.row + x * self.pixel
    }

    /// Offset of what lies so many rows, columns and bytes behind the first value. For checks: in 64 bits, also
    /// where the region is not inside any memory.
    pub(super) fn reach(&self, rows: usize, columns: usize, bytes: usize) -> u64 {
        let steps = |count: usize, step: usize| (count as u64).saturating_mul(step as u64);
        let parts = [steps(rows, self.row), steps(columns, self.pixel), bytes as u64];
        parts.into_iter().fold(self.first as u64, u64::saturating_add)
    }

    /// Offset behind the last value; see [`TensorSpan::reach`].
    pub(super) fn end(&self) -> u64 {
        let Shape { height, width, channels } = self.shape;
        self.reach(height.saturating_sub(1), width.saturating_sub(1), channels)
    }

    /// Bytes from the first of so many rows and columns before the first value to it; see [`TensorSpan::reach`].
    pub(super) fn before(&self, rows: usize, columns: usize) -> u64 {
        TensorSpan { first: 0, ..*self }.reach(rows, columns, 0)
    }

    /// True if a row is one run of bytes.
    pub(super) fn dense(&self) -> bool {
        self.pixel == self.shape.channels
    }
}

/// Row and column of each pixel of some rows.
pub(super) fn pixels(region: &TensorSpan, rows: Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let width = region.shape.width;
    rows.flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// Calls `run(from, to, count)` for runs of bytes that cover the rows.
pub(super) fn spans(from: &TensorSpan, to: &TensorSpan, rows: Range<usize>, mut run: impl FnMut(usize, usize, usize)) {
    for y in rows {
        if from.dense() && to.dense() {
            run(from.at(y, 0), to.at(y, 0), to.shape.width * to.shape.channels);
        } else {
            for x in 0..to.shape.width {
                run(from.at(y, x), to.at(y, x), to.shape.channels);
            }
        }
    }
}

/// Calls `run(a, b, to, count)` for runs of bytes that cover the rows; `b` may be one pixel for all.
pub(super) fn spans2(
    a: &TensorSpan,
    b: &TensorSpan,
    to: &TensorSpan,
    rows: Range<usize>,
    mut run: impl FnMut(usize, usize, usize, usize),
) {
    let one = b.shape.height == 1 && b.shape.width == 1;
    for y in rows {
        if a.dense() && b.dense() && to.dense() && !one {
            run(a.at(y, 0), b.at(y, 0), to.at(y, 0), to.shape.width * to.shape.channels);
        } else {
            for x in 0..to.shape.width {
                run(a.at(y, x), if one { b.first } else { b.at(y, x) }, to.at(y, x), to.shape.channels);
            }
        }
    }
}
