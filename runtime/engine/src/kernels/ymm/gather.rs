//! Channels of x86-64 to other places: sixteen at a time in windows of sixteen bytes (PSHUFB), or 64 in
//! windows of 64 (VPERMB).

use std::arch::x86_64::*;

use super::super::Rows;
use super::super::gather::{NOWHERE, WINDOWS_MAX, Windows, by_windows};
use super::memory::store;

/// `Kernels::gather` with AVX2.
///
/// Safety: as stated there, and the processor has it; a window may reach fifteen bytes past the last source.
pub unsafe fn ymm(sources: &[usize], rows: &Rows) {
    // Safety: handed on.
    unsafe { by_windows(sources, rows, [ymm_windows::<1>, ymm_windows::<2>, ymm_windows::<WINDOWS_MAX>]) }
}

/// `count` channels of every pixel out of `N` windows.
///
/// Safety: as for `ymm`.
#[target_feature(enable = "avx2")]
unsafe fn ymm_windows<const N: usize>(windows: &Windows<16, 16>, count: usize, rows: &Rows) {
    // Safety: pixels of the job.
    unsafe {
        let mut places = [_mm_setzero_si128(); N];
        for (place, from) in places.iter_mut().zip(&windows.places) {
            *place = _mm_loadu_si128(from.as_ptr().cast());
        }
        for y in 0..rows.height {
            for x in 0..rows.width {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                let mut found = _mm_setzero_si128();
                for (w, &place) in places.iter().enumerate() {
                    // a place outside has its highest bit set, which gives zero
                    let window = _mm_loadu_si128(input.add(windows.offsets[w]).cast());
                    found = _mm_or_si128(found, _mm_shuffle_epi8(window, place));
                }
                store(found, rows.output.add(y * rows.output_row + x * rows.output_pixel), count);
            }
        }
    }
}

/// `Kernels::gather` with AVX-512 VBMI.
///
/// Safety: as stated there, and the processor has it; a window may reach 63 bytes past the last source.
pub unsafe fn zmm(sources: &[usize], rows: &Rows) {
    // Safety: handed on.
    unsafe { by_windows(sources, rows, [zmm_windows::<1>, zmm_windows::<2>, zmm_windows::<WINDOWS_MAX>]) }
}

/// `count` channels of every pixel out of `N` windows.
///
/// Safety: as for `zmm`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn zmm_windows<const N: usize>(windows: &Windows<64, 64>, count: usize, rows: &Rows) {
    let mask = u64::MAX >> (64 - count);
    // Safety: pixels of the job.
    unsafe {
        let (mut places, mut masks) = ([_mm512_setzero_si512(); N], [0; N]);
        for (w, from) in windows.places.iter().take(N).enumerate() {
            places[w] = _mm512_loadu_si512(from.as_ptr().cast());
            masks[w] = _mm512_cmpneq_epi8_mask(places[w], _mm512_set1_epi8(NOWHERE as i8));
        }
        for y in 0..rows.height {
            for x in 0..rows.width {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                let mut found = _mm512_setzero_si512();
                for w in 0..N {
                    let window = _mm512_loadu_si512(input.add(windows.offsets[w]).cast());
                    found = _mm512_mask_permutexvar_epi8(found, masks[w], places[w], window);
                }
                let output = rows.output.add(y * rows.output_row + x * rows.output_pixel);
                _mm512_mask_storeu_epi8(output.cast(), mask, found);
            }
        }
    }
}
