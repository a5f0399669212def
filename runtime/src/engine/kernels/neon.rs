//! 64-bit ARM without dot products (Cortex-A53, A57, A72: Raspberry Pi 3 and 4).
//!
//! A tile is four pixels by four output channels. One step multiplies sixteen input bytes of each
//! pixel with sixteen weights of each channel: SMULL and SMLAL2 into 16 bits, which hold two products
//! of -128..=127 and -127..=127, and SADALP into four partial sums, which are added up at the end.
//! The multiplier is the limit; everything else runs beside it.

use std::arch::aarch64::*;
use std::arch::asm;

use super::aarch64::{
    ANY, FLIP, Pixels, SMALL_RESULTS, SMALL_SUMS, add, bands, begin, by_reach, finish, flipped_zero, max, mean, mul,
    store,
};
use super::aarch64_depthwise::{depthwise, depthwise_sums};
use super::aarch64_gather::gather;
use super::aarch64_lookup::{Activation, table};
use super::packing::Reach;
use super::{Kernels, PackedConv, Rows, wide};

/// Every 64-bit ARM.
pub static KERNELS: Kernels = NEON;

/// What newer processors take over where they have nothing better.
pub(super) const NEON: Kernels = Kernels {
    name: "neon",
    lanes: LANES,
    panel: 1,
    block: BLOCK,
    flip: FLIP,
    conv,
    depthwise,
    conv_sums,
    depthwise_sums,
    wide_store: wide::store,
    table,
    max,
    add,
    mul,
    mean,
    gather,
    burn,
};

const PIXELS: usize = 4;
const LANES: usize = 4;
const BLOCK: usize = 16;

/// First products of weight vector `$w` into four temporaries.
macro_rules! first {
    ($w:literal, $t0:literal $t1:literal $t2:literal $t3:literal) => {
        concat!(
            "smull v",
            $t0,
            ".8h, v0.8b, v",
            $w,
            ".8b\n",
            "smull v",
            $t1,
            ".8h, v1.8b, v",
            $w,
            ".8b\n",
            "smull v",
            $t2,
            ".8h, v2.8b, v",
            $w,
            ".8b\n",
            "smull v",
            $t3,
            ".8h, v3.8b, v",
            $w,
            ".8b\n",
        )
    };
}

/// Second products of weight vector `$w`; between them the temporaries before go into their sums.
macro_rules! second {
    ($w:literal, $($t:literal $a:literal $sum:literal $before:literal),+) => {
        concat!($(
            "smlal2 v", $t, ".8h, v", $a, ".16b, v", $w, ".16b\n",
            "sadalp v", $sum, ".4s, v", $before, ".8h\n",
        )+)
    };
}

/// Sums of `PIXELS` pixels, one channel a lane, bias included.
///
/// Safety: as for [`Kernels::conv`]; `weights` are those of one panel.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile(
    packed: &PackedConv,
    weights: *const i8,
    inputs: &[*const u8; PIXELS],
    bias: &[i32; LANES],
) -> [int32x4_t; PIXELS] {
    let (s0, s1, s2, s3): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);
    let taps = packed.taps.as_ptr_range();
    // Safety: reads whole blocks of each run of each pixel, the panel's weights, as many as there are
    // blocks, and the bias; writes registers only.
    unsafe {
        asm!(
            "ldr s16, [{bias}]", "ldr s17, [{bias}, #4]", "ldr s18, [{bias}, #8]", "ldr s19, [{bias}, #12]",
            "ldr s20, [{bias}]", "ldr s21, [{bias}, #4]", "ldr s22, [{bias}, #8]", "ldr s23, [{bias}, #12]",
            "ldr s24, [{bias}]", "ldr s25, [{bias}, #4]", "ldr s26, [{bias}, #8]", "ldr s27, [{bias}, #12]",
            "ldr s28, [{bias}]", "ldr s29, [{bias}, #4]", "ldr s30, [{bias}, #8]", "ldr s31, [{bias}, #12]",
            "2:",
            "ldr {at}, [{tap}], #8",
            "mov {left}, {blocks}",
            "3:",
            "ldr q0, [{p0}, {at}]",
            "ldp q4, q5, [{w}], #32",
            "ldr q1, [{p1}, {at}]",
            "ldr q2, [{p2}, {at}]",
            "ldr q3, [{p3}, {at}]",
            "ldp q6, q7, [{w}], #32",
            "add {at}, {at}, #16",
            "subs {left}, {left}, #1",
            first!(4, 8 9 10 11),
            "smlal2 v8.8h, v0.16b, v4.16b",
            "smlal2 v9.8h, v1.16b, v4.16b",
            "smlal2 v10.8h, v2.16b, v4.16b",
            "smlal2 v11.8h, v3.16b, v4.16b",
            first!(5, 12 13 14 15),
            second!(5, 12 0 16 8, 13 1 20 9, 14 2 24 10, 15 3 28 11),
            first!(6, 8 9 10 11),
            second!(6, 8 0 17 12, 9 1 21 13, 10 2 25 14, 11 3 29 15),
            first!(7, 12 13 14 15),
            second!(7, 12 0 18 8, 13 1 22 9, 14 2 26 10, 15 3 30 11),
            "sadalp v19.4s, v12.8h",
            "sadalp v23.4s, v13.8h",
            "sadalp v27.4s, v14.8h",
            "sadalp v31.4s, v15.8h",
            "b.ne 3b",
            "cmp {tap}, {end}",
            "b.ne 2b",
            "addp v16.4s, v16.4s, v17.4s", "addp v18.4s, v18.4s, v19.4s",
            "addp v20.4s, v20.4s, v21.4s", "addp v22.4s, v22.4s, v23.4s",
            "addp v24.4s, v24.4s, v25.4s", "addp v26.4s, v26.4s, v27.4s",
            "addp v28.4s, v28.4s, v29.4s", "addp v30.4s, v30.4s, v31.4s",
            "addp v16.4s, v16.4s, v18.4s", "addp v20.4s, v20.4s, v22.4s",
            "addp v24.4s, v24.4s, v26.4s", "addp v28.4s, v28.4s, v30.4s",
            tap = inout(reg) taps.start => _,
            end = in(reg) taps.end,
            w = inout(reg) weights => _,
            blocks = in(reg) packed.groups,
            bias = in(reg) bias.as_ptr(),
            at = out(reg) _,
            left = out(reg) _,
            p0 = in(reg) inputs[0],
            p1 = in(reg) inputs[1],
            p2 = in(reg) inputs[2],
            p3 = in(reg) inputs[3],
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _, out("v16") s0, out("v17") _, out("v18") _, out("v19") _, out("v20") s1, out("v21") _,
            out("v22") _, out("v23") _, out("v24") s2, out("v25") _, out("v26") _, out("v27") _, out("v28") s3,
            out("v29") _, out("v30") _, out("v31") _,
            options(nostack, readonly),
        );
    }
    [s0, s1, s2, s3]
}

