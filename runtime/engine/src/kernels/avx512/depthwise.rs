//! Depthwise convolution with AVX-512 VNNI: sixty-four channels at a time; for few, see [`avx512_lanes`].
//!
//! Four taps that lie one below the other are interleaved so that one VPDPBUSD adds them. Windows of
//! three by three and five by five share each interleaved column among the pixels of a tile; others
//! take their taps four by four, pixel by pixel.

use std::arch::x86_64::*;

use super::super::packed::DEPTHWISE_CHANNELS;
use super::super::{PackedDepthwise, Rows};
use super::depthwise_store::{Store, interleave};
use super::lanes;

/// Most pixels of a tile: the sums of four pixels leave registers for a column and its weights.
const PIXELS_MAX: usize = 4;

/// `Kernels::depthwise`.
///
/// Safety: as stated there; only where `avx512::supported`.
pub(in crate::kernels) unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on.
    unsafe { depthwise_inner(packed, rows) }
}

/// Safety: as for `Kernels::depthwise`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn depthwise_inner(packed: &PackedDepthwise, rows: &Rows) {
    // columns of the input between two output pixels, if the columns of neighbours coincide
    let column = packed.taps.get(1).map_or(0, |tap| tap - packed.taps[0]);
    let stride = [1, 2].into_iter().find(|stride| rows.input_pixel == stride * column);
    for block in (0..packed.channels).step_by(DEPTHWISE_CHANNELS) {
        // Safety: handed on; a block begins at a multiple of its width.
        unsafe {
            if lanes::depthwise(packed, rows, block) {
                continue;
            }
            match (packed.kernel, stride) {
                ([3, 3], Some(1)) => Columns::<3, 1, 1>::new(packed, block).run(rows, column),
                ([3, 3], Some(2)) => Columns::<3, 1, 2>::new(packed, block).run(rows, column),
                ([5, 5], Some(1)) => Columns::<5, 2, 1>::new(packed, block).run(rows, column),
                ([5, 5], Some(2)) => Columns::<5, 2, 2>::new(packed, block).run(rows, column),
                _ => pixel_by_pixel::<false>(packed, rows, block),
            }
        }
    }
}

/// `Kernels::depthwise_sums`.
///
/// Safety: as stated there; only where `avx512::supported`.
pub(in crate::kernels) unsafe fn depthwise_sums(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on; a block begins at a multiple of its width.
    unsafe {
        for block in (0..packed.channels).step_by(DEPTHWISE_CHANNELS) {
            pixel_by_pixel::<true>(packed, rows, block);
        }
    }
}

/// Square windows of `KERNEL` by `KERNEL` taps, of whose rows four make one of `FOURS`, `STRIDE` columns
/// from pixel to pixel.
struct Columns<'a, const KERNEL: usize, const FOURS: usize, const STRIDE: usize> {
    packed: &'a PackedDepthwise,
    block: usize,
    bias: [__m512i; 4],
    store: Store,
    /// By (column, four rows).
    weights: [[[__m512i; 4]; FOURS]; KERNEL],
}

