//! 64-bit ARM with matrix products (Cortex-A510, A710, X2, Neoverse V1, N2 and newer).
//!
//! A tile is eight pixels by eight output channels. One SMMLA multiplies eight input bytes of two
//! pixels with eight weights of two channels: a register of sums is (two pixels, two channels).

use std::arch::aarch64::*;
use std::arch::asm;

use super::aarch64::lookup::Activation;
use super::aarch64::{ANY, Pixels, SMALL_RESULTS, SMALL_SUMS, bands, begin, by_bound, finish, store, xored_zero};
use super::dotprod::depthwise::depthwise;
use super::neon::NEON;
use super::packed::AccumulatorBound;
use super::{Kernels, PackedConv, Rows};

/// Armv8.2 with FEAT_I8MM.
static KERNELS: Kernels =
    Kernels { name: "i8mm", lanes: LANES, panel: 1, block: 8, conv, depthwise, conv_sums, burn, ..NEON };

const PIXELS: usize = 8;
const LANES: usize = 8;

/// If this processor has every instruction used here: SMMLA, and the dot products of depthwise convolutions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    use std::arch::is_aarch64_feature_detected;
    let supported = is_aarch64_feature_detected!("neon")
        && is_aarch64_feature_detected!("dotprod")
        && is_aarch64_feature_detected!("i8mm");
    supported.then_some(&KERNELS)
}

/// Sums `$sum`.. of the pixels `$a` x the four pairs of channels in `$w`.
macro_rules! products {
    ($a:literal, $w0:literal $w1:literal $w2:literal $w3:literal, $s0:literal $s1:literal $s2:literal $s3:literal) => {
        concat!(
            "smmla v", $s0, ".4s, v", $a, ".16b, v", $w0, ".16b\n", "smmla v", $s1, ".4s, v", $a, ".16b, v", $w1,
            ".16b\n", "smmla v", $s2, ".4s, v", $a, ".16b, v", $w2, ".16b\n", "smmla v", $s3, ".4s, v", $a, ".16b, v",
            $w3, ".16b\n",
        )
    };
}

