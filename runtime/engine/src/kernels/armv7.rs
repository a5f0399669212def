//! 32-bit ARM with NEON (Cortex-A7, A9, A15 and newer).
//!
//! Stable Rust has no NEON intrinsics here, and its compiler is not told that the processor has NEON:
//! every loop is assembly that says so itself. A tile is two pixels by four output channels; a step is
//! as in the 64-bit loop: VMULL and VMLAL into 16 bits, VPADAL into 32.
//!
//! There is no conversion that rounds to nearest even. A product is first clamped to +-1024, which
//! changes no result because eight bits saturate long before, and then 1.5 * 2^23 is added: the sum's
//! last bit stands for one, so the addition rounds, to nearest even as always in NEON.

use std::arch::asm;

use super::portable;
use super::{Kernels, PackedConv, PackedDepthwise, Rows};

/// Armv7 with NEON.
static KERNELS: Kernels = Kernels {
    joins: 0,
    short_tables: false,
    winograd: None,
    conv,
    depthwise,
    conv_sums,
    depthwise_sums,
    max,
    ..portable::loops::<BLOCK, SIGN_XOR>("armv7-neon", 1)
};

const SIGN_XOR: u8 = 0x80;
const LANES: usize = 4;
/// Input bytes of a step.
const BLOCK: usize = 16;
/// Channels of a depthwise step.
const EIGHT: usize = 8;

/// If the operating system says that this processor has NEON.
pub(super) fn kernels() -> Option<&'static Kernels> {
    const HWCAP_NEON: usize = 1 << 12;
    (rustix::param::linux_hwcap().0 & HWCAP_NEON != 0).then_some(&KERNELS)
}

/// What the assembly reads, at the offsets that stand in it.
#[repr(C)]
struct Job {
    inputs: [*const u8; 2], // 0, 4
    tap: *const usize,      // 8
    tap_end: *const usize,  // 12
    weights: *const i8,     // 16
    /// Blocks a run; for a depthwise job the bytes from tap to tap.
    blocks: usize, // 20
    bias: *const i32,       // 24
    multiplier: *const f32, // 28
    zero: i32,              // 32
    /// The result.
    bytes: [u8; 8], // 36
    /// Or the sums, where they are asked for; else null.
    sums: *mut i32, // 44
}

impl Job {
    /// Without inputs, for bytes. `weights` come with what stands in `blocks`.
    fn new(taps: &[usize], weights: (&[i8], usize), bias: &[i32], multiplier: &[f32], pre_zero: u8) -> Job {
        let taps = taps.as_ptr_range();
        Job {
            inputs: [std::ptr::null(); 2],
            tap: taps.start,
            tap_end: taps.end,
            weights: weights.0.as_ptr(),
            blocks: weights.1,
            bias: bias.as_ptr(),
            multiplier: multiplier.as_ptr(),
            zero: i32::from(pre_zero) - i32::from(SIGN_XOR),
            bytes: [0; 8],
            sums: std::ptr::null_mut(),
        }
    }
}

/// Sums in q0 and q1 as they are, if the job asks for them; label 9 is then behind everything else.
macro_rules! sums {
    () => {
        concat!(
            "ldr {x0}, [{job}, #44]\n",
            "cmp {x0}, #0\n",
            "beq 8f\n",
            "vst1.32 {{d0, d1, d2, d3}}, [{x0}]\n",
            "b 9f\n",
            "8:\n",
        )
    };
}

