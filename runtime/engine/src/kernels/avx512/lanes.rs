//! Depthwise convolution of few channels with AVX-512: several pixels a vector.
//!
//! Up to sixteen channels need one of a vector's four lanes of 128 bits, up to thirty-two need two: the
//! others hold the next pixels of the row. The last vector of a row begins earlier where it must, and
//! writes some pixels twice.

use std::arch::x86_64::*;

use super::super::{PackedDepthwise, Rows};
use super::depthwise_store::{Store, interleave};

/// The pixels of a vector are apart as many bytes as their lanes have,
const DENSE: u8 = 0;
/// twice as many,
const TWICE: u8 = 1;
/// or any number.
const ANY: u8 = 2;

/// Computes the channels from `block` on, if they are few enough, the window has nine or twenty-five taps,
/// and a row fills a vector. Tells if it did.
///
/// Safety: as for `Kernels::depthwise`; `block` as for [`Store::new`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(in crate::kernels) unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows, block: usize) -> bool {
    let lanes = (packed.channels - block).div_ceil(16);
    if lanes > 2 || rows.width < 4 / lanes {
        return false;
    }
    // Safety: handed on.
    unsafe {
        match (packed.taps.len(), lanes, rows.input_pixel) {
            (9, 1, 16) => run::<9, 3, 1, DENSE>(packed, rows, block),
            (9, 1, 32) => run::<9, 3, 1, TWICE>(packed, rows, block),
            (9, 1, _) => run::<9, 3, 1, ANY>(packed, rows, block),
            (9, _, 32) => run::<9, 3, 2, DENSE>(packed, rows, block),
            (9, ..) => run::<9, 3, 2, ANY>(packed, rows, block),
            (25, 1, 16) => run::<25, 7, 1, DENSE>(packed, rows, block),
            (25, 1, 32) => run::<25, 7, 1, TWICE>(packed, rows, block),
            (25, 1, _) => run::<25, 7, 1, ANY>(packed, rows, block),
            (25, _, 32) => run::<25, 7, 2, DENSE>(packed, rows, block),
            (25, ..) => run::<25, 7, 2, ANY>(packed, rows, block),
            _ => return false,
        }
    }
    true
}

/// Windows of `TAPS` taps, `FOURS` times four; `LANES` a pixel.
///
/// Safety: as for [`depthwise`]; the window and the pixels are of this kind.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn run<const TAPS: usize, const FOURS: usize, const LANES: usize, const APART: u8>(
    packed: &PackedDepthwise,
    rows: &Rows,
    block: usize,
) {
    let pixels = 4 / LANES;
    let padded = packed.bias.len();
    // Safety: handed on.
    let (store, bias) = unsafe { Store::new(packed, block, LANES as i32) };
    let mut weights = [[_mm512_setzero_si512(); 4]; FOURS];
    let mut taps = [0; TAPS];
    taps.copy_from_slice(&packed.taps[..TAPS]);
    for (four, weights) in weights.iter_mut().enumerate() {
        let mut of = [_mm512_setzero_si512(); 4];
        for (tap, of) in (4 * four..TAPS).zip(&mut of) {
            let from = packed.weights[tap * padded + block..][..32].as_ptr();
            // Safety: the slice has as many.
            *of = unsafe {
                if LANES == 1 {
                    _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast()))
                } else {
                    _mm512_broadcast_i64x4(_mm256_loadu_si256(from.cast()))
                }
            };
        }
        *weights = interleave(of);
    }
    for y in 0..rows.height {
        for first in (0..rows.width).step_by(pixels) {
            let x = first.min(rows.width - pixels);
            // Safety: pixels (y, x..x + pixels) of the job, for which the caller vouches; a lane or a vector
            // reaches less than SLACK behind the last one.
            unsafe {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel + block);
                let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + block);
                let mut sums = bias;
                for (four, weights) in weights.iter().enumerate() {
                    let mut of = [_mm512_setzero_si512(); 4];
                    for (i, of) in of.iter_mut().enumerate() {
                        if 4 * four + i < TAPS {
                            *of = read::<LANES, APART>(input.add(taps[4 * four + i]), rows.input_pixel);
                        }
                    }
                    let of = interleave(of);
                    for v in 0..4 {
                        sums[v] = _mm512_dpbusd_epi32(sums[v], of[v], weights[v]);
                    }
                }
                put::<LANES>(&store, sums, output, rows.output_pixel);
            }
        }
    }
}

/// One tap of the pixels of a vector.
///
/// Safety: `LANES` of 128 bits are readable at each, or the vectors that hold them all.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn read<const LANES: usize, const APART: u8>(at: *const u8, pixel: usize) -> __m512i {
    // Safety: as above.
    unsafe {
        if APART == DENSE {
            return _mm512_loadu_si512(at.cast());
        }
        if LANES == 2 {
            let first = _mm512_castsi256_si512(_mm256_loadu_si256(at.cast()));
            return _mm512_inserti64x4::<1>(first, _mm256_loadu_si256(at.add(pixel).cast()));
        }
        if APART == TWICE {
            let (first, second) = (_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(64).cast()));
            return _mm512_shuffle_i64x2::<0b10_00_10_00>(first, second);
        }
        let lane = |i: usize| _mm_loadu_si128(at.add(i * pixel).cast());
        let all = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(lane(0)), lane(1));
        _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(all, lane(2)), lane(3))
    }
}

/// The sums of a vector's pixels become their values.
///
/// Safety: the channels of each pixel are writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn put<const LANES: usize>(store: &Store, sums: [__m512i; 4], output: *mut u8, pixel: usize) {
    let bytes = store.bytes(sums);
    // Safety: as above.
    unsafe {
        if LANES == 1 {
            let mask = store.mask as u16;
            _mm_mask_storeu_epi8(output.cast(), mask, _mm512_castsi512_si128(bytes));
            _mm_mask_storeu_epi8(output.add(pixel).cast(), mask, _mm512_extracti32x4_epi32::<1>(bytes));
            _mm_mask_storeu_epi8(output.add(2 * pixel).cast(), mask, _mm512_extracti32x4_epi32::<2>(bytes));
            _mm_mask_storeu_epi8(output.add(3 * pixel).cast(), mask, _mm512_extracti32x4_epi32::<3>(bytes));
        } else {
            let mask = store.mask as u32;
            _mm256_mask_storeu_epi8(output.cast(), mask, _mm512_castsi512_si256(bytes));
            _mm256_mask_storeu_epi8(output.add(pixel).cast(), mask, _mm512_extracti64x4_epi64::<1>(bytes));
        }
    }
}