/// Sums by (pair of pixels, pair of channels), bias not included.
///
/// Safety: as for [`Kernels::conv`]; `weights` are those of one panel.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn tile(packed: &PackedConv, weights: *const i8, inputs: &[*const u8; PIXELS]) -> [[int32x4_t; 4]; 4] {
    let mut s = [[vdupq_n_s32(0); 4]; 4];
    let taps = packed.taps.as_ptr_range();
    // Safety: reads whole vectors of each run of each pixel, and the panel's weights, as many as there
    // are blocks; writes registers only.
    unsafe {
        asm!(
            "2:",
            "ldr {at}, [{tap}], #8",
            "mov {left}, {sixteens}",
            "cbz {left}, 4f",
            "3:",
            "ldr q0, [{p0}, {at}]",
            "ldr q1, [{p1}, {at}]",
            "ldr q2, [{p2}, {at}]",
            "ldr q3, [{p3}, {at}]",
            "ldr q4, [{p4}, {at}]",
            "ldr q5, [{p5}, {at}]",
            "ldr q6, [{p6}, {at}]",
            "ldr q7, [{p7}, {at}]",
            "add {at}, {at}, #16",
            "subs {left}, {left}, #1",
            "trn1 v8.2d, v0.2d, v1.2d",
            "trn2 v12.2d, v0.2d, v1.2d",
            "trn1 v9.2d, v2.2d, v3.2d",
            "trn2 v13.2d, v2.2d, v3.2d",
            "ldp q0, q1, [{w}], #32",
            "trn1 v10.2d, v4.2d, v5.2d",
            "trn2 v14.2d, v4.2d, v5.2d",
            "ldp q2, q3, [{w}], #32",
            "trn1 v11.2d, v6.2d, v7.2d",
            "trn2 v15.2d, v6.2d, v7.2d",
            "ldp q4, q5, [{w}], #32",
            "ldp q6, q7, [{w}], #32",
            products!(8, 0 1 2 3, 16 17 18 19),
            products!(9, 0 1 2 3, 20 21 22 23),
            products!(10, 0 1 2 3, 24 25 26 27),
            products!(11, 0 1 2 3, 28 29 30 31),
            products!(12, 4 5 6 7, 16 17 18 19),
            products!(13, 4 5 6 7, 20 21 22 23),
            products!(14, 4 5 6 7, 24 25 26 27),
            products!(15, 4 5 6 7, 28 29 30 31),
            "b.ne 3b",
            "4:",
            "cbz {eight}, 6f",
            "ldr d0, [{p0}, {at}]",
            "ldr d1, [{p1}, {at}]",
            "ldr d2, [{p2}, {at}]",
            "ldr d3, [{p3}, {at}]",
            "ldr d4, [{p4}, {at}]",
            "ldr d5, [{p5}, {at}]",
            "ldr d6, [{p6}, {at}]",
            "ldr d7, [{p7}, {at}]",
            "trn1 v8.2d, v0.2d, v1.2d",
            "trn1 v9.2d, v2.2d, v3.2d",
            "ldp q0, q1, [{w}], #32",
            "ldp q2, q3, [{w}], #32",
            "trn1 v10.2d, v4.2d, v5.2d",
            "trn1 v11.2d, v6.2d, v7.2d",
            products!(8, 0 1 2 3, 16 17 18 19),
            products!(9, 0 1 2 3, 20 21 22 23),
            products!(10, 0 1 2 3, 24 25 26 27),
            products!(11, 0 1 2 3, 28 29 30 31),
            "6:",
            "cmp {tap}, {end}",
            "b.ne 2b",
            tap = inout(reg) taps.start => _,
            end = in(reg) taps.end,
            w = inout(reg) weights => _,
            sixteens = in(reg) packed.groups / 2,
            eight = in(reg) packed.groups % 2,
            at = out(reg) _,
            left = out(reg) _,
            p0 = in(reg) inputs[0],
            p1 = in(reg) inputs[1],
            p2 = in(reg) inputs[2],
            p3 = in(reg) inputs[3],
            p4 = in(reg) inputs[4],
            p5 = in(reg) inputs[5],
            p6 = in(reg) inputs[6],
            p7 = in(reg) inputs[7],
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _,
            inout("v16") s[0][0], inout("v17") s[0][1], inout("v18") s[0][2], inout("v19") s[0][3],
            inout("v20") s[1][0], inout("v21") s[1][1], inout("v22") s[1][2], inout("v23") s[1][3],
            inout("v24") s[2][0], inout("v25") s[2][1], inout("v26") s[2][2], inout("v27") s[2][3],
            inout("v28") s[3][0], inout("v29") s[3][1], inout("v30") s[3][2], inout("v31") s[3][3],
            options(nostack, readonly),
        );
    }
    s
}

/// Two registers of (two pixels, two channels) to four channels of each pixel.
#[inline(always)]
fn untangle(a: int32x4_t, b: int32x4_t) -> [int32x4_t; 2] {
    // Safety: NEON.
    unsafe {
        let (a, b) = (vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b));
        [vreinterpretq_s32_s64(vtrn1q_s64(a, b)), vreinterpretq_s32_s64(vtrn2q_s64(a, b))]
    }
}

// Safety: see `Kernels::conv`; only reachable where `supported`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    bands(packed, rows, |band| {
        for index in 0..packed.panels.len() {
            // Safety: handed on.
            unsafe { by_bound!(packed.reach, panel(packed, index, band)) };
        }
        if let Some(last) = packed.panels.last() {
            let activation = Activation::of(&packed.table);
            // Safety: the channels that were just written.
            unsafe { activation.rows(band, last.channel + last.channels) };
        }
    });
}