/// Sums in q0 and q1 with multipliers in q2 and q3 to eight xored bytes in the job.
macro_rules! finish {
    () => {
        concat!(
            "vcvt.f32.s32 q0, q0\n",
            "vcvt.f32.s32 q1, q1\n",
            "vmul.f32 q0, q0, q2\n",
            "vmul.f32 q1, q1, q3\n",
            "movw {x0}, #0\n",
            "movt {x0}, #0x4480\n", // 1024.0
            "vdup.32 q2, {x0}\n",
            "vneg.f32 q3, q2\n",
            "vmin.f32 q0, q0, q2\n",
            "vmin.f32 q1, q1, q2\n",
            "vmax.f32 q0, q0, q3\n",
            "vmax.f32 q1, q1, q3\n",
            "movt {x0}, #0x4b40\n", // 1.5 * 2^23
            "vdup.32 q2, {x0}\n",
            "vadd.f32 q0, q0, q2\n",
            "vadd.f32 q1, q1, q2\n",
            "vsub.i32 q0, q0, q2\n",
            "vsub.i32 q1, q1, q2\n",
            "ldr {x0}, [{job}, #32]\n",
            "vdup.16 q2, {x0}\n",
            "vqmovn.s32 d0, q0\n",
            "vqmovn.s32 d1, q1\n",
            "vqadd.s16 q0, q0, q2\n",
            "vqmovn.s16 d0, q0\n",
            "add {x0}, {job}, #36\n",
            "vst1.8 {{d0}}, [{x0}]\n",
        )
    };
}

/// Products of both pixels with two channels, whose weights are in d4..d7.
macro_rules! products {
    () => {
        concat!(
            "vmull.s8 q4, d0, d4\n",
            "vmull.s8 q5, d2, d4\n",
            "vmlal.s8 q4, d1, d5\n",
            "vmlal.s8 q5, d3, d5\n",
            "vmull.s8 q6, d0, d6\n",
            "vmull.s8 q7, d2, d6\n",
            "vmlal.s8 q6, d1, d7\n",
            "vmlal.s8 q7, d3, d7\n",
        )
    };
}

/// `asm!` that leaves no vector register as it was.
///
/// The compiler knows d0 to d15 as its own floating-point registers. It uses d16 to d31 only where it
/// is built for NEON; then it honours those clobbers, else it leaves them out.
macro_rules! neon {
    ($($part:tt)*) => {
        asm!(
            ".fpu neon",
            $($part)*
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _,
            out("d15") _, out("d16") _, out("d17") _, out("d18") _, out("d19") _, out("d20") _, out("d21") _,
            out("d22") _, out("d23") _, out("d24") _, out("d25") _, out("d26") _, out("d27") _, out("d28") _,
            out("d29") _, out("d30") _, out("d31") _,
            options(nostack),
        )
    };
}

/// Two pixels by four channels.
///
/// Safety: as for [`Kernels::conv`]; the job's pointers are those of one panel.
#[inline]
unsafe fn tile(job: &mut Job) {
    // Safety: reads whole blocks of each run of both pixels, the panel's weights, as many as there are
    // blocks, and its constants; writes the job's bytes, or eight sums.
    unsafe {
        neon!(
            "ldr {p0}, [{job}]",
            "ldr {p1}, [{job}, #4]",
            "ldr {tap}, [{job}, #8]",
            "ldr {w}, [{job}, #16]",
            "vmov.i32 q8, #0", "vmov.i32 q9, #0", "vmov.i32 q10, #0", "vmov.i32 q11, #0",
            "vmov.i32 q12, #0", "vmov.i32 q13, #0", "vmov.i32 q14, #0", "vmov.i32 q15, #0",
            "2:",
            "ldr {x1}, [{tap}], #4",
            "ldr {left}, [{job}, #20]",
            "add {x0}, {p0}, {x1}",
            "add {x1}, {p1}, {x1}",
            "3:",
            "vld1.8 {{d0, d1}}, [{x0}]!",
            "vld1.8 {{d4, d5, d6, d7}}, [{w}]!",
            "vld1.8 {{d2, d3}}, [{x1}]!",
            "subs {left}, {left}, #1",
            products!(),
            "vld1.8 {{d4, d5, d6, d7}}, [{w}]!",
            "vpadal.s16 q8, q4",
            "vpadal.s16 q12, q5",
            "vpadal.s16 q9, q6",
            "vpadal.s16 q13, q7",
            products!(),
            "vpadal.s16 q10, q4",
            "vpadal.s16 q14, q5",
            "vpadal.s16 q11, q6",
            "vpadal.s16 q15, q7",
            "bne 3b",
            "ldr {left}, [{job}, #12]",
            "cmp {tap}, {left}",
            "bne 2b",
            "vpadd.i32 d0, d16, d17",
            "vpadd.i32 d1, d18, d19",
            "vpadd.i32 d2, d20, d21",
            "vpadd.i32 d3, d22, d23",
            "vpadd.i32 d0, d0, d1",
            "vpadd.i32 d1, d2, d3",
            "vpadd.i32 d2, d24, d25",
            "vpadd.i32 d3, d26, d27",
            "vpadd.i32 d4, d28, d29",
            "vpadd.i32 d5, d30, d31",
            "vpadd.i32 d2, d2, d3",
            "vpadd.i32 d3, d4, d5",
            "ldr {x0}, [{job}, #24]",
            "vld1.32 {{d4, d5}}, [{x0}]",
            "vadd.i32 q0, q0, q2",
            "vadd.i32 q1, q1, q2",
            sums!(),
            "ldr {x0}, [{job}, #28]",
            "vld1.32 {{d4, d5}}, [{x0}]",
            "vmov q3, q2",
            finish!(),
            "9:",
            job = in(reg) job,
            p0 = out(reg) _,
            p1 = out(reg) _,
            tap = out(reg) _,
            w = out(reg) _,
            x0 = out(reg) _,
            x1 = out(reg) _,
            left = out(reg) _,
        );
    }
}

