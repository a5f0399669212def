//! 64-bit ARM with dot products (Cortex-A55, A75, A76, A78 and newer: Raspberry Pi 5, Jetson Orin).
//!
//! A tile is six pixels by up to sixteen output channels in 24 registers of sums. One SDOT by element
//! multiplies four input bytes of a pixel with four weights of each of four channels. A load brings
//! sixteen bytes of a pixel; what is left of a run comes in fours.

pub(super) mod depthwise;

use std::arch::aarch64::*;
use std::arch::asm;

use self::depthwise::depthwise;
use super::aarch64::lookup::Activation;
use super::aarch64::{ANY, Pixels, SMALL_RESULTS, SMALL_SUMS, bands, begin, by_bound, finish, store, xored_zero};
use super::neon::NEON;
use super::packed::AccumulatorBound;
use super::{Kernels, PackedConv, Rows};

/// Armv8.2 with FEAT_DotProd.
static KERNELS: Kernels =
    Kernels { name: "dotprod", lanes: LANES, panel: 4, block: 4, conv, depthwise, conv_sums, burn, ..NEON };

const PIXELS: usize = 6;
const LANES: usize = 4;
/// Channels of the largest panel.
const CHANNELS: usize = 4 * LANES;

/// If this processor has every instruction used here: SDOT.
pub(super) fn kernels() -> Option<&'static Kernels> {
    use std::arch::is_aarch64_feature_detected;
    let supported = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod");
    supported.then_some(&KERNELS)
}

/// Four channels of all pixels: sums `$sum` += input group `$group` of pixel `$a` x weights `$w`.
macro_rules! dots {
    ($group:literal, $w:literal, $($sum:literal $a:literal),+) => {
        concat!($("sdot v", $sum, ".4s, v", $w, ".16b, v", $a, ".4b[", $group, "]\n"),+)
    };
}

/// The sums of pixel p and vector v are in register 8 + 4 p + v.
macro_rules! column {
    ($group:literal, $w:literal, 0) => { dots!($group, $w, 8 0, 12 1, 16 2, 20 3, 24 4, 28 5) };
    ($group:literal, $w:literal, 1) => { dots!($group, $w, 9 0, 13 1, 17 2, 21 3, 25 4, 29 5) };
    ($group:literal, $w:literal, 2) => { dots!($group, $w, 10 0, 14 1, 18 2, 22 3, 26 4, 30 5) };
    ($group:literal, $w:literal, 3) => { dots!($group, $w, 11 0, 15 1, 19 2, 23 3, 27 4, 31 5) };
}

/// One vector of biases to the sums of all pixels, by loads: the multipliers are what everything waits for.
macro_rules! bias {
    ($at:literal, $($sum:literal),+) => {
        concat!($("ldr q", $sum, ", [{bias}, #", $at, "]\n"),+)
    };
}

/// All biases of the panel.
macro_rules! biases {
    (1) => {
        bias!(0, 8, 12, 16, 20, 24, 28)
    };
    (2) => {
        concat!(biases!(1), bias!(16, 9, 13, 17, 21, 25, 29))
    };
    (3) => {
        concat!(biases!(2), bias!(32, 10, 14, 18, 22, 26, 30))
    };
    (4) => {
        concat!(biases!(3), bias!(48, 11, 15, 19, 23, 27, 31))
    };
}

/// One group of four input bytes and all vectors of the panel.
macro_rules! group {
    (1, $group:literal) => {
        concat!("ldr q6, [{w}], #16\n", column!($group, 6, 0))
    };
    (2, $group:literal) => {
        concat!("ldp q6, q7, [{w}], #32\n", column!($group, 6, 0), column!($group, 7, 1))
    };
    (3, $group:literal) => {
        concat!(group!(2, $group), "ldr q6, [{w}], #16\n", column!($group, 6, 2))
    };
    (4, $group:literal) => {
        concat!(group!(2, $group), "ldp q6, q7, [{w}], #32\n", column!($group, 6, 2), column!($group, 7, 3))
    };
}

