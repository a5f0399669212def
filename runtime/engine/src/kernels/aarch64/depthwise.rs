//! Depthwise convolution on 64-bit ARM, for every kernel set: sixteen channels of a row at a time.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::packed::{AccumulatorBound, DEPTHWISE_CHANNELS};
use super::super::{PackedDepthwise, Rows};
use super::lookup::Activation;
use super::{ANY, BYTES, SMALL_RESULTS, SMALL_SUMS, add_wide, begin, by_bound, finish, store, xored_zero};

/// Rows whose table is looked up while they are near.
const ROWS: usize = 4;

/// Calls `run` with some rows and the first of `step` channels until all are done, and looks up the table.
///
/// Safety: `run` writes these channels of these rows; otherwise as for `Kernels::depthwise`.
pub(in crate::kernels) unsafe fn in_blocks(
    packed: &PackedDepthwise,
    rows: &Rows,
    step: usize,
    run: impl Fn(&Rows, usize),
) {
    let activation = Activation::of(&packed.table);
    for y in (0..rows.height).step_by(ROWS) {
        let band = Rows {
            input: rows.input.wrapping_add(y * rows.input_row),
            output: rows.output.wrapping_add(y * rows.output_row),
            height: ROWS.min(rows.height - y),
            ..*rows
        };
        for channel in (0..packed.channels).step_by(step) {
            run(&band, channel);
        }
        // Safety: the pixels that were just written.
        unsafe { activation.rows(&band, packed.channels) };
    }
}

/// `Kernels::depthwise`.
///
/// Safety: as stated there.
pub(in crate::kernels) unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on.
    unsafe { in_blocks(packed, rows, BYTES, |band, channel| block(packed, band, channel)) }
}

/// Up to sixteen channels of some rows, without the table.
///
/// Safety: as for `Kernels::depthwise`.
pub(in crate::kernels) unsafe fn block(packed: &PackedDepthwise, band: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe {
        match packed.taps.len() {
            9 => by_bound!(packed.reach, depthwise_9(packed, band, channel)),
            _ => by_bound!(packed.reach, depthwise_any(packed, band, channel)),
        }
    }
}

/// `Kernels::depthwise_sums`.
///
/// Safety: as stated there.
pub(in crate::kernels) unsafe fn depthwise_sums(packed: &PackedDepthwise, rows: &Rows) {
    for channel in (0..packed.channels).step_by(BYTES) {
        // Safety: handed on.
        unsafe { depthwise_rows::<0, ANY, SUMS>(packed, rows, channel) };
    }
}

/// Windows of nine taps.
///
/// Safety: as for `Kernels::depthwise`.
unsafe fn depthwise_9<const REACH: u8>(packed: &PackedDepthwise, rows: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe {
        if packed.channels - channel < BYTES {
            depthwise_rows::<9, REACH, PART>(packed, rows, channel);
        } else {
            depthwise_rows::<9, REACH, WHOLE>(packed, rows, channel);
        }
    }
}

/// Windows of any size.
///
/// Safety: as for `Kernels::depthwise`.
unsafe fn depthwise_any<const REACH: u8>(packed: &PackedDepthwise, rows: &Rows, channel: usize) {
    // Safety: handed on.
    unsafe { depthwise_rows::<0, REACH, PART>(packed, rows, channel) }
}

/// What is stored: the sums themselves, a whole vector of bytes, or as many as there are channels.
const SUMS: u8 = 0;
const WHOLE: u8 = 1;
const PART: u8 = 2;

