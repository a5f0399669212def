//! What the kernel sets of 64-bit ARM share: rounding, narrowing, loops over bytes.
//!
//! NEON is part of every such processor and of the compiler's target: "Safety: NEON." says so. Small
//! functions are inlined always, because vectors between functions go through memory. Bytes in
//! memory are xored (`Kernels::sign_xor` is 0x80): read as i8 they are the values less 128, and the store
//! saturates to i8.

pub(super) mod depthwise;
pub(super) mod fours;
pub(super) mod gather;
pub(super) mod lookup;

use std::arch::aarch64::*;
use std::arch::asm;

use super::packed::RESULT_MAX;
use super::{Block, PackedConv, Product, Rows, Sum};

/// See `Kernels::sign_xor`.
pub(super) const SIGN_XOR: u8 = 0x80;

/// Channels of one 128-bit vector of bytes.
pub(super) const BYTES: usize = 16;

/// Four sums to rounded numbers before the zero point.
#[inline(always)]
pub(super) fn round(sums: int32x4_t, multiplier: float32x4_t) -> int32x4_t {
    // Safety: NEON.
    unsafe { vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), multiplier)) }
}

/// The zero point before the table, in the domain of xored bytes.
#[inline(always)]
pub(super) fn xored_zero(zero: u8) -> int16x8_t {
    // Safety: NEON.
    unsafe { vdupq_n_s16(i16::from(zero) - i16::from(SIGN_XOR)) }
}

/// Sixteen rounded numbers to bytes.
///
/// i32 -> i16 saturates, the zero point is added with saturation, i16 -> i8 saturates: the same as
/// one clamp at the end, because the zero point has eight bits.
#[inline(always)]
pub(super) fn narrow(r: [int32x4_t; 4], zero: int16x8_t) -> uint8x16_t {
    // Safety: NEON.
    unsafe {
        let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(r[0]), r[1]), zero);
        let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(r[2]), r[3]), zero);
        vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(low), high))
    }
}

/// [`AccumulatorBound`] as a parameter of a loop.
pub(super) const ANY: u8 = 0;
pub(super) const SMALL_RESULTS: u8 = 1;
pub(super) const SMALL_SUMS: u8 = 2;

/// Calls a function with the reach as its first parameter.
macro_rules! by_bound {
    ($reach:expr, $function:ident $(::<$other:literal>)? ($($argument:expr),+)) => {
        match $reach {
            AccumulatorBound::Any => $function::<ANY $(, $other)?>($($argument),+),
            AccumulatorBound::SmallResults => $function::<SMALL_RESULTS $(, $other)?>($($argument),+),
            AccumulatorBound::SmallSums => $function::<SMALL_SUMS $(, $other)?>($($argument),+),
        }
    };
}
pub(super) use by_bound;

/// 1.5 * 2^23: a float of this size has a last bit of one. Adding it to a float rounds that to the
/// nearest integer, halves to even, and leaves the integer in the low bits; adding a small integer to
/// its bits is adding it to the float.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// What sums begin with: the bias, for small sums on top of the magic number's bits.
#[inline(always)]
pub(super) fn begin<const REACH: u8>(bias: int32x4_t) -> int32x4_t {
    // Safety: NEON.
    unsafe { if REACH == SMALL_SUMS { vaddq_s32(bias, vdupq_n_s32(MAGIC.to_bits() as i32)) } else { bias } }
}

/// Sixteen sums that started with [`begin`] to bytes. Exact where the reach is what it says. `XTN` as for
/// [`low_halves`].
#[inline(always)]
pub(super) fn finish<const REACH: u8, const XTN: bool>(
    sums: [int32x4_t; 4],
    multiplier: [float32x4_t; 4],
    zero: int16x8_t,
) -> uint8x16_t {
    if REACH == ANY {
        let r = |v: usize| round(sums[v], multiplier[v]);
        return narrow([r(0), r(1), r(2), r(3)], zero);
    }
    // Safety: NEON.
    unsafe {
        let r = |v: usize| {
            let real = if REACH == SMALL_SUMS { lifted(sums[v]) } else { vcvtq_f32_s32(sums[v]) };
            vmulq_f32(real, multiplier[v])
        };
        narrow_small::<XTN>([r(0), r(1), r(2), r(3)], zero)
    }
}

/// The sums, below 2^22 in magnitude, that were added to the magic number's bits, as floats.
#[inline(always)]
fn lifted(sums: int32x4_t) -> float32x4_t {
    // Safety: NEON.
    unsafe { vsubq_f32(vreinterpretq_f32_s32(sums), vdupq_n_f32(MAGIC)) }
}

