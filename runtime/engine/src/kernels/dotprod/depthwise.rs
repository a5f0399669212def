//! Depthwise convolution on 64-bit ARM with dot products.
//!
//! Where a window has three rows and three columns, the three bytes of a channel in a column lie
//! together after two rounds of interleaving, and one SDOT multiplies four channels of it. A column is
//! interleaved once and serves every window that it is part of.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::aarch64::depthwise::{self, block, in_blocks};
use super::super::aarch64::{ANY, SMALL_RESULTS, SMALL_SUMS, begin, by_bound, finish, xored_zero};
use super::super::packed::AccumulatorBound;
use super::super::{PackedDepthwise, Rows};

/// Channels that are computed together: with more, the columns do not stay in registers.
const CHANNELS: usize = 8;

/// A column: (channel, row), four channels a vector; the fourth row counts nothing.
type Column = [int8x16_t; 2];

/// `Kernels::depthwise`.
///
/// Safety: as stated there; only reachable with dot products.
pub(in crate::kernels) unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on.
    unsafe {
        match columns_a_pixel(packed, rows) {
            Some(columns @ (1 | 2)) => in_blocks(packed, rows, CHANNELS, |band, channel| {
                if channel + CHANNELS > packed.channels {
                    block(packed, band, channel);
                } else if columns == 1 {
                    by_bound!(packed.reach, one(packed, band, channel));
                } else {
                    by_bound!(packed.reach, two(packed, band, channel));
                }
            }),
            _ => depthwise::depthwise(packed, rows),
        }
    }
}

/// The columns from one window of three by three to the next, if windows share columns.
fn columns_a_pixel(packed: &PackedDepthwise, rows: &Rows) -> Option<usize> {
    let column = *packed.taps.get(1)?;
    let whole = packed.kernel == [3, 3] && rows.input_pixel.is_multiple_of(column);
    whole.then(|| rows.input_pixel / column)
}

/// Stride 1.
///
/// Safety: as for [`windows`].
unsafe fn one<const REACH: u8>(packed: &PackedDepthwise, rows: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe { windows::<REACH, 1>(packed, rows, channel) }
}

/// Stride 2.
///
/// Safety: as for [`windows`].
unsafe fn two<const REACH: u8>(packed: &PackedDepthwise, rows: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe { windows::<REACH, 2>(packed, rows, channel) }
}

/// (row, channel) to (channel, row); the first eight channels.
#[inline(always)]
fn interleaved(rows: [int8x16_t; 4]) -> Column {
    // Safety: NEON.
    unsafe {
        let pairs = |v: int8x16_t| vreinterpretq_s16_s8(v);
        let bytes = |v: int16x8_t| vreinterpretq_s8_s16(v);
        let (a, b) = (pairs(vzip1q_s8(rows[0], rows[1])), pairs(vzip1q_s8(rows[2], rows[3])));
        [bytes(vzip1q_s16(a, b)), bytes(vzip2q_s16(a, b))]
    }
}

/// Sums of four channels += the products of a column with its weights.
///
/// Safety: the processor has dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot(mut sums: int32x4_t, column: int8x16_t, weights: int8x16_t) -> int32x4_t {
    // Safety: registers only.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {column:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums,
            column = in(vreg) column,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Windows of three by three, `STEP` columns apart.
///
/// Safety: as for `Kernels::depthwise`; all channels are there; a vector may reach fifteen bytes past the
/// last one; the processor has dot products.
#[target_feature(enable = "neon,dotprod")]
unsafe fn windows<const REACH: u8, const STEP: usize>(packed: &PackedDepthwise, rows: &Rows, channel: usize) {
    let padded = packed.bias.len();
    let [column, second, third] = [packed.taps[1], packed.taps[3], packed.taps[6]];
    // Safety: constants are padded to whole vectors; taps and channels are the caller's to vouch for.
    unsafe {
        let none = vdup_n_s8(0);
        let weight = |tap: usize| vcombine_s8(vld1_s8(packed.weights.as_ptr().add(channel + tap * padded)), none);
        let weights = |x: usize| interleaved([weight(x), weight(3 + x), weight(6 + x), vdupq_n_s8(0)]);
        let [w0, w1, w2] = [weights(0), weights(1), weights(2)];
        let bias = |v: usize| begin::<REACH>(vld1q_s32(packed.bias.as_ptr().add(channel + 4 * v)));
        let bias = [bias(0), bias(1)];
        let multiplier = |v: usize| vld1q_f32(packed.multiplier.as_ptr().add(channel + 4 * v));
        let multiplier = [multiplier(0), multiplier(1), multiplier(0), multiplier(1)];
        let zero = xored_zero(packed.pre_zero);
        for y in 0..rows.height {
            let input = rows.input.add(y * rows.input_row + channel).cast::<i8>();
            let output = rows.output.add(y * rows.output_row + channel);
            let read = |x: usize| {
                let top = input.add(x * column);
                let third = vld1q_s8(top.add(third));
                interleaved([vld1q_s8(top), vld1q_s8(top.add(second)), third, third])
            };
            // the window of pixel `x`, whose last `STEP` columns are new
            let pixel = |x: usize, a: &Column, b: &mut Column, c: &mut Column| {
                if STEP == 2 {
                    *b = read(2 * x + 1);
                }
                *c = read(STEP * x + 2);
                let sum = |v: usize| dot(dot(dot(bias[v], a[v], w0[v]), b[v], w1[v]), c[v], w2[v]);
                let sums = [sum(0), sum(1)];
                // the second half is of no meaning and costs nothing
                let bytes = finish::<REACH, false>([sums[0], sums[1], sums[0], sums[1]], multiplier, zero);
                vst1_u8(output.add(x * rows.output_pixel), vget_low_u8(bytes));
            };
            // three columns take turns, so that none moves
            let (mut a, mut b, mut c) = (read(0), read(STEP % 2), read(0));
            let mut x = 0;
            while x + 3 <= rows.width {
                pixel(x, &a, &mut b, &mut c);
                if STEP == 1 {
                    pixel(x + 1, &b, &mut c, &mut a);
                    pixel(x + 2, &c, &mut a, &mut b);
                } else {
                    pixel(x + 1, &c, &mut a, &mut b);
                    pixel(x + 2, &b, &mut c, &mut a);
                }
                x += 3;
            }
            if x < rows.width {
                pixel(x, &a, &mut b, &mut c);
            }
            if x + 1 < rows.width {
                if STEP == 1 { pixel(x + 1, &b, &mut c, &mut a) } else { pixel(x + 1, &c, &mut a, &mut b) }
            }
        }
    }
}