/// The next bytes of a run of each pixel into registers `$letter`0 to 5.
macro_rules! pixels {
    ($letter:literal) => {
        pixels!($letter, 0 1 2 3 4 5)
    };
    ($letter:literal, $($pixel:literal)+) => {
        concat!($("ldr ", $letter, $pixel, ", [{p", $pixel, "}, {at}]\n",)+ "subs {left}, {left}, #1\n")
    };
}

/// Sixteen bytes of a run.
macro_rules! sixteen {
    ($vectors:tt) => {
        concat!(
            pixels!("q"),
            "add {at}, {at}, #16\n",
            group!($vectors, 0),
            group!($vectors, 1),
            group!($vectors, 2),
            group!($vectors, 3),
        )
    };
}

/// Four bytes of a run.
macro_rules! four {
    ($vectors:tt) => {
        concat!(pixels!("s"), "add {at}, {at}, #4\n", group!($vectors, 0))
    };
}

/// Sums of one tile, bias included.
macro_rules! tile {
    ($name:ident, $vectors:tt, $($register:tt $pixel:literal $vector:literal),+) => {
        /// Safety: as for [`Kernels::conv`]; `weights` are those of one panel of as many vectors.
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name(
            packed: &PackedConv,
            weights: *const i8,
            inputs: &[*const u8; PIXELS],
            bias: &[int32x4_t; $vectors],
        ) -> [[int32x4_t; $vectors]; PIXELS] {
            let mut sums = [[vdupq_n_s32(0); $vectors]; PIXELS];
            let taps = packed.taps.as_ptr_range();
            // Safety: reads the biases, whole vectors of each run of each pixel, and the panel's weights,
            // as many as there are groups of four; writes registers only.
            unsafe {
                asm!(
                    "cbnz {fours}, 4f",
                    biases!($vectors),
                    "2:",
                    "ldr {at}, [{tap}], #8",
                    "mov {left}, {sixteens}",
                    "3:",
                    sixteen!($vectors),
                    "b.ne 3b",
                    "cmp {tap}, {end}",
                    "b.ne 2b",
                    "b 8f",
                    // runs with a rest
                    "4:",
                    biases!($vectors),
                    "5:",
                    "ldr {at}, [{tap}], #8",
                    "mov {left}, {sixteens}",
                    "cbz {left}, 7f",
                    "6:",
                    sixteen!($vectors),
                    "b.ne 6b",
                    "7:",
                    "mov {left}, {fours}",
                    "77:",
                    four!($vectors),
                    "b.ne 77b",
                    "cmp {tap}, {end}",
                    "b.ne 5b",
                    "8:",
                    tap = inout(reg) taps.start => _,
                    end = in(reg) taps.end,
                    w = inout(reg) weights => _,
                    sixteens = in(reg) packed.groups / 4,
                    fours = in(reg) packed.groups % 4,
                    bias = in(reg) bias.as_ptr(),
                    at = out(reg) _,
                    left = out(reg) _,
                    p0 = in(reg) inputs[0],
                    p1 = in(reg) inputs[1],
                    p2 = in(reg) inputs[2],
                    p3 = in(reg) inputs[3],
                    p4 = in(reg) inputs[4],
                    p5 = in(reg) inputs[5],
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                    out("v7") _,
                    $(out($register) sums[$pixel][$vector],)+
                    options(nostack, readonly),
                );
            }
            sums
        }
    };
}

