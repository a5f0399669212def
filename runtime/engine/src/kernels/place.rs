//! Steps that put values of one tensor to other places of another.

use std::ops::Range;

use super::super::ir::Between;
use super::tensor_span::{TensorSpan, pixels};

/// A movement over the whole of two regions.
#[derive(Debug)]
pub enum Place {
    /// See `ir::Op::Pick`.
    Pick {
        /// The input's row of each output row.
        rows: Vec<Option<u16>>,
        /// The input's column of each output column.
        columns: Vec<Option<u16>>,
        /// Stands where there is none.
        fill: u8,
        /// The input.
        input: TensorSpan,
        /// The output.
        output: TensorSpan,
    },
    /// See `ir::Op::DepthToSpace`.
    DepthToSpace {
        /// Down and to the right.
        block: [usize; 2],
        /// The input's channels, place by place of the block.
        from: Vec<usize>,
        /// The input.
        input: TensorSpan,
        /// The output.
        output: TensorSpan,
    },
    /// See `ir::Op::Bilinear`.
    Bilinear {
        /// One entry an output row.
        rows: Vec<Between>,
        /// One entry an output column.
        columns: Vec<Between>,
        /// The input.
        input: TensorSpan,
        /// The output.
        output: TensorSpan,
    },
}

impl Place {
    /// The input and the output.
    pub fn regions(&self) -> [TensorSpan; 2] {
        match self {
            Place::Pick { input, output, .. }
            | Place::DepthToSpace { input, output, .. }
            | Place::Bilinear { input, output, .. } => [*input, *output],
        }
    }

    /// Writes `share`, a range of the output's rows; values lie in memory as `value ^ sign_xor`.
    ///
    /// # Safety
    /// Both regions lie inside the memory at `base`; nobody else touches these rows of the output or
    /// writes the input; the operation passes `Graph::check` for these regions.
    pub unsafe fn run(&self, base: *mut u8, share: Range<usize>, sign_xor: u8) {
        // Safety: rows, columns and channels are those of the input by `Graph::check`.
        unsafe {
            match self {
                Place::Pick { rows, columns, fill, input, output } => {
                    let channels = output.shape.channels;
                    for (y, x) in pixels(output, share) {
                        let to = base.add(output.at(y, x));
                        if let (Some(row), Some(column)) = (rows[y], columns[x]) {
                            let from = base.add(input.at(usize::from(row), usize::from(column)));
                            std::ptr::copy_nonoverlapping(from, to, channels);
                        } else {
                            std::ptr::write_bytes(to, fill ^ sign_xor, channels);
                        }
                    }
                }
                Place::DepthToSpace { block: [by, bx], from, input, output } => {
                    let channels = output.shape.channels;
                    for (y, x) in pixels(output, share) {
                        let (a, to) = (base.add(input.at(y / by, x / bx)), base.add(output.at(y, x)));
                        let first = ((y % by) * bx + x % bx) * channels;
                        for (c, &channel) in from[first..first + channels].iter().enumerate() {
                            to.add(c).write(a.add(channel).read());
                        }
                    }
                }
                Place::Bilinear { rows, columns, input, output } => {
                    for (y, x) in pixels(output, share) {
                        let (row, column) = (rows[y], columns[x]);
                        let at = |y: u16, x: u16| base.add(input.at(usize::from(y), usize::from(x)));
                        let [a, b] = [column.first, column.second].map(|x| at(row.first, x));
                        let [c, d] = [column.first, column.second].map(|x| at(row.second, x));
                        let to = base.add(output.at(y, x));
                        for i in 0..output.shape.channels {
                            let value = |p: *mut u8| p.add(i).read() ^ sign_xor;
                            let mixed = Between::bilinear(row, column, [a, b].map(value), [c, d].map(value));
                            to.add(i).write(mixed ^ sign_xor);
                        }
                    }
                }
            }
        }
    }
}
