//! Where the values of a tensor lie in the arena.

use std::ops::Range;

use super::super::ir::Shape;

/// A tensor's bytes: values (y, x, c) at `first + y * row + x * pixel + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Offset of the first value.
    pub first: usize,
    /// Bytes to the next row.
    pub row: usize,
    /// Bytes to the next pixel.
    pub pixel: usize,
    /// Extents.
    pub shape: Shape,
}

impl Region {
    pub(super) fn at(&self, y: usize, x: usize) -> usize {
        self.first + y * self.row + x * self.pixel
    }

    pub(super) fn end(&self) -> usize {
        self.at(self.shape.height - 1, self.shape.width - 1) + self.shape.channels
    }

    /// True if a row is one run of bytes.
    pub(super) fn dense(&self) -> bool {
        self.pixel == self.shape.channels
    }
}

/// Row and column of each pixel of some rows.
pub(super) fn pixels(region: &Region, rows: Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let width = region.shape.width;
    rows.flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// Calls `run(from, to, count)` for runs of bytes that cover the rows.
pub(super) fn spans(from: &Region, to: &Region, rows: Range<usize>, mut run: impl FnMut(usize, usize, usize)) {
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
    a: &Region,
    b: &Region,
    to: &Region,
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