// Safety: see `Kernels::conv`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { by_reach!(packed.reach, all(packed, rows)) }
}

/// Safety: as for [`Kernels::conv`].
#[target_feature(enable = "neon")]
unsafe fn all<const REACH: u8>(packed: &PackedConv, rows: &Rows) {
    let zero = flipped_zero(packed.pre_zero);
    bands(packed, rows, |band| {
        for panel in &packed.panels {
            let weights = packed.weights[panel.weights..].as_ptr();
            // Safety: constants are padded to whole vectors; pixels and channels are the caller's to
            // vouch for.
            unsafe {
                let mut bias = [0; LANES];
                let constants = vld1q_s32(packed.bias[panel.constants..][..LANES].as_ptr());
                vst1q_s32(bias.as_mut_ptr(), begin::<REACH>(constants));
                let multiplier = vld1q_f32(packed.multiplier[panel.constants..][..LANES].as_ptr());
                let mut pixels = Pixels::of(band);
                while let Some((inputs, outputs)) = pixels.next::<PIXELS>() {
                    let sums = tile(packed, weights, &inputs, &bias);
                    let bytes = finish::<REACH>(sums, [multiplier; 4], zero);
                    let o = |p: usize| outputs[p].wrapping_add(panel.channel);
                    let (o0, o1, o2, o3) = (o(0), o(1), o(2), o(3));
                    if panel.channels == LANES {
                        let fours = vreinterpretq_u32_u8(bytes);
                        o0.cast::<u32>().write_unaligned(vgetq_lane_u32::<0>(fours));
                        o1.cast::<u32>().write_unaligned(vgetq_lane_u32::<1>(fours));
                        o2.cast::<u32>().write_unaligned(vgetq_lane_u32::<2>(fours));
                        o3.cast::<u32>().write_unaligned(vgetq_lane_u32::<3>(fours));
                    } else {
                        store(bytes, o0, panel.channels);
                        store(vextq_u8::<4>(bytes, bytes), o1, panel.channels);
                        store(vextq_u8::<8>(bytes, bytes), o2, panel.channels);
                        store(vextq_u8::<12>(bytes, bytes), o3, panel.channels);
                    }
                }
            }
        }
        if let Some(last) = packed.panels.last() {
            let activation = Activation::of(packed.table.as_deref(), packed.short.as_deref());
            // Safety: the channels that were just written.
            unsafe { activation.rows(band, last.channel + last.channels) };
        }
    });
}

// Safety: see `Kernels::conv_sums`.
unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { all_sums(packed, rows) }
}

/// Safety: as for [`Kernels::conv_sums`].
#[target_feature(enable = "neon")]
unsafe fn all_sums(packed: &PackedConv, rows: &Rows) {
    for panel in &packed.panels {
        let weights = packed.weights[panel.weights..].as_ptr();
        // Safety: constants are padded to whole vectors; pixels and padded channels are the caller's to
        // vouch for.
        unsafe {
            let mut bias = [0; LANES];
            bias.copy_from_slice(&packed.bias[panel.constants..][..LANES]);
            let mut pixels = Pixels::of(rows);
            while let Some((inputs, outputs)) = pixels.next::<PIXELS>() {
                let sums = tile(packed, weights, &inputs, &bias);
                for (output, sum) in outputs.into_iter().zip(sums) {
                    vst1q_s32(output.cast::<i32>().wrapping_add(panel.constants), sum);
                }
            }
        }
    }
}

// Safety: see `Kernels::burn`.
unsafe fn burn(multiplications: u64) -> u64 {
    const PER_ROUND: u64 = 16 * 16;
    let rounds = (multiplications / PER_ROUND).max(1);
    // Safety: registers only.
    unsafe {
        asm!(
            "2:",
            "subs {n}, {n}, #1",
            first!(4, 8 9 10 11),
            second!(4, 8 0 16 12, 9 1 17 13, 10 2 18 14, 11 3 19 15),
            first!(4, 12 13 14 15),
            second!(4, 12 0 16 8, 13 1 17 9, 14 2 18 10, 15 3 19 11),
            first!(4, 8 9 10 11),
            second!(4, 8 0 16 12, 9 1 17 13, 10 2 18 14, 11 3 19 15),
            first!(4, 12 13 14 15),
            second!(4, 12 0 16 8, 13 1 17 9, 14 2 18 10, 15 3 19 11),
            "b.ne 2b",
            n = inout(reg) rounds => _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            options(nostack, nomem),
        );
    }
    rounds * PER_ROUND
}