tile!(tile_1, 1, "v8" 0 0, "v12" 1 0, "v16" 2 0, "v20" 3 0, "v24" 4 0, "v28" 5 0);
tile!(
    tile_2, 2, "v8" 0 0, "v12" 1 0, "v16" 2 0, "v20" 3 0, "v24" 4 0, "v28" 5 0,
    "v9" 0 1, "v13" 1 1, "v17" 2 1, "v21" 3 1, "v25" 4 1, "v29" 5 1
);
tile!(
    tile_3, 3, "v8" 0 0, "v12" 1 0, "v16" 2 0, "v20" 3 0, "v24" 4 0, "v28" 5 0,
    "v9" 0 1, "v13" 1 1, "v17" 2 1, "v21" 3 1, "v25" 4 1, "v29" 5 1,
    "v10" 0 2, "v14" 1 2, "v18" 2 2, "v22" 3 2, "v26" 4 2, "v30" 5 2
);
tile!(
    tile_4, 4, "v8" 0 0, "v12" 1 0, "v16" 2 0, "v20" 3 0, "v24" 4 0, "v28" 5 0,
    "v9" 0 1, "v13" 1 1, "v17" 2 1, "v21" 3 1, "v25" 4 1, "v29" 5 1,
    "v10" 0 2, "v14" 1 2, "v18" 2 2, "v22" 3 2, "v26" 4 2, "v30" 5 2,
    "v11" 0 3, "v15" 1 3, "v19" 2 3, "v23" 3 3, "v27" 4 3, "v31" 5 3
);

/// The sums of one pixel to bytes; what lies behind its vectors is of no meaning.
#[inline(always)]
fn pixel<const VECTORS: usize, const REACH: u8>(
    sums: &[int32x4_t; VECTORS],
    multiplier: &[float32x4_t; VECTORS],
    zero: int16x8_t,
) -> uint8x16_t {
    let s = |v: usize| sums[v.min(VECTORS - 1)];
    let m = |v: usize| multiplier[v.min(VECTORS - 1)];
    finish::<REACH, false>([s(0), s(1), s(2), s(3)], [m(0), m(1), m(2), m(3)], zero)
}

/// All pixels of one panel: to bytes, and to sums.
macro_rules! panel {
    ($name:ident, $sums:ident, $tile:ident, $vectors:literal) => {
        /// Safety: as for [`Kernels::conv_sums`].
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $sums(packed: &PackedConv, index: usize, rows: &Rows) {
            let panel = packed.panels[index];
            let weights = packed.weights[panel.weights..].as_ptr();
            let biases = &packed.bias[panel.constants..];
            let mut pixels = Pixels::of(rows);
            // Safety: constants are padded to whole vectors; pixels and padded channels are the caller's
            // to vouch for.
            unsafe {
                let mut bias = [vdupq_n_s32(0); $vectors];
                for (v, to) in bias.iter_mut().enumerate() {
                    *to = vld1q_s32(biases[LANES * v..][..LANES].as_ptr());
                }
                while let Some((mut inputs, mut outputs, groups)) = pixels.next::<PIXELS>() {
                    for _ in 0..groups {
                        let sums = $tile(packed, weights, &inputs, &bias);
                        for (output, sums) in outputs.iter().zip(sums) {
                            for (v, sum) in sums.into_iter().enumerate() {
                                vst1q_s32(output.cast::<i32>().wrapping_add(panel.constants + LANES * v), sum);
                            }
                        }
                        pixels.go_on(&mut inputs, &mut outputs);
                    }
                }
            }
        }

        /// `FULL` says that all sixteen channels of a pixel are written.
        ///
        /// Safety: as for [`Kernels::conv`].
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name<const REACH: u8, const FULL: bool>(packed: &PackedConv, index: usize, rows: &Rows) {
            let panel = packed.panels[index];
            let weights = packed.weights[panel.weights..].as_ptr();
            let (biases, multipliers) = (&packed.bias[panel.constants..], &packed.multiplier[panel.constants..]);
            let zero = xored_zero(packed.pre_zero);
            let activation = Activation::of(&packed.table);
            let mut pixels = Pixels::of(rows);
            // Safety: constants are padded to whole vectors; pixels and channels are the caller's to
            // vouch for.
            unsafe {
                let (mut bias, mut multiplier) = ([vdupq_n_s32(0); $vectors], [vdupq_n_f32(0.0); $vectors]);
                for v in 0..$vectors {
                    bias[v] = begin::<REACH>(vld1q_s32(biases[LANES * v..][..LANES].as_ptr()));
                    multiplier[v] = vld1q_f32(multipliers[LANES * v..][..LANES].as_ptr());
                }
                while let Some((mut inputs, mut outputs, groups)) = pixels.next::<PIXELS>() {
                    for _ in 0..groups {
                        let sums = $tile(packed, weights, &inputs, &bias);
                        let bytes = activation.apply([
                            pixel::<$vectors, REACH>(&sums[0], &multiplier, zero),
                            pixel::<$vectors, REACH>(&sums[1], &multiplier, zero),
                            pixel::<$vectors, REACH>(&sums[2], &multiplier, zero),
                            pixel::<$vectors, REACH>(&sums[3], &multiplier, zero),
                            pixel::<$vectors, REACH>(&sums[4], &multiplier, zero),
                            pixel::<$vectors, REACH>(&sums[5], &multiplier, zero),
                        ]);
                        if FULL {
                            for i in 0..PIXELS {
                                vst1q_u8(outputs[i].wrapping_add(panel.channel), bytes[i]);
                            }
                        } else {
                            for i in 0..PIXELS {
                                store(bytes[i], outputs[i].wrapping_add(panel.channel), panel.channels);
                            }
                        }
                        pixels.go_on(&mut inputs, &mut outputs);
                    }
                }
            }
        }
    };
}