/// Sixteen float32 values below [`RESULT_MAX`] in magnitude to bytes.
#[inline(always)]
fn narrow_small<const XTN: bool>(reals: [float32x4_t; 4], zero: int16x8_t) -> uint8x16_t {
    // Safety: NEON.
    unsafe {
        // the low half of the bits is the rounded number as an i16
        let r = |v: usize| vreinterpretq_s32_f32(vaddq_f32(reals[v], vdupq_n_f32(MAGIC)));
        let low = vqaddq_s16(low_halves::<XTN>(r(0), r(1)), zero);
        let high = vqaddq_s16(low_halves::<XTN>(r(2), r(3)), zero);
        vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(low), high))
    }
}

/// The low halves of eight numbers; with `XTN` by two of these, which for Cortex-A57 and A72 are two
/// operations and UZP1 three. In assembly: the compiler takes UZP1 for it.
#[inline(always)]
fn low_halves<const XTN: bool>(a: int32x4_t, b: int32x4_t) -> int16x8_t {
    // Safety: NEON; registers only.
    unsafe {
        if !XTN {
            return vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
        }
        let halves: int16x8_t;
        asm!(
            "xtn {halves:v}.4h, {a:v}.4s",
            "xtn2 {halves:v}.8h, {b:v}.4s",
            halves = out(vreg) halves,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
        halves
    }
}

/// Sixteen float32 values to bytes; `SMALL` says that [`narrow_small`] may be used.
#[inline(always)]
fn narrow_reals<const SMALL: bool>(reals: [float32x4_t; 4], zero: int16x8_t) -> uint8x16_t {
    if SMALL {
        return narrow_small::<false>(reals, zero);
    }
    // Safety: NEON.
    let r = |v: usize| unsafe { vcvtnq_s32_f32(reals[v]) };
    narrow([r(0), r(1), r(2), r(3)], zero)
}

/// Writes the first `count` (1 to 16) bytes of a vector.
///
/// Safety: they are writable.
#[inline(always)]
pub(super) unsafe fn store(mut bytes: uint8x16_t, mut to: *mut u8, count: usize) {
    // Safety: the parts are disjoint and add up to `count`.
    unsafe {
        if count == BYTES {
            return vst1q_u8(to, bytes);
        }
        if count & 8 != 0 {
            vst1_u8(to, vget_low_u8(bytes));
            bytes = vextq_u8::<8>(bytes, bytes);
            to = to.add(8);
        }
        if count & 4 != 0 {
            to.cast::<u32>().write_unaligned(vgetq_lane_u32::<0>(vreinterpretq_u32_u8(bytes)));
            bytes = vextq_u8::<4>(bytes, bytes);
            to = to.add(4);
        }
        if count & 2 != 0 {
            to.cast::<u16>().write_unaligned(vgetq_lane_u16::<0>(vreinterpretq_u16_u8(bytes)));
            bytes = vextq_u8::<2>(bytes, bytes);
            to = to.add(2);
        }
        if count & 1 != 0 {
            to.write(vgetq_lane_u8::<0>(bytes));
        }
    }
}

/// Hands out the pixels of a job in groups that run on from row to row.
pub(super) struct Pixels {
    rows: Rows,
    /// Of the next pixel, or of the last one where there is none.
    input: *const u8,
    output: *mut u8,
    /// From the last pixel of a row to the first of the next, of input and output.
    turns: [usize; 2],
    x: usize,
    y: usize,
}

impl Pixels {
    /// Rows without a gap between them are one.
    pub(super) fn of(rows: &Rows) -> Pixels {
        let joined =
            rows.input_row == rows.width * rows.input_pixel && rows.output_row == rows.width * rows.output_pixel;
        let (width, height) = if joined { (rows.width * rows.height, 1) } else { (rows.width, rows.height) };
        let rows = Rows { width, height, ..*rows };
        let turn = |row: usize, pixel: usize| row.wrapping_sub(width.wrapping_sub(1).wrapping_mul(pixel));
        let turns = [turn(rows.input_row, rows.input_pixel), turn(rows.output_row, rows.output_pixel)];
        Pixels { input: rows.input, output: rows.output, rows, turns, x: 0, y: 0 }
    }

    /// Inputs and outputs of the next `N`, and how many times as many lie one behind the other from there
    /// on, for [`Pixels::go_on`]; behind the last pixel that one again, so that what is computed twice is
    /// written twice.
    #[inline(always)]
    pub(super) fn next<const N: usize>(&mut self) -> Option<([*const u8; N], [*mut u8; N], usize)> {
        if self.y >= self.rows.height {
            return None;
        }
        let (mut inputs, mut outputs) = ([self.input; N], [self.output; N]);
        let groups = (self.rows.width - self.x) / N;
        if groups == 0 {
            for i in 0..N {
                (inputs[i], outputs[i]) = (self.input, self.output);
                self.step();
            }
            return Some((inputs, outputs, 1));
        }
        for i in 0..N {
            inputs[i] = self.input.wrapping_add(i * self.rows.input_pixel);
            outputs[i] = self.output.wrapping_add(i * self.rows.output_pixel);
        }
        let others = groups * N - 1;
        self.input = self.input.wrapping_add(others * self.rows.input_pixel);
        self.output = self.output.wrapping_add(others * self.rows.output_pixel);
        self.x += others;
        self.step();
        Some((inputs, outputs, groups))
    }

    /// From one group of a row to the next.
    #[inline(always)]
    pub(super) fn go_on<const N: usize>(&self, inputs: &mut [*const u8; N], outputs: &mut [*mut u8; N]) {
        // by index: where the compiler does not inline what `zip` is made of, it is called for every group
        for i in 0..N {
            inputs[i] = inputs[i].wrapping_add(N * self.rows.input_pixel);
            outputs[i] = outputs[i].wrapping_add(N * self.rows.output_pixel);
        }
    }

    /// To the next pixel.
    #[inline(always)]
    fn step(&mut self) {
        let rows = &self.rows;
        let turn = self.x + 1 == rows.width;
        let [input, output] = if turn { self.turns } else { [rows.input_pixel, rows.output_pixel] };
        self.x = if turn { 0 } else { self.x + 1 };
        self.y += usize::from(turn);
        let [input, output] = if self.y < rows.height { [input, output] } else { [0; 2] };
        self.input = self.input.wrapping_add(input);
        self.output = self.output.wrapping_add(output);
    }
}

/// Bytes of input that stay near while one panel after the other reads them.
const NEAR_BYTES: usize = 24 << 10;
/// The same where the weights are what stays near.
const FAR_BYTES: usize = 192 << 10;

/// Splits a job into bands of rows, whose input stays in a cache while all panels read it.
pub(super) fn bands(packed: &PackedConv, rows: &Rows, mut run: impl FnMut(&Rows)) {
    let bytes = if packed.weights.len() <= NEAR_BYTES { NEAR_BYTES } else { FAR_BYTES };
    let height = (bytes / rows.input_row.max(1)).max(1);
    for y in (0..rows.height).step_by(height) {
        run(&Rows {
            // rows of the job: they lie in its allocation
            input: rows.input.wrapping_add(y * rows.input_row),
            output: rows.output.wrapping_add(y * rows.output_row),
            height: height.min(rows.height - y),
            ..*rows
        });
    }
}

/// `Kernels::max`: xored bytes are in the order of i8.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
    let (fours, whole) = (count / (4 * BYTES) * (4 * BYTES), count / BYTES * BYTES);
    // Safety: below `count`.
    unsafe {
        let greater = |at: usize| vmaxq_s8(vld1q_s8(input.add(at).cast()), vld1q_s8(accumulator.add(at).cast()));
        for at in (0..fours).step_by(4 * BYTES) {
            let four = [greater(at), greater(at + BYTES), greater(at + 2 * BYTES), greater(at + 3 * BYTES)];
            for (i, bytes) in four.into_iter().enumerate() {
                vst1q_s8(accumulator.add(at + i * BYTES).cast(), bytes);
            }
        }
        for at in (fours..whole).step_by(BYTES) {
            vst1q_s8(accumulator.add(at).cast(), greater(at));
        }
        for at in whole..count {
            let (a, b) = (input.add(at).cast::<i8>().read(), accumulator.add(at).cast::<i8>().read());
            accumulator.add(at).cast::<i8>().write(a.max(b));
        }
    }
}

