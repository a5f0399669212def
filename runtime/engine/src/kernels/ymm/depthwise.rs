//! Depthwise convolutions on 256-bit vectors: sixteen channels at a time, two taps a multiplication.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::super::{PackedDepthwise, Rows};
use super::dot::{Dot, pack, round, widen};
use super::lookup::{Lookup, put};

/// Channels that are computed together.
const CHANNELS: usize = 16;

/// The constants of sixteen channels. Unpacking puts channels 0-3 and 8-11 into one vector of sums, 4-7 and
/// 12-15 into the other.
struct Constants {
    bias: [__m256i; 2],
    multiplier: [__m256; 2],
    zero: __m256i,
}

impl Constants {
    /// Safety: see the module; constants are padded to whole blocks.
    #[inline(always)]
    unsafe fn of(packed: &PackedDepthwise, block: usize) -> Constants {
        // Safety: as above.
        unsafe {
            let (bias, multiplier) = (packed.bias.as_ptr().add(block), packed.multiplier.as_ptr().add(block).cast());
            Constants {
                bias: [split(bias), split(bias.add(4))],
                multiplier: [_mm256_castsi256_ps(split(multiplier)), _mm256_castsi256_ps(split(multiplier.add(4)))],
                zero: _mm256_set1_epi16(i16::from(packed.pre_zero)),
            }
        }
    }
}

/// Four numbers, and the four that lie eight behind them. Safety: see the module; they can be read.
#[inline(always)]
unsafe fn split(from: *const i32) -> __m256i {
    // Safety: as above.
    unsafe { _mm256_set_m128i(_mm_loadu_si128(from.add(8).cast()), _mm_loadu_si128(from.cast())) }
}

/// `P` pixels of one row, 1, 2 or 4, in the channels of a block.
///
/// Safety: see the module; their taps and channels are the caller's to vouch for, and fifteen bytes behind
/// them are slack.
#[inline(always)]
unsafe fn pixels<D: Dot, const P: usize, const SUMS: bool>(
    packed: &PackedDepthwise,
    constants: &Constants,
    lookup: Option<&Lookup>,
    rows: &Rows,
    block: usize,
    [y, x]: [usize; 2],
) {
    // Safety: as above.
    unsafe {
        let input = rows.input.add(y * rows.input_row + x * rows.input_pixel + block);
        let output = rows.output.add(y * rows.output_row + x * rows.output_pixel);
        let mut weights = packed.weights.as_ptr().add(block);
        let padded = packed.bias.len();
        let mut sums = [constants.bias; P];
        for taps in packed.taps.chunks(2) {
            let mut w = [_mm256_setzero_si256(); 2];
            for w in w.iter_mut().take(taps.len()) {
                *w = _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.cast()));
                weights = weights.wrapping_add(padded);
            }
            let w = [_mm256_unpacklo_epi16(w[0], w[1]), _mm256_unpackhi_epi16(w[0], w[1])];
            // of an odd last tap the second weights are zero
            let (first, second) = (input.add(taps[0]), input.add(taps[taps.len() - 1]));
            for (pixel, sums) in sums.iter_mut().enumerate() {
                let a = widen::<D>(_mm_loadu_si128(first.add(pixel * rows.input_pixel).cast()));
                let b = widen::<D>(_mm_loadu_si128(second.add(pixel * rows.input_pixel).cast()));
                sums[0] = D::dot_pairs(sums[0], _mm256_unpacklo_epi16(a, b), w[0]);
                sums[1] = D::dot_pairs(sums[1], _mm256_unpackhi_epi16(a, b), w[1]);
            }
        }
        if SUMS {
            for (pixel, sums) in sums.iter().enumerate() {
                let to: *mut __m256i = output.add(pixel * rows.output_pixel + size_of::<i32>() * block).cast();
                _mm256_storeu_si256(to, _mm256_permute2x128_si256::<0x20>(sums[0], sums[1]));
                _mm256_storeu_si256(to.add(1), _mm256_permute2x128_si256::<0x31>(sums[0], sums[1]));
            }
            return;
        }
        let [low, high] = constants.multiplier;
        for (pair, sums) in sums.chunks(2).enumerate() {
            let (a, b) = (sums[0], sums[sums.len() - 1]);
            let r = [round(a[0], low), round(a[1], high), round(b[0], low), round(b[1], high)];
            // of each half, eight channels of either pixel
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(pack::<D>(r, constants.zero));
            let (to, step) = (output.add(2 * pair * rows.output_pixel + block), rows.output_pixel);
            put([bytes], lookup, to, step, sums.len(), packed.channels - block);
        }
    }
}

/// See `Kernels::depthwise`, or `Kernels::depthwise_sums` for `SUMS`.
#[inline(always)]
pub unsafe fn depthwise<D: Dot, const SUMS: bool>(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on.
    unsafe {
        let lookup = if SUMS { None } else { Lookup::activation(packed.table.as_deref(), packed.short.as_deref()) };
        let lookup = lookup.as_ref();
        for block in (0..packed.channels).step_by(CHANNELS) {
            let constants = Constants::of(packed, block);
            for y in 0..rows.height {
                let mut x = 0;
                while x < rows.width {
                    let (at, count) = ([y, x], 1 << (rows.width - x).min(4).ilog2());
                    match count {
                        1 => pixels::<D, 1, SUMS>(packed, &constants, lookup, rows, block, at),
                        2 => pixels::<D, 2, SUMS>(packed, &constants, lookup, rows, block, at),
                        _ => pixels::<D, 4, SUMS>(packed, &constants, lookup, rows, block, at),
                    }
                    x += count;
                }
            }
        }
    }
}
