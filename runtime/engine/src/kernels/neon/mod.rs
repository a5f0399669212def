//! 64-bit ARM without dot products (Cortex-A53, A57, A72: Raspberry Pi 3 and 4).
//!
//! A tile is four pixels by four output channels. One step multiplies sixteen input bytes of each
//! pixel with sixteen weights of each channel: SMULL and SMLAL2 into 16 bits, which hold two products
//! of -128..=127 and -127..=127, and SADALP into four partial sums, which are added up at the end.
//! The multiplier is the limit; everything else runs beside it.

pub(super) mod winograd;

use std::arch::aarch64::*;
use std::arch::asm;

use super::aarch64::depthwise::{depthwise, depthwise_sums};
use super::aarch64::fours::store_fours;
use super::aarch64::gather::gather;
use super::aarch64::lookup::{Activation, table};
use super::aarch64::{
    ANY, MAGIC, Pixels, SIGN_XOR, SMALL_RESULTS, SMALL_SUMS, add, bands, begin, by_bound, finish, max, mean, mul,
    store, xored_zero,
};
use super::packed::{AccumulatorBound, Panel};
use super::{Kernels, PackedConv, Rows, wide_store};

/// Every 64-bit ARM.
static KERNELS: Kernels = Kernels { winograd: Some(winograd::LOOPS), ..NEON };

/// The same with fewer multiplications wherever that can be.
#[cfg(test)]
static EAGER: Kernels = Kernels { name: "neon, eager", winograd: Some(winograd::EAGER), ..NEON };

/// Every processor of this architecture has them.
pub(super) fn kernels() -> &'static Kernels {
    &KERNELS
}

/// As [`kernels`].
#[cfg(test)]
pub(super) fn eager() -> &'static Kernels {
    &EAGER
}

/// What newer processors take over where they have nothing better.
pub(super) const NEON: Kernels = Kernels {
    name: "neon",
    lanes: LANES,
    panel: 1,
    block: BLOCK,
    sign_xor: SIGN_XOR,
    joins: 0,
    short_tables: true,
    winograd: None,
    conv,
    depthwise,
    conv_sums,
    depthwise_sums,
    wide_store: wide_store::store,
    table,
    max,
    add,
    mul,
    mean,
    gather,
    dots: super::dots::dots_neon,
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

/// Four parts of the sum of each pixel and channel; the first of them has the bias.
///
/// Safety: as for [`Kernels::conv`]; `weights` are those of one panel.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile(
    packed: &PackedConv,
    weights: *const i8,
    inputs: &[*const u8; PIXELS],
    bias: &[i32; LANES],
) -> [[int32x4_t; LANES]; PIXELS] {
    let mut parts = [[vdupq_n_s32(0); LANES]; PIXELS];
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
            out("v15") _,
            out("v16") parts[0][0], out("v17") parts[0][1], out("v18") parts[0][2], out("v19") parts[0][3],
            out("v20") parts[1][0], out("v21") parts[1][1], out("v22") parts[1][2], out("v23") parts[1][3],
            out("v24") parts[2][0], out("v25") parts[2][1], out("v26") parts[2][2], out("v27") parts[2][3],
            out("v28") parts[3][0], out("v29") parts[3][1], out("v30") parts[3][2], out("v31") parts[3][3],
            options(nostack, readonly),
        );
    }
    parts
}

/// The sums of each pixel, one channel a lane.
#[inline(always)]
fn sums(parts: [[int32x4_t; LANES]; PIXELS]) -> [int32x4_t; PIXELS] {
    // Safety: NEON.
    let sum = |p: [int32x4_t; LANES]| unsafe { vpaddq_s32(vpaddq_s32(p[0], p[1]), vpaddq_s32(p[2], p[3])) };
    [sum(parts[0]), sum(parts[1]), sum(parts[2]), sum(parts[3])]
}

/// What [`small_bytes`] needs to know of a panel.
#[repr(C)]
struct Constants {
    magic: float32x4_t,
    multiplier: float32x4_t,
    zero: int16x8_t,
}

