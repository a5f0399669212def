//! Depthwise convolution on 64-bit ARM, for every kernel set: sixteen channels of a row at a time.

use std::arch::aarch64::*;

use super::aarch64::{
    ANY, BYTES, SMALL_RESULTS, SMALL_SUMS, add_wide, begin, by_reach, finish, flipped_zero, store, table_rows,
};
use super::packing::{DEPTHWISE_CHANNELS, Reach};
use super::{PackedDepthwise, Rows};

/// `Kernels::depthwise`.
///
/// Safety: as stated there.
pub(super) unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
    for y in 0..rows.height {
        let row = Rows {
            input: rows.input.wrapping_add(y * rows.input_row),
            output: rows.output.wrapping_add(y * rows.output_row),
            height: 1,
            ..*rows
        };
        for channel in (0..packed.channels).step_by(BYTES) {
            // Safety: handed on.
            unsafe {
                match packed.taps.len() {
                    9 => by_reach!(packed.reach, depthwise_9(packed, &row, channel)),
                    _ => by_reach!(packed.reach, depthwise_any(packed, &row, channel)),
                }
            }
        }
        if let Some(entries) = packed.table.as_deref() {
            // Safety: the pixels that were just written.
            unsafe { table_rows(entries, &row, packed.channels) };
        }
    }
}

/// `Kernels::depthwise_sums`.
///
/// Safety: as stated there.
pub(super) unsafe fn depthwise_sums(packed: &PackedDepthwise, rows: &Rows) {
    for y in 0..rows.height {
        let row = Rows {
            input: rows.input.wrapping_add(y * rows.input_row),
            output: rows.output.wrapping_add(y * rows.output_row),
            height: 1,
            ..*rows
        };
        for channel in (0..packed.channels).step_by(BYTES) {
            // Safety: handed on.
            unsafe { depthwise_row::<0, ANY, true>(packed, &row, channel) };
        }
    }
}

/// Windows of nine taps.
///
/// Safety: as for `Kernels::depthwise`.
unsafe fn depthwise_9<const REACH: u8>(packed: &PackedDepthwise, row: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe { depthwise_row::<9, REACH, false>(packed, row, channel) }
}

/// Windows of any size.
///
/// Safety: as for `Kernels::depthwise`.
unsafe fn depthwise_any<const REACH: u8>(packed: &PackedDepthwise, row: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe { depthwise_row::<0, REACH, false>(packed, row, channel) }
}

/// Two taps join in 16 bits, which hold two products of -128..=127 and -127..=127, before they join
/// the sums. `TAPS` is their number, or 0 if it is known only now; `SUMS` stores the sums themselves.
///
/// Safety: as for `Kernels::depthwise`, or `Kernels::depthwise_sums`; a vector may reach fifteen bytes past the last channel.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn depthwise_row<const TAPS: usize, const REACH: u8, const SUMS: bool>(
    packed: &PackedDepthwise,
    row: &Rows,
    channel: usize,
) {
    let padded = packed.bias.len();
    let taps: &[usize] = if TAPS == 0 { &packed.taps } else { &packed.taps[..TAPS] };
    let count = (packed.channels - channel).min(BYTES);
    const { assert!(DEPTHWISE_CHANNELS.is_multiple_of(BYTES)) };
    // Safety: constants are padded to whole vectors; taps and channels are the caller's to vouch for.
    unsafe {
        let bias = |v: usize| begin::<REACH>(vld1q_s32(packed.bias.as_ptr().add(channel + 4 * v)));
        let bias = [bias(0), bias(1), bias(2), bias(3)];
        let multiplier = |v: usize| vld1q_f32(packed.multiplier.as_ptr().add(channel + 4 * v));
        let multiplier = [multiplier(0), multiplier(1), multiplier(2), multiplier(3)];
        let zero = flipped_zero(packed.pre_zero);
        let weights = packed.weights.as_ptr().add(channel);
        for x in 0..row.width {
            let input = row.input.add(x * row.input_pixel + channel).cast::<i8>();
            let mut sums = bias;
            for pair in 0..taps.len() / 2 {
                let [even, odd] = [2 * pair, 2 * pair + 1];
                let (a, w) = (vld1q_s8(input.add(taps[even])), vld1q_s8(weights.add(even * padded)));
                let (b, v) = (vld1q_s8(input.add(taps[odd])), vld1q_s8(weights.add(odd * padded)));
                let low = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(w)), vget_low_s8(b), vget_low_s8(v));
                add_wide(&mut sums, low, vmlal_high_s8(vmull_high_s8(a, w), b, v));
            }
            if !taps.len().is_multiple_of(2) {
                let last = taps.len() - 1;
                let (a, w) = (vld1q_s8(input.add(taps[last])), vld1q_s8(weights.add(last * padded)));
                add_wide(&mut sums, vmull_s8(vget_low_s8(a), vget_low_s8(w)), vmull_high_s8(a, w));
            }
            if SUMS {
                let to = row.output.add(x * row.output_pixel).cast::<i32>().add(channel);
                for (v, sum) in sums.into_iter().enumerate() {
                    vst1q_s32(to.add(4 * v), sum);
                }
                continue;
            }
            let bytes = finish::<REACH>(sums, multiplier, zero);
            store(bytes, row.output.add(x * row.output_pixel + channel), count);
        }
    }
}