panel!(panel_1, sums_1, tile_1, 1);
panel!(panel_2, sums_2, tile_2, 2);
panel!(panel_3, sums_3, tile_3, 3);
panel!(panel_4, sums_4, tile_4, 4);

// Safety: see `Kernels::conv`; only reachable where `supported`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    bands(packed, rows, |band| {
        for (index, panel) in packed.panels.iter().enumerate() {
            // Safety: handed on.
            unsafe {
                match (panel.vectors, panel.channels) {
                    (1, _) => by_bound!(packed.reach, panel_1::<false>(packed, index, band)),
                    (2, _) => by_bound!(packed.reach, panel_2::<false>(packed, index, band)),
                    (3, _) => by_bound!(packed.reach, panel_3::<false>(packed, index, band)),
                    (_, CHANNELS) => by_bound!(packed.reach, panel_4::<true>(packed, index, band)),
                    _ => by_bound!(packed.reach, panel_4::<false>(packed, index, band)),
                }
            }
        }
    });
}

// Safety: see `Kernels::conv_sums`; only reachable where `supported`.
unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
    for (index, panel) in packed.panels.iter().enumerate() {
        // Safety: handed on.
        unsafe {
            match panel.vectors {
                1 => sums_1(packed, index, rows),
                2 => sums_2(packed, index, rows),
                3 => sums_3(packed, index, rows),
                _ => sums_4(packed, index, rows),
            }
        }
    }
}

// Safety: see `Kernels::burn`; only reachable where `supported`.
unsafe fn burn(multiplications: u64) -> u64 {
    const PER_ROUND: u64 = 24 * 16;
    #[target_feature(enable = "neon,dotprod")]
    fn inner(rounds: u64) {
        // Safety: registers only.
        unsafe {
            asm!(
                "2:",
                "subs {n}, {n}, #1",
                column!(0, 6, 0), column!(0, 6, 1), column!(0, 6, 2), column!(0, 6, 3),
                "b.ne 2b",
                n = inout(reg) rounds => _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
                out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
                out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
                out("v29") _, out("v30") _, out("v31") _,
                options(nostack, nomem),
            );
        }
    }
    let rounds = (multiplications / PER_ROUND).max(1);
    // Safety: `supported`.
    unsafe { inner(rounds) };
    rounds * PER_ROUND
}