/// All pixels of one panel, without the table.
///
/// Safety: as for [`Kernels::conv`].
#[target_feature(enable = "neon,i8mm")]
unsafe fn panel<const REACH: u8>(packed: &PackedConv, index: usize, rows: &Rows) {
    let panel = packed.panels[index];
    let weights = packed.weights[panel.weights..].as_ptr();
    let bias = &packed.bias[panel.constants..][..LANES];
    let multiplier = &packed.multiplier[panel.constants..][..LANES];
    let zero = xored_zero(packed.pre_zero);
    let mut pixels = Pixels::of(rows);
    // Safety: constants are padded to whole panels; pixels and channels are the caller's to vouch for.
    unsafe {
        let bias = [begin::<REACH>(vld1q_s32(bias.as_ptr())), begin::<REACH>(vld1q_s32(bias.as_ptr().add(4)))];
        let multiplier = [vld1q_f32(multiplier.as_ptr()), vld1q_f32(multiplier.as_ptr().add(4))];
        while let Some((mut inputs, mut outputs, groups)) = pixels.next::<PIXELS>() {
            for _ in 0..groups {
                let sums = tile(packed, weights, &inputs);
                for (pair, s) in sums.into_iter().enumerate() {
                    let (low, high) = (untangle(s[0], s[1]), untangle(s[2], s[3]));
                    let sums = [
                        vaddq_s32(low[0], bias[0]),
                        vaddq_s32(high[0], bias[1]),
                        vaddq_s32(low[1], bias[0]),
                        vaddq_s32(high[1], bias[1]),
                    ];
                    let multiplier = [multiplier[0], multiplier[1], multiplier[0], multiplier[1]];
                    let bytes = finish::<REACH, false>(sums, multiplier, zero);
                    store(bytes, outputs[2 * pair].wrapping_add(panel.channel), panel.channels);
                    store(
                        vextq_u8::<8>(bytes, bytes),
                        outputs[2 * pair + 1].wrapping_add(panel.channel),
                        panel.channels,
                    );
                }
                pixels.go_on(&mut inputs, &mut outputs);
            }
        }
    }
}

// Safety: see `Kernels::conv_sums`; only reachable where `supported`.
unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
    for index in 0..packed.panels.len() {
        // Safety: handed on.
        unsafe { panel_sums(packed, index, rows) };
    }
}

/// Safety: as for [`Kernels::conv_sums`].
#[target_feature(enable = "neon,i8mm")]
unsafe fn panel_sums(packed: &PackedConv, index: usize, rows: &Rows) {
    let panel = packed.panels[index];
    let weights = packed.weights[panel.weights..].as_ptr();
    let bias = &packed.bias[panel.constants..][..LANES];
    let mut pixels = Pixels::of(rows);
    // Safety: constants are padded to whole panels; pixels and padded channels are the caller's to vouch
    // for.
    unsafe {
        let bias = [vld1q_s32(bias.as_ptr()), vld1q_s32(bias.as_ptr().add(4))];
        while let Some((mut inputs, mut outputs, groups)) = pixels.next::<PIXELS>() {
            for _ in 0..groups {
                for (pair, s) in tile(packed, weights, &inputs).into_iter().enumerate() {
                    let (low, high) = (untangle(s[0], s[1]), untangle(s[2], s[3]));
                    for pixel in 0..2 {
                        let to = outputs[2 * pair + pixel].cast::<i32>().wrapping_add(panel.constants);
                        vst1q_s32(to, vaddq_s32(low[pixel], bias[0]));
                        vst1q_s32(to.wrapping_add(4), vaddq_s32(high[pixel], bias[1]));
                    }
                }
                pixels.go_on(&mut inputs, &mut outputs);
            }
        }
    }
}

// Safety: see `Kernels::burn`; only reachable where `supported`.
unsafe fn burn(multiplications: u64) -> u64 {
    const PER_ROUND: u64 = 16 * 32;
    #[target_feature(enable = "neon,i8mm")]
    fn inner(rounds: u64) {
        // Safety: registers only.
        unsafe {
            asm!(
                "2:",
                "subs {n}, {n}, #1",
                products!(8, 0 1 2 3, 16 17 18 19),
                products!(9, 0 1 2 3, 20 21 22 23),
                products!(10, 0 1 2 3, 24 25 26 27),
                products!(11, 0 1 2 3, 28 29 30 31),
                "b.ne 2b",
                n = inout(reg) rounds => _,
                out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
                out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
                out("v30") _, out("v31") _,
                options(nostack, nomem),
            );
        }
    }
    let rounds = (multiplications / PER_ROUND).max(1);
    // Safety: `supported`.
    unsafe { inner(rounds) };
    rounds * PER_ROUND
}