// Safety: see `Kernels::conv`; only reachable where `supported`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { dense::<false>(packed, rows) }
}

// Safety: see `Kernels::conv_sums`; only reachable where `supported`.
unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { dense::<true>(packed, rows) }
}

/// Safety: as for [`Kernels::conv`], or [`Kernels::conv_sums`] for `SUMS`.
unsafe fn dense<const SUMS: bool>(packed: &PackedConv, rows: &Rows) {
    let mut sums = [0i32; EIGHT];
    for panel in &packed.panels {
        let mut job = Job::new(
            &packed.taps,
            (&packed.weights[panel.weights..], packed.groups),
            &packed.bias[panel.constants..][..LANES],
            &packed.multiplier[panel.constants..][..LANES],
            packed.pre_zero,
        );
        if SUMS {
            job.sums = sums.as_mut_ptr();
        }
        for y in 0..rows.height {
            for x in (0..rows.width).step_by(2) {
                // the last pixel of an odd row is computed twice
                let pair = [x, (x + 1).min(rows.width - 1)];
                // Safety: pixels and channels of the job, for which the caller vouches.
                unsafe {
                    let input = |x: usize| rows.input.add(y * rows.input_row + x * rows.input_pixel);
                    job.inputs = [input(pair[0]), input(pair[1])];
                    tile(&mut job);
                    if SUMS {
                        for (x, half) in pair.into_iter().zip(0..) {
                            let output = rows.output.add(y * rows.output_row + x * rows.output_pixel).cast::<i32>();
                            output.add(panel.constants).copy_from_nonoverlapping(job.sums.add(LANES * half), LANES);
                        }
                        continue;
                    }
                    for (x, bytes) in pair.into_iter().zip(job.bytes.as_chunks::<LANES>().0) {
                        let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + panel.channel);
                        put(packed.table.entries(), &bytes[..panel.channels], output);
                    }
                }
            }
        }
    }
}

/// Writes bytes, through the table if there is one.
///
/// Safety: as many are writable.
#[inline]
unsafe fn put(entries: Option<&[u8; 256]>, bytes: &[u8], output: *mut u8) {
    for (i, &byte) in bytes.iter().enumerate() {
        // Safety: the caller's to vouch for.
        unsafe { output.add(i).write(entries.map_or(byte, |t| t[usize::from(byte)])) };
    }
}

// Safety: see `Kernels::depthwise`; only reachable where `supported`.
unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on.
    unsafe { channelwise::<false>(packed, rows) }
}