/// Two taps join in 16 bits, which hold two products of -128..=127 and -127..=127, before they join
/// the sums. `TAPS` is their number, or 0 if it is known only now; `STORE` is one of the constants above.
///
/// Safety: as for `Kernels::depthwise`, or `Kernels::depthwise_sums`; a vector may reach fifteen bytes past the last channel.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn depthwise_rows<const TAPS: usize, const REACH: u8, const STORE: u8>(
    packed: &PackedDepthwise,
    rows: &Rows,
    channel: usize,
) {
    let padded = packed.bias.len();
    let count = (packed.channels - channel).min(BYTES);
    const { assert!(DEPTHWISE_CHANNELS.is_multiple_of(BYTES)) };
    // Safety: constants are padded to whole vectors; taps and channels are the caller's to vouch for.
    unsafe {
        let bias = |v: usize| begin::<REACH>(vld1q_s32(packed.bias.as_ptr().add(channel + 4 * v)));
        let bias = [bias(0), bias(1), bias(2), bias(3)];
        let multiplier = |v: usize| vld1q_f32(packed.multiplier.as_ptr().add(channel + 4 * v));
        let multiplier = [multiplier(0), multiplier(1), multiplier(2), multiplier(3)];
        let zero = xored_zero(packed.pre_zero);
        let load = |tap: usize| vld1q_s8(packed.weights.as_ptr().add(channel + tap * padded));
        // as few as are known now stay in registers
        let (mut weights, mut offsets) = ([vdupq_n_s8(0); TAPS], [0; TAPS]);
        for tap in 0..TAPS {
            (weights[tap], offsets[tap]) = (load(tap), packed.taps[tap]);
        }
        let weight = |tap: usize| if TAPS == 0 { load(tap) } else { weights[tap] };
        let offset = |tap: usize| if TAPS == 0 { packed.taps[tap] } else { offsets[tap] };
        let taps = if TAPS == 0 { packed.taps.len() } else { TAPS };
        for y in 0..rows.height {
            for x in 0..rows.width {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel + channel).cast::<i8>();
                let mut sums = bias;
                for pair in 0..taps / 2 {
                    let [even, odd] = [2 * pair, 2 * pair + 1];
                    let [low, high] = two_taps(input, [offset(even), offset(odd)], [weight(even), weight(odd)]);
                    add_wide(&mut sums, low, high);
                }
                if !taps.is_multiple_of(2) {
                    let (a, w) = (vld1q_s8(input.add(offset(taps - 1))), weight(taps - 1));
                    add_wide(&mut sums, vmull_s8(vget_low_s8(a), vget_low_s8(w)), vmull_high_s8(a, w));
                }
                let output = rows.output.add(y * rows.output_row + x * rows.output_pixel);
                match STORE {
                    SUMS => {
                        for (v, sum) in sums.into_iter().enumerate() {
                            vst1q_s32(output.cast::<i32>().add(channel + 4 * v), sum);
                        }
                    }
                    WHOLE => vst1q_u8(output.add(channel), finish::<REACH, true>(sums, multiplier, zero)),
                    _ => store(finish::<REACH, true>(sums, multiplier, zero), output.add(channel), count),
                }
            }
        }
    }
}

/// The products of two taps, added. In assembly: the compiler would keep a pointer for every tap and
/// each weight vector twice.
///
/// Safety: sixteen bytes are readable at both offsets.
#[inline(always)]
unsafe fn two_taps(input: *const i8, offsets: [usize; 2], weights: [int8x16_t; 2]) -> [int16x8_t; 2] {
    let (low, high): (int16x8_t, int16x8_t);
    // Safety: the caller's to vouch for; writes registers only.
    unsafe {
        asm!(
            "ldr {a:q}, [{input}, {even}]",
            "ldr {b:q}, [{input}, {odd}]",
            "smull {low:v}.8h, {a:v}.8b, {w0:v}.8b",
            "smull2 {high:v}.8h, {a:v}.16b, {w0:v}.16b",
            "smlal {low:v}.8h, {b:v}.8b, {w1:v}.8b",
            "smlal2 {high:v}.8h, {b:v}.16b, {w1:v}.16b",
            input = in(reg) input,
            even = in(reg) offsets[0],
            odd = in(reg) offsets[1],
            w0 = in(vreg) weights[0],
            w1 = in(vreg) weights[1],
            a = out(vreg) _,
            b = out(vreg) _,
            low = out(vreg) low,
            high = out(vreg) high,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [low, high]
}
