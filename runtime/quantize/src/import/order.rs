//! Orders of a map's values that have an operation: each tells the operation, or that it is another.

use crate::network::RealOp;
use lapwing_engine::ir::{Shape, Source};

/// The input's (row, column, channel) of an output's.
type From<'a> = &'a dyn Fn(usize, usize, usize) -> (usize, usize, usize);

/// True if every output value comes from where it is expected.
pub(super) fn all(
    shape: Shape,
    output: From<'_>,
    expected: impl Fn(usize, usize, usize) -> (usize, usize, usize),
) -> bool {
    (0..shape.channels)
        .all(|c| (0..shape.height).all(|y| (0..shape.width).all(|x| output(y, x, c) == expected(y, x, c))))
}

/// Each pixel repeated a whole number of times.
pub(super) fn enlarged(shape: Shape, from: Shape, output: From<'_>) -> Option<RealOp> {
    let factor = [shape.height / from.height, shape.width / from.width];
    let whole = (from.height * factor[0], from.width * factor[1]) == (shape.height, shape.width);
    let fits = shape.channels == from.channels && factor.iter().all(|&f| f >= 1) && whole;
    (fits && all(shape, output, |y, x, c| (y / factor[0], x / factor[1], c))).then_some(RealOp::Upsample(factor))
}

/// Channels from one place a channel on, at steps.
pub(super) fn gathered(shape: Shape, _from: Shape, output: From<'_>) -> Option<RealOp> {
    let from: Vec<Source> = (0..shape.channels)
        .map(|c| {
            let (row, column, channel) = output(0, 0, c);
            Source { row, column, channel }
        })
        .collect();
    let down = if shape.height > 1 { output(1, 0, 0).0.checked_sub(from[0].row)? } else { 1 };
    let right = if shape.width > 1 { output(0, 1, 0).1.checked_sub(from[0].column)? } else { 1 };
    let fits = down >= 1
        && right >= 1
        && all(shape, output, |y, x, c| (y * down + from[c].row, x * right + from[c].column, from[c].channel));
    fits.then_some(RealOp::Gather { stride: [down, right], from })
}

/// Any rows and any columns.
pub(super) fn picked(shape: Shape, from: Shape, output: From<'_>) -> Option<RealOp> {
    let rows: Vec<usize> = (0..shape.height).map(|y| output(y, 0, 0).0).collect();
    let columns: Vec<usize> = (0..shape.width).map(|x| output(0, x, 0).1).collect();
    let fits = shape.channels == from.channels && all(shape, output, |y, x, c| (rows[y], columns[x], c));
    let narrow = |all: Vec<usize>| all.into_iter().map(|at| u16::try_from(at).ok()).collect();
    fits.then(|| RealOp::Pick { rows: narrow(rows), columns: narrow(columns), fill: 0.0 })
}

/// Channels that become pixels.
pub(super) fn spread(shape: Shape, from: Shape, output: From<'_>) -> Option<RealOp> {
    let block = [shape.height / from.height, shape.width / from.width];
    let [by, bx] = block;
    if by == 0 || bx == 0 || (from.height * by, from.width * bx) != (shape.height, shape.width) {
        return None;
    }
    let channels: Vec<usize> = (0..by * bx * shape.channels)
        .map(|at| {
            let (place, c) = (at / shape.channels, at % shape.channels);
            output(place / bx, place % bx, c).2
        })
        .collect();
    let fits = all(shape, output, |y, x, c| (y / by, x / bx, channels[((y % by) * bx + x % bx) * shape.channels + c]));
    fits.then_some(RealOp::DepthToSpace { block, from: channels })
}