impl<'a, const KERNEL: usize, const FOURS: usize, const STRIDE: usize> Columns<'a, KERNEL, FOURS, STRIDE> {
    /// Safety: as [`Store::new`]; `packed` has a window of this size.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn new(packed: &'a PackedDepthwise, block: usize) -> Self {
        // Safety: handed on.
        let (store, bias) = unsafe { Store::new(packed, block, 4) };
        let padded = packed.bias.len();
        let weight = |row: usize, column: usize| {
            if row < KERNEL {
                let at = (row * KERNEL + column) * padded + block;
                // Safety: a whole block of the weights of one tap.
                unsafe { _mm512_loadu_si512(packed.weights[at..at + DEPTHWISE_CHANNELS].as_ptr().cast()) }
            } else {
                _mm512_setzero_si512()
            }
        };
        let mut weights = [[[_mm512_setzero_si512(); 4]; FOURS]; KERNEL];
        for (column, fours) in weights.iter_mut().enumerate() {
            for (four, taps) in fours.iter_mut().enumerate() {
                let tap = |i: usize| weight(4 * four + i, column);
                *taps = interleave([tap(0), tap(1), tap(2), tap(3)]);
            }
        }
        Columns { packed, block, bias, store, weights }
    }

    /// All pixels; those of a row are split into tiles as evenly as possible.
    ///
    /// Safety: as for `Kernels::depthwise`; the columns of the input are `column` bytes apart.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn run(&self, rows: &Rows, column: usize) {
        let tiles = rows.width.div_ceil(PIXELS_MAX);
        for y in 0..rows.height {
            let mut x = 0;
            for index in 0..tiles {
                let pixels = (rows.width - x).div_ceil(tiles - index);
                // Safety: pixels (y, x..x + pixels) of the job.
                unsafe {
                    let input = rows.input.add(y * rows.input_row + x * rows.input_pixel + self.block);
                    let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + self.block);
                    match pixels {
                        1 => self.tile::<1>(input, column, output, rows.output_pixel),
                        2 => self.tile::<2>(input, column, output, rows.output_pixel),
                        3 => self.tile::<3>(input, column, output, rows.output_pixel),
                        _ => self.tile::<4>(input, column, output, rows.output_pixel),
                    }
                }
                x += pixels;
            }
        }
    }

    /// Safety: the windows of `PIXELS` pixels are readable under the mask, their outputs writable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn tile<const PIXELS: usize>(&self, input: *const u8, column: usize, output: *mut u8, output_pixel: usize) {
        let zero = _mm512_setzero_si512();
        let mut rows = [0; KERNEL];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = self.packed.taps[i * KERNEL];
        }
        let mut sums = [self.bias; PIXELS];
        // written out column by column, so that every index is known and the sums stay in registers
        macro_rules! columns {
            ($($index:literal)*) => { $(
                if $index < (PIXELS - 1) * STRIDE + KERNEL {
                    for four in 0..FOURS {
                        let tap = |i: usize| match rows.get(4 * four + i) {
                            // Safety: a tap of one of the windows, masked to its channels.
                            Some(row) => unsafe {
                                _mm512_maskz_loadu_epi8(self.store.mask, input.add(row + $index * column).cast())
                            },
                            None => zero,
                        };
                        let taps = interleave([tap(0), tap(1), tap(2), tap(3)]);
                        for (pixel, sums) in sums.iter_mut().enumerate() {
                            if pixel * STRIDE <= $index && $index - pixel * STRIDE < KERNEL {
                                let weights = &self.weights[$index - pixel * STRIDE][four];
                                for v in 0..4 {
                                    sums[v] = _mm512_dpbusd_epi32(sums[v], taps[v], weights[v]);
                                }
                            }
                        }
                    }
                }
            )* };
        }
        columns!(0 1 2 3 4 5 6 7 8 9 10);
        for (pixel, sums) in sums.into_iter().enumerate() {
            // Safety: an output of this tile.
            unsafe { self.store.put(sums, output.add(pixel * output_pixel)) };
        }
    }
}

/// Windows of any shape; `SUMS` stores the sums themselves.
///
/// Safety: as for `Kernels::depthwise`, or `Kernels::depthwise_sums`; `block` as for [`Store::new`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn pixel_by_pixel<const SUMS: bool>(packed: &PackedDepthwise, rows: &Rows, block: usize) {
    let padded = packed.bias.len();
    let zero = _mm512_setzero_si512();
    // Safety: handed on.
    let (store, bias) = unsafe { Store::new(packed, block, 4) };
    for y in 0..rows.height {
        for x in 0..rows.width {
            // Safety: weights are padded to whole blocks; the taps of this pixel are the caller's to
            // vouch for, masked to its channels.
            unsafe {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel + block);
                let mut sums = bias;
                for (fours, taps) in packed.taps.chunks(4).enumerate() {
                    let read = |i: usize| match taps.get(i) {
                        Some(&tap) => _mm512_maskz_loadu_epi8(store.mask, input.add(tap).cast()),
                        None => zero,
                    };
                    let weight = |i: usize| match taps.get(i) {
                        Some(_) => {
                            _mm512_loadu_si512(packed.weights.as_ptr().add((4 * fours + i) * padded + block).cast())
                        }
                        None => zero,
                    };
                    let a = interleave([read(0), read(1), read(2), read(3)]);
                    let w = interleave([weight(0), weight(1), weight(2), weight(3)]);
                    for v in 0..4 {
                        sums[v] = _mm512_dpbusd_epi32(sums[v], a[v], w[v]);
                    }
                }
                let output = rows.output.add(y * rows.output_row + x * rows.output_pixel);
                if SUMS {
                    put_sums(sums, output.add(size_of::<i32>() * block));
                } else {
                    store.put(sums, output.add(block));
                }
            }
        }
    }
}

/// Sums in the order of [`interleave`] to that of their channels.
///
/// Safety: sixty-four sums are writable at `output`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn put_sums(sums: [__m512i; 4], output: *mut u8) {
    for (v, sum) in sums.into_iter().enumerate() {
        // Safety: channels 16 l + 4 v.. of each 128 bits l.
        unsafe {
            let at = |lane: usize| output.add(size_of::<i32>() * (16 * lane + 4 * v)).cast();
            _mm_storeu_si128(at(0), _mm512_extracti32x4_epi32::<0>(sum));
            _mm_storeu_si128(at(1), _mm512_extracti32x4_epi32::<1>(sum));
            _mm_storeu_si128(at(2), _mm512_extracti32x4_epi32::<2>(sum));
            _mm_storeu_si128(at(3), _mm512_extracti32x4_epi32::<3>(sum));
        }
    }
}
