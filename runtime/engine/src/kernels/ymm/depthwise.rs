//! Depthwise convolutions on 256-bit vectors: sixteen channels at a time, two taps a multiplication.
//!
//! Windows of three by three and five by five share each column of widened and interleaved taps among the
//! pixels of a tile; others take their taps two by two, pixel by pixel.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::super::{PackedDepthwise, Rows};
use super::dot::{Dot, pack, round, widen};
use super::lookup::{Lookup, put};
use super::tiles::{PIXELS, tiles};

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

/// The sums of `P` pixels become their values.
///
/// Safety: see the module; the channels of the block are writable.
#[inline(always)]
unsafe fn put_pixels<D: Dot, const P: usize>(
    packed: &PackedDepthwise,
    constants: &Constants,
    lookup: Option<&Lookup>,
    sums: [[__m256i; 2]; P],
    output: *mut u8,
    [step, block]: [usize; 2],
) {
    // Safety: as above.
    unsafe {
        let [low, high] = constants.multiplier;
        let mut bytes = [_mm256_setzero_si256(); PIXELS / 2];
        for (bytes, sums) in bytes.iter_mut().zip(sums.chunks(2)) {
            let (a, b) = (sums[0], sums[sums.len() - 1]);
            let r = [round(a[0], low), round(a[1], high), round(b[0], low), round(b[1], high)];
            // of each half, eight channels of either pixel
            *bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(pack::<D>(r, constants.zero));
        }
        let channels = packed.channels - block;
        if P > 2 {
            put(bytes, lookup, output, step, P, channels);
        } else {
            put([bytes[0]], lookup, output, step, P, channels);
        }
    }
}

/// Two vectors of numbers of sixteen bits, interleaved.
#[inline(always)]
unsafe fn interleave(a: __m256i, b: __m256i) -> [__m256i; 2] {
    // Safety: see the module.
    unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
}

/// Sixteen channels with a square window of `KERNEL` by `KERNEL` taps, an odd number: two rows make one of `PAIRS`,
/// and of the last row two columns one of `LASTS`.
struct Columns<'a, const KERNEL: usize, const PAIRS: usize, const LASTS: usize> {
    packed: &'a PackedDepthwise,
    constants: Constants,
    lookup: Option<&'a Lookup>,
    block: usize,
    /// By (column, pair of rows).
    pairs: [[[__m256i; 2]; PAIRS]; KERNEL],
    /// By pair of columns; nothing is beside the last one.
    last: [[__m256i; 2]; LASTS],
}

impl<'a, const KERNEL: usize, const PAIRS: usize, const LASTS: usize> Columns<'a, KERNEL, PAIRS, LASTS> {
    /// Safety: see the module; `packed` has a window of this size, and weights are padded to whole blocks.
    #[inline(always)]
    unsafe fn new(packed: &'a PackedDepthwise, lookup: Option<&'a Lookup>, block: usize) -> Self {
        // Safety: as above.
        unsafe {
            let none = [_mm256_setzero_si256(); 2];
            let mut columns = Columns {
                packed,
                constants: Constants::of(packed, block),
                lookup,
                block,
                pairs: [[none; PAIRS]; KERNEL],
                last: [none; LASTS],
            };
            for column in 0..KERNEL {
                for pair in 0..PAIRS {
                    let (a, b) = (columns.weight(2 * pair, column), columns.weight(2 * pair + 1, column));
                    columns.pairs[column][pair] = interleave(a, b);
                }
            }
            for pair in 0..LASTS {
                let (row, column) = (KERNEL - 1, 2 * pair);
                let beside = if column + 1 < KERNEL { columns.weight(row, column + 1) } else { none[0] };
                columns.last[pair] = interleave(columns.weight(row, column), beside);
            }
            columns
        }
    }

    /// Safety: as for [`Columns::new`].
    #[inline(always)]
    unsafe fn weight(&self, row: usize, column: usize) -> __m256i {
        // Safety: sixteen weights of one tap.
        unsafe {
            let at = (row * KERNEL + column) * self.packed.bias.len() + self.block;
            _mm256_cvtepi8_epi16(_mm_loadu_si128(self.packed.weights.as_ptr().add(at).cast()))
        }
    }

