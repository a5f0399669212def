//! Channels of x86-64 to other places: sixteen at a time in windows of sixteen bytes (PSHUFB), or 64 in
//! windows of 64 (VPERMB).

use std::arch::x86_64::*;

use super::gather::{NOWHERE, WINDOWS_MAX, Windows};
use super::{Rows, portable};

/// `Kernels::gather` with AVX2.
///
/// Safety: as stated there; a window may reach fifteen bytes past the last source.
#[target_feature(enable = "avx2")]
pub unsafe fn ymm(sources: &[usize], rows: &Rows) {
    const CHANNELS: usize = 16;
    for (index, sources) in sources.chunks(CHANNELS).enumerate() {
        let part = Rows { output: rows.output.wrapping_add(index * CHANNELS), ..*rows };
        // Safety: handed on.
        unsafe {
            match Windows::of(sources) {
                Some(windows) => match windows.count {
                    1 => ymm_windows::<1>(&windows, sources.len(), &part),
                    2 => ymm_windows::<2>(&windows, sources.len(), &part),
                    _ => ymm_windows::<WINDOWS_MAX>(&windows, sources.len(), &part),
                },
                None => portable::gather(sources, &part),
            }
        }
    }
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
                for (&place, offset) in places.iter().zip(windows.offsets) {
                    // a place outside has its highest bit set, which gives zero
                    let window = _mm_loadu_si128(input.add(offset).cast());
                    found = _mm_or_si128(found, _mm_shuffle_epi8(window, place));
                }
                store(found, rows.output.add(y * rows.output_row + x * rows.output_pixel), count);
            }
        }
    }
}

/// Writes the first `count` (1 to 16) bytes of a vector.
///
/// Safety: they are writable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(mut bytes: __m128i, mut to: *mut u8, count: usize) {
    // Safety: the parts are disjoint and add up to `count`.
    unsafe {
        if count == 16 {
            return _mm_storeu_si128(to.cast(), bytes);
        }
        if count & 8 != 0 {
            _mm_storel_epi64(to.cast(), bytes);
            (bytes, to) = (_mm_srli_si128::<8>(bytes), to.add(8));
        }
        if count & 4 != 0 {
            to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes));
            (bytes, to) = (_mm_srli_si128::<4>(bytes), to.add(4));
        }
        if count & 2 != 0 {
            to.cast::<i16>().write_unaligned(_mm_cvtsi128_si32(bytes) as i16);
            (bytes, to) = (_mm_srli_si128::<2>(bytes), to.add(2));
        }
        if count & 1 != 0 {
            to.write(_mm_cvtsi128_si32(bytes) as u8);
        }
    }
}

/// `Kernels::gather` with AVX-512 VBMI.
///
/// Safety: as stated there; a window may reach 63 bytes past the last source.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub unsafe fn zmm(sources: &[usize], rows: &Rows) {
    const CHANNELS: usize = 64;
    for (index, sources) in sources.chunks(CHANNELS).enumerate() {
        let part = Rows { output: rows.output.wrapping_add(index * CHANNELS), ..*rows };
        // Safety: handed on.
        unsafe {
            match Windows::of(sources) {
                Some(windows) => match windows.count {
                    1 => zmm_windows::<1>(&windows, sources.len(), &part),
                    2 => zmm_windows::<2>(&windows, sources.len(), &part),
                    _ => zmm_windows::<WINDOWS_MAX>(&windows, sources.len(), &part),
                },
                None => portable::gather(sources, &part),
            }
        }
    }
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
