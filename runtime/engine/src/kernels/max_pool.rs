//! The greatest value under a window, see `ir::Op::MaxPool`.
//!
//! A large window is taken in two passes: the maxima of the columns of a row of windows, which all
//! windows of the row share, then those of the windows. That reads `rows + columns` values a result
//! instead of `rows * columns`.

use std::ops::Range;

use super::super::ir::{Shape, Window};
use super::scratch::Scratch;
use super::set::Kernels;
use super::tensor_span::TensorSpan;

/// A max pool over the whole of two regions.
#[derive(Debug)]
pub struct MaxPool {
    window: Window,
    input: TensorSpan,
    output: TensorSpan,
    /// Maxima of columns.
    scratch: Scratch,
}

impl MaxPool {
    /// A part of `scratch` has [`MaxPool::scratch_bytes`] or more.
    pub fn new(window: Window, [input, output]: [TensorSpan; 2], scratch: Scratch) -> MaxPool {
        MaxPool { window, input, output, scratch }
    }

    /// Bytes of one thread's maxima of columns.
    pub fn scratch_bytes(window: &Window, input: Shape) -> usize {
        if two_passes(window) { input.width * input.channels } else { 0 }
    }

    /// The input and the output.
    pub fn regions(&self) -> [TensorSpan; 2] {
        [self.input, self.output]
    }

    /// Checks that its columns lie below `bytes`.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self, bytes: usize) -> Result<(), String> {
        self.scratch.check(MaxPool::scratch_bytes(&self.window, self.input.shape), bytes)
    }

    /// Writes `share`, a range of the output's rows.
    ///
    /// # Safety
    /// Both regions lie inside the memory at `base`, for which [`MaxPool::check`] held; nobody else touches these rows of the output or
    /// part `part` of the scratch, or writes the input; `kernels` runs on this processor.
    pub unsafe fn run(&self, base: *mut u8, share: Range<usize>, part: usize, kernels: &Kernels) {
        let Shape { width, channels, .. } = self.input.shape;
        let shape = Shape { height: 1, ..self.input.shape };
        let columns = TensorSpan { first: self.scratch.at(part), row: width * channels, pixel: channels, shape };
        for y in share {
            // taps outside the input are left out
            let taps = (0..self.window.kernel[0]).map(|tap| y * self.window.stride[0] + tap * self.window.dilation[0]);
            let rows =
                taps.filter_map(|row| row.checked_sub(self.window.pad[0])).filter(|y| *y < self.input.shape.height);
            // Safety: rows of the input, of the output and of this thread's scratch.
            unsafe {
                clear(base, &self.output, y, kernels.sign_xor);
                if two_passes(&self.window) {
                    clear(base, &columns, 0, kernels.sign_xor);
                    rows.for_each(|row| greatest(kernels, base, (&self.input, row, 0), (&columns, 0, 0), width));
                    self.across(kernels, base, (&columns, 0), y);
                } else {
                    rows.for_each(|row| self.across(kernels, base, (&self.input, row), y));
                }
            }
        }
    }

    /// Row `y` of the output takes in what its windows see of one row.
    ///
    /// Safety: as for [`MaxPool::run`]; the row is the input's, or as long.
    unsafe fn across(&self, kernels: &Kernels, base: *mut u8, (from, row): (&TensorSpan, usize), y: usize) {
        let (stride, pad) = (self.window.stride[1], self.window.pad[1]);
        let width = self.output.shape.width;
        for tap in 0..self.window.kernel[1] {
            let shift = tap * self.window.dilation[1];
            // output columns whose tap lies inside the input
            let begin = pad.saturating_sub(shift).div_ceil(stride);
            let end = (from.shape.width + pad).saturating_sub(shift).div_ceil(stride).min(width);
            let column = |x: usize| x * stride + shift - pad;
            // Safety: taps inside the row.
            unsafe {
                if begin < end && stride == 1 {
                    greatest(kernels, base, (from, row, column(begin)), (&self.output, y, begin), end - begin);
                } else {
                    for x in begin..end {
                        greatest(kernels, base, (from, row, column(x)), (&self.output, y, x), 1);
                    }
                }
            }
        }
    }
}

/// True if two passes read less.
fn two_passes(window: &Window) -> bool {
    let [rows, columns] = window.kernel;
    rows * columns > rows * window.stride[1] + columns
}

/// The least value, which also stands where a window with dilation has no tap inside.
///
/// Safety: the row lies inside the memory at `base` and nobody else touches it.
unsafe fn clear(base: *mut u8, region: &TensorSpan, y: usize, least: u8) {
    let Shape { width, channels, .. } = region.shape;
    let (pixels, bytes) = if region.dense() { (1, width * channels) } else { (width, channels) };
    // Safety: pixels of the row.
    (0..pixels).for_each(|x| unsafe { std::ptr::write_bytes(base.add(region.at(y, x)), least, bytes) });
}

/// `count` pixels from (region, row, column) on take in as many others.
///
/// Safety: both lie inside the memory at `base`; nobody else touches the second.
unsafe fn greatest(
    kernels: &Kernels,
    base: *mut u8,
    (from, row, column): (&TensorSpan, usize, usize),
    (to, y, x): (&TensorSpan, usize, usize),
    count: usize,
) {
    let channels = to.shape.channels;
    let (pixels, bytes) = if from.dense() && to.dense() { (1, count * channels) } else { (count, channels) };
    for pixel in 0..pixels {
        // Safety: pixels of both rows.
        unsafe { (kernels.max)(base.add(from.at(row, column + pixel)), base.add(to.at(y, x + pixel)), bytes) };
    }
}