    /// All pixels, whose windows are `STRIDE` columns of `column` bytes apart.
    ///
    /// Safety: as for `Kernels::depthwise`.
    #[inline(always)]
    unsafe fn run<D: Dot, const STRIDE: usize>(&self, rows: &Rows, column: usize) {
        for y in 0..rows.height {
            for (x, pixels) in tiles(rows.width) {
                // Safety: pixels (y, x..x + pixels) of the job.
                unsafe {
                    let input = rows.input.add(y * rows.input_row + x * rows.input_pixel + self.block);
                    let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + self.block);
                    match pixels {
                        1 => self.tile::<D, STRIDE, 1>(input, column, output, rows.output_pixel),
                        2 => self.tile::<D, STRIDE, 2>(input, column, output, rows.output_pixel),
                        3 => self.tile::<D, STRIDE, 3>(input, column, output, rows.output_pixel),
                        _ => self.tile::<D, STRIDE, PIXELS>(input, column, output, rows.output_pixel),
                    }
                }
            }
        }
    }

    /// Safety: the windows of `P` pixels are readable, and fifteen bytes behind them; their outputs are writable.
    #[inline(always)]
    #[expect(unused_assignments, reason = "nothing comes behind the last column")]
    unsafe fn tile<D: Dot, const STRIDE: usize, const P: usize>(
        &self,
        input: *const u8,
        column: usize,
        output: *mut u8,
        step: usize,
    ) {
        let mut rows = [0; KERNEL];
        for (row, offset) in rows.iter_mut().enumerate() {
            *offset = self.packed.taps[row * KERNEL];
        }
        // Safety: columns of the windows.
        unsafe {
            let mut sums = [self.constants.bias; P];
            let mut before = _mm256_setzero_si256();
            // written out column by column, so that every index is known and the sums stay in registers
            macro_rules! columns {
                ($($index:literal)*) => { $(
                    if $index < (P - 1) * STRIDE + KERNEL {
                        let at = input.add($index * column);
                        for pair in 0..PAIRS {
                            let a = widen::<D>(_mm_loadu_si128(at.add(rows[2 * pair]).cast()));
                            let b = widen::<D>(_mm_loadu_si128(at.add(rows[2 * pair + 1]).cast()));
                            let taps = interleave(a, b);
                            for (pixel, sums) in sums.iter_mut().enumerate() {
                                if pixel * STRIDE <= $index && $index - pixel * STRIDE < KERNEL {
                                    add::<D>(sums, taps, &self.pairs[$index - pixel * STRIDE][pair]);
                                }
                            }
                        }
                        let now = widen::<D>(_mm_loadu_si128(at.add(rows[KERNEL - 1]).cast()));
                        let taps = interleave(before, now);
                        for (pixel, sums) in sums.iter_mut().enumerate() {
                            // the column before, if it begins a pair of this pixel's
                            let nth: usize = $index - ($index).min(pixel * STRIDE);
                            if nth % 2 == 1 && nth <= KERNEL {
                                add::<D>(sums, taps, &self.last[nth / 2]);
                            }
                        }
                        if $index + 1 == (P - 1) * STRIDE + KERNEL {
                            add::<D>(&mut sums[P - 1], interleave(now, now), &self.last[LASTS - 1]);
                        }
                        before = now;
                    }
                )* };
            }
            columns!(0 1 2 3 4 5 6 7 8 9 10);
            put_pixels::<D, P>(self.packed, &self.constants, self.lookup, sums, output, [step, self.block]);
        }
    }
}

/// Adds the products of two taps.
#[inline(always)]
unsafe fn add<D: Dot>(sums: &mut [__m256i; 2], taps: [__m256i; 2], weights: &[__m256i; 2]) {
    // Safety: see the module.
    unsafe {
        sums[0] = D::dot_pairs(sums[0], taps[0], weights[0]);
        sums[1] = D::dot_pairs(sums[1], taps[1], weights[1]);
    }
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
        let to = output.add(block);
        put_pixels::<D, P>(packed, constants, lookup, sums, to, [rows.output_pixel, block]);
    }
}

/// See `Kernels::depthwise`, or `Kernels::depthwise_sums` for `SUMS`.
#[inline(always)]
pub unsafe fn depthwise<D: Dot, const SUMS: bool>(packed: &PackedDepthwise, rows: &Rows) {
    // columns of the input between two output pixels, if the columns of neighbours coincide
    let column = packed.taps.get(1).map_or(0, |tap| tap - packed.taps[0]);
    let stride = [1, 2].into_iter().find(|stride| rows.input_pixel == stride * column).filter(|_| !SUMS);
    // Safety: handed on.
    unsafe {
        let lookup = if SUMS { None } else { Lookup::activation(&packed.table) };
        let lookup = lookup.as_ref();
        for block in (0..packed.channels).step_by(CHANNELS) {
            match (packed.kernel, stride) {
                ([3, 3], Some(1)) => Columns::<3, 1, 2>::new(packed, lookup, block).run::<D, 1>(rows, column),
                ([3, 3], Some(2)) => Columns::<3, 1, 2>::new(packed, lookup, block).run::<D, 2>(rows, column),
                ([5, 5], Some(1)) => Columns::<5, 2, 3>::new(packed, lookup, block).run::<D, 1>(rows, column),
                ([5, 5], Some(2)) => Columns::<5, 2, 3>::new(packed, lookup, block).run::<D, 2>(rows, column),
                _ => pixel_by_pixel::<D, SUMS>(packed, lookup, rows, block),
            }
        }
    }
}

/// Windows of any shape. Safety: as for [`depthwise`]; `block` is a multiple of [`CHANNELS`] below the channels.
#[inline(always)]
unsafe fn pixel_by_pixel<D: Dot, const SUMS: bool>(
    packed: &PackedDepthwise,
    lookup: Option<&Lookup>,
    rows: &Rows,
    block: usize,
) {
    // Safety: handed on.
    unsafe {
        let constants = Constants::of(packed, block);
        for y in 0..rows.height {
            let mut x = 0;
            while x < rows.width {
                let (at, count) = ([y, x], 1 << (rows.width - x).min(PIXELS).ilog2());
                match count {
                    1 => pixels::<D, 1, SUMS>(packed, &constants, lookup, rows, block, at),
                    2 => pixels::<D, 2, SUMS>(packed, &constants, lookup, rows, block, at),
                    _ => pixels::<D, PIXELS, SUMS>(packed, &constants, lookup, rows, block, at),
                }
                x += count;
            }
        }
    }
}