/// Sixteen xored bytes less a zero point.
///
/// Safety: they are readable, the last ones perhaps as slack.
#[inline(always)]
unsafe fn centred(from: *const u8, zero: u8) -> [int16x8_t; 2] {
    // Safety: the caller's to vouch for; NEON.
    unsafe {
        let zero = vdup_n_s8((zero ^ SIGN_XOR) as i8);
        let bytes = vld1q_s8(from.cast());
        [vsubl_s8(vget_low_s8(bytes), zero), vsubl_s8(vget_high_s8(bytes), zero)]
    }
}

/// `Kernels::add`.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn add(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let [ma, mb] = sum.multipliers;
    // Safety: handed on.
    unsafe {
        if (ma.abs() + mb.abs()) * 255.0 < RESULT_MAX {
            sums::<true>(sum, a, b, output, count);
        } else {
            sums::<false>(sum, a, b, output, count);
        }
    }
}

/// Safety: as for `Kernels::add`; `SMALL` as for [`narrow_reals`].
#[target_feature(enable = "neon")]
unsafe fn sums<const SMALL: bool>(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let zero = xored_zero(sum.zeros[2]);
    let [ma, mb] = sum.multipliers;
    let magic = vdupq_n_s32(MAGIC.to_bits() as i32);
    let real = |q: int16x4_t, m: f32| vmulq_n_f32(lifted(vaddw_s16(magic, q)), m);
    for at in (0..count).step_by(BYTES) {
        // Safety: up to `count` is read (the rest is slack) and written.
        unsafe {
            let (a, b) = (centred(a.add(at), sum.zeros[0]), centred(b.add(at), sum.zeros[1]));
            let r = |a: int16x4_t, b: int16x4_t| vaddq_f32(real(a, ma), real(b, mb));
            let low = |i: usize| r(vget_low_s16(a[i]), vget_low_s16(b[i]));
            let high = |i: usize| r(vget_high_s16(a[i]), vget_high_s16(b[i]));
            let bytes = narrow_reals::<SMALL>([low(0), high(0), low(1), high(1)], zero);
            store(bytes, output.add(at), (count - at).min(BYTES));
        }
    }
}

