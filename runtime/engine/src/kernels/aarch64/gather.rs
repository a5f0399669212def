//! Channels of 64-bit ARM to other places: sixteen at a time, each found in windows of 64 bytes.

use std::arch::aarch64::*;

use super::super::Rows;
use super::super::gather::{WINDOWS_MAX, Windows, by_windows};
use super::{BYTES, store};

/// Bytes that one table instruction looks into.
const WINDOW: usize = 64;

/// `Kernels::gather`.
///
/// Safety: as stated there; a window may reach 63 bytes past the last source.
pub(in crate::kernels) unsafe fn gather(sources: &[usize], rows: &Rows) {
    // Safety: handed on.
    unsafe { by_windows(sources, rows, [looked_up::<1>, looked_up::<2>, looked_up::<WINDOWS_MAX>]) }
}

/// `count` channels of every pixel out of `N` windows.
///
/// Safety: as for `gather`.
unsafe fn looked_up<const N: usize>(windows: &Windows<BYTES, WINDOW>, count: usize, rows: &Rows) {
    // Safety: pixels of the job; NEON.
    unsafe {
        let mut places = [vdupq_n_u8(0); N];
        for (place, from) in places.iter_mut().zip(&windows.places) {
            *place = vld1q_u8(from.as_ptr());
        }
        for y in 0..rows.height {
            for x in 0..rows.width {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                let mut found = vdupq_n_u8(0);
                for (w, place) in places.into_iter().enumerate() {
                    let part = |i: usize| vld1q_u8(input.add(windows.offsets[w] + i * BYTES));
                    found = vqtbx4q_u8(found, uint8x16x4_t(part(0), part(1), part(2), part(3)), place);
                }
                store(found, rows.output.add(y * rows.output_row + x * rows.output_pixel), count);
            }
        }
    }
}