// Safety: see `Kernels::depthwise_sums`; only reachable where `supported`.
unsafe fn depthwise_sums(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: handed on.
    unsafe { channelwise::<true>(packed, rows) }
}

/// Safety: as for [`Kernels::depthwise`], or [`Kernels::depthwise_sums`] for `SUMS`.
unsafe fn channelwise<const SUMS: bool>(packed: &PackedDepthwise, rows: &Rows) {
    let mut sums = [0i32; EIGHT];
    for channel in (0..packed.channels).step_by(EIGHT) {
        let mut job = Job::new(
            &packed.taps,
            (&packed.weights[channel..], packed.bias.len()),
            &packed.bias[channel..][..EIGHT],
            &packed.multiplier[channel..][..EIGHT],
            packed.pre_zero,
        );
        if SUMS {
            job.sums = sums.as_mut_ptr();
        }
        let channels = (packed.channels - channel).min(EIGHT);
        for y in 0..rows.height {
            for x in 0..rows.width {
                // Safety: pixels and channels of the job, for which the caller vouches.
                unsafe {
                    job.inputs[0] = rows.input.add(y * rows.input_row + x * rows.input_pixel + channel);
                    eight(&mut job);
                    let output = rows.output.add(y * rows.output_row + x * rows.output_pixel);
                    if SUMS {
                        output.cast::<i32>().add(channel).copy_from_nonoverlapping(job.sums, EIGHT);
                    } else {
                        put(packed.table.entries(), &job.bytes[..channels], output.add(channel));
                    }
                }
            }
        }
    }
}

/// Eight channels of one pixel of a depthwise convolution.
///
/// Safety: as for [`Kernels::depthwise`].
#[inline]
unsafe fn eight(job: &mut Job) {
    // Safety: reads eight channels of each tap, their weights and constants, which are padded; writes
    // the job's bytes, or eight sums.
    unsafe {
        neon!(
            "ldr {p0}, [{job}]",
            "ldr {tap}, [{job}, #8]",
            "ldr {end}, [{job}, #12]",
            "ldr {w}, [{job}, #16]",
            "ldr {step}, [{job}, #20]",
            "ldr {x0}, [{job}, #24]",
            "vld1.32 {{d16, d17, d18, d19}}, [{x0}]",
            "2:",
            "ldr {x0}, [{tap}], #4",
            "add {x0}, {p0}, {x0}",
            "vld1.8 {{d0}}, [{x0}]",
            "vld1.8 {{d1}}, [{w}], {step}",
            "cmp {tap}, {end}",
            "vmull.s8 q1, d0, d1",
            "vaddw.s16 q8, q8, d2",
            "vaddw.s16 q9, q9, d3",
            "bne 2b",
            "vmov q0, q8",
            "vmov q1, q9",
            sums!(),
            "ldr {x0}, [{job}, #28]",
            "vld1.32 {{d4, d5, d6, d7}}, [{x0}]",
            finish!(),
            "9:",
            job = in(reg) job,
            p0 = out(reg) _,
            tap = out(reg) _,
            end = out(reg) _,
            w = out(reg) _,
            step = out(reg) _,
            x0 = out(reg) _,
        );
    }
}

// Safety: see `Kernels::max`; only reachable where `supported`.
unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
    const BYTES: usize = 16;
    let blocks = count / BYTES;
    // Safety: below `count`.
    unsafe {
        if blocks > 0 {
            neon!(
                "2:",
                "vld1.8 {{d0, d1}}, [{from}]!",
                "vld1.8 {{d2, d3}}, [{to}]",
                "subs {left}, {left}, #1",
                "vmax.s8 q0, q0, q1",
                "vst1.8 {{d0, d1}}, [{to}]!",
                "bne 2b",
                from = inout(reg) input => _,
                to = inout(reg) accumulator => _,
                left = inout(reg) blocks => _,
            );
        }
        let done = blocks * BYTES;
        portable::max::<SIGN_XOR>(input.add(done), accumulator.add(done), count - done);
    }
}