/// `Kernels::mul`.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn mul(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    // Safety: handed on.
    unsafe {
        if product.multiplier.abs() * (255.0 * 255.0) < RESULT_MAX {
            products::<true>(product, a, b, output, count);
        } else {
            products::<false>(product, a, b, output, count);
        }
    }
}

/// Safety: as for `Kernels::mul`; `SMALL` as for [`narrow_reals`].
#[target_feature(enable = "neon")]
unsafe fn products<const SMALL: bool>(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let zero = xored_zero(product.zeros[2]);
    let magic = vdupq_n_s32(MAGIC.to_bits() as i32);
    let real = |products: int32x4_t| vmulq_n_f32(lifted(products), product.multiplier);
    for at in (0..count).step_by(BYTES) {
        // Safety: up to `count` is read (the rest is slack) and written.
        unsafe {
            let (a, b) = (centred(a.add(at), product.zeros[0]), centred(b.add(at), product.zeros[1]));
            let low = |i: usize| real(vmlal_s16(magic, vget_low_s16(a[i]), vget_low_s16(b[i])));
            let high = |i: usize| real(vmlal_high_s16(magic, a[i], b[i]));
            let bytes = narrow_reals::<SMALL>([low(0), high(0), low(1), high(1)], zero);
            store(bytes, output.add(at), (count - at).min(BYTES));
        }
    }
}

/// `Kernels::mean`.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn mean(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
    let [rows, columns] = block.pixels;
    let count = vdupq_n_f32((rows * columns).max(1) as f32);
    // the bytes are 128 less than the values
    let bias = vdupq_n_s32((rows * columns) as i32 * i32::from(SIGN_XOR));
    for channel in (0..channels).step_by(BYTES) {
        let mut sums = [bias; 4];
        for y in 0..rows {
            for x in 0..columns {
                // Safety: channels of a pixel of the block, and slack.
                let bytes = unsafe { vld1q_s8(input.add(y * block.steps[0] + x * block.steps[1] + channel).cast()) };
                add_wide(&mut sums, vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            }
        }
        let mean = |i: usize| vcvtnq_s32_f32(vdivq_f32(vcvtq_f32_s32(sums[i]), count));
        let means = [mean(0), mean(1), mean(2), mean(3)];
        // Safety: below `channels`.
        unsafe { store(narrow(means, xored_zero(0)), output.add(channel), (channels - channel).min(BYTES)) };
    }
}

/// Sixteen 16-bit numbers into sixteen sums.
#[inline(always)]
pub(super) fn add_wide(sums: &mut [int32x4_t; 4], low: int16x8_t, high: int16x8_t) {
    // Safety: NEON.
    unsafe {
        sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
        sums[1] = vaddw_high_s16(sums[1], low);
        sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
        sums[3] = vaddw_high_s16(sums[3], high);
    }
}
