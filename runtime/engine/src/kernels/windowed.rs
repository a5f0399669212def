//! Where the windows of a convolution lie in memory.

use std::ops::Range;

use super::super::ir::Window;
use super::operands::Rows;
use super::tensor_span::TensorSpan;

/// Checks that what the windows of the output read lies inside the first `limit` bytes; a window reaches `reach` bytes
/// from its first tap on.
///
/// # Errors
/// What does not.
pub fn windowed(
    window: &Window,
    input: &TensorSpan,
    output: &TensorSpan,
    reach: usize,
    limit: u64,
) -> Result<(), String> {
    let before = input.before(window.pad[0], window.pad[1]);
    let [h, w] = [(output.shape.height, window.stride[0]), (output.shape.width, window.stride[1])]
        .map(|(size, step)| size.saturating_sub(1).saturating_mul(step));
    let last = input.reach(h, w, reach);
    // kernels read whole blocks and vectors: up to SLACK bytes of what follows the last channel
    let fits = before <= input.first as u64 && last - before <= limit && input.end() <= limit;
    if fits { Ok(()) } else { Err(format!("{window:?} on {input:?} leaves the arena")) }
}

/// The rows of pixels that the output's rows `rows` are computed from.
///
/// # Safety
/// [`windowed`] held for the memory at `base`.
#[inline]
pub unsafe fn rows_of(
    base: *mut u8,
    window: &Window,
    input: &TensorSpan,
    output: &TensorSpan,
    rows: Range<usize>,
) -> Rows {
    let first = input.first - window.pad[0] * input.row - window.pad[1] * input.pixel;
    let input_row = window.stride[0] * input.row;
    // Safety: inside the memory by `windowed`; an empty share may point one row further.
    let (from, to) = (base.wrapping_add(first + rows.start * input_row), base.wrapping_add(output.at(rows.start, 0)));
    Rows {
        input: from,
        input_pixel: window.stride[1] * input.pixel,
        input_row,
        output: to,
        output_pixel: output.pixel,
        output_row: output.row,
        width: output.shape.width,
        height: rows.len(),
    }
}