/// `finish::<SMALL_SUMS, true>` of [`sums`]. In assembly: the pixels go through one behind the other, so
/// that one's waits are filled by the others' work.
#[inline(always)]
fn small_bytes(parts: [[int32x4_t; LANES]; PIXELS], constants: &Constants) -> uint8x16_t {
    let bytes: uint8x16_t;
    // Safety: NEON; reads the constants, writes registers only.
    unsafe {
        asm!(
            "ldp q0, q1, [{constants}]",
            "ldr q2, [{constants}, #32]",
            "addp v18.4s, v18.4s, v19.4s",
            "addp v20.4s, v20.4s, v21.4s",
            "addp v24.4s, v24.4s, v25.4s",
            "addp v30.4s, v30.4s, v31.4s",
            "addp v16.4s, v16.4s, v17.4s",
            "addp v8.4s, v16.4s, v18.4s",
            "fsub v4.4s, v8.4s, v0.4s",
            "addp v22.4s, v22.4s, v23.4s",
            "addp v26.4s, v26.4s, v27.4s",
            "addp v28.4s, v28.4s, v29.4s",
            "addp v11.4s, v28.4s, v30.4s",
            "fsub v7.4s, v11.4s, v0.4s",
            "addp v9.4s, v20.4s, v22.4s",
            "fsub v5.4s, v9.4s, v0.4s",
            "fmul v5.4s, v5.4s, v1.4s",
            "addp v10.4s, v24.4s, v26.4s",
            "fmul v4.4s, v4.4s, v1.4s",
            "fadd v4.4s, v4.4s, v0.4s",
            "xtn v12.4h, v4.4s",
            "fmul v7.4s, v7.4s, v1.4s",
            "fsub v6.4s, v10.4s, v0.4s",
            "fadd v7.4s, v7.4s, v0.4s",
            "fmul v6.4s, v6.4s, v1.4s",
            "fadd v6.4s, v6.4s, v0.4s",
            "xtn v13.4h, v6.4s",
            "xtn2 v13.8h, v7.4s",
            "sqadd v13.8h, v13.8h, v2.8h",
            "fadd v5.4s, v5.4s, v0.4s",
            "xtn2 v12.8h, v5.4s",
            "sqadd v12.8h, v12.8h, v2.8h",
            "sqxtn v14.8b, v12.8h",
            "sqxtn2 v14.16b, v13.8h",
            constants = in(reg) constants,
            out("v0") _, out("v1") _, out("v2") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") bytes,
            inout("v16") parts[0][0] => _, in("v17") parts[0][1], inout("v18") parts[0][2] => _, in("v19") parts[0][3],
            inout("v20") parts[1][0] => _, in("v21") parts[1][1], inout("v22") parts[1][2] => _, in("v23") parts[1][3],
            inout("v24") parts[2][0] => _, in("v25") parts[2][1], inout("v26") parts[2][2] => _, in("v27") parts[2][3],
            inout("v28") parts[3][0] => _, in("v29") parts[3][1], inout("v30") parts[3][2] => _, in("v31") parts[3][3],
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    bytes
}

// Safety: see `Kernels::conv`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { by_bound!(packed.reach, all(packed, rows)) }
}

/// Safety: as for [`Kernels::conv`].
#[target_feature(enable = "neon")]
unsafe fn all<const REACH: u8>(packed: &PackedConv, rows: &Rows) {
    bands(packed, rows, |band| {
        for panel in &packed.panels {
            // Safety: handed on.
            unsafe {
                match panel.channels {
                    LANES => panel_of::<REACH, true>(packed, panel, band),
                    _ => panel_of::<REACH, false>(packed, panel, band),
                }
            }
        }
        if let Some(last) = packed.panels.last() {
            let activation = Activation::of(&packed.table);
            // Safety: the channels that were just written.
            unsafe { activation.rows(band, last.channel + last.channels) };
        }
    });
}

/// All pixels of one panel; `FULL` says that it has all its channels.
///
/// Safety: as for [`Kernels::conv`].
#[target_feature(enable = "neon")]
unsafe fn panel_of<const REACH: u8, const FULL: bool>(packed: &PackedConv, panel: &Panel, rows: &Rows) {
    let zero = xored_zero(packed.pre_zero);
    let weights = packed.weights[panel.weights..].as_ptr();
    // Safety: constants are padded to whole vectors; pixels and channels are the caller's to vouch for.
    unsafe {
        let mut bias = [0; LANES];
        let constants = vld1q_s32(packed.bias[panel.constants..][..LANES].as_ptr());
        vst1q_s32(bias.as_mut_ptr(), begin::<REACH>(constants));
        let multiplier = vld1q_f32(packed.multiplier[panel.constants..][..LANES].as_ptr());
        let constants = Constants { magic: vdupq_n_f32(MAGIC), multiplier, zero };
        let mut pixels = Pixels::of(rows);
        while let Some((mut inputs, mut outputs, groups)) = pixels.next::<PIXELS>() {
            for _ in 0..groups {
                let parts = tile(packed, weights, &inputs, &bias);
                let bytes = if REACH == SMALL_SUMS {
                    small_bytes(parts, &constants)
                } else {
                    finish::<REACH, true>(sums(parts), [multiplier; 4], zero)
                };
                let o = |p: usize| outputs[p].wrapping_add(panel.channel);
                if FULL {
                    store_fours(bytes, [o(0), o(1), o(2), o(3)]);
                } else {
                    store(bytes, o(0), panel.channels);
                    store(vextq_u8::<4>(bytes, bytes), o(1), panel.channels);
                    store(vextq_u8::<8>(bytes, bytes), o(2), panel.channels);
                    store(vextq_u8::<12>(bytes, bytes), o(3), panel.channels);
                }
                pixels.go_on(&mut inputs, &mut outputs);
            }
        }
    }
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
            while let Some((mut inputs, mut outputs, groups)) = pixels.next::<PIXELS>() {
                for _ in 0..groups {
                    let sums = sums(tile(packed, weights, &inputs, &bias));
                    for i in 0..PIXELS {
                        vst1q_s32(outputs[i].cast::<i32>().wrapping_add(panel.constants), sums[i]);
                    }
                    pixels.go_on(&mut inputs, &mut outputs);
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
