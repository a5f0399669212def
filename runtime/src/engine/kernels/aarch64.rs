//! What the kernel sets of 64-bit ARM share: rounding, narrowing, tables, depthwise convolution.
//!
//! NEON is part of every such processor. Bytes in memory are flipped (`Kernels::flip` is 0x80): read
//! as i8 they are the values less 128, and the store saturates to i8.

use std::arch::aarch64::*;

use super::super::quant::Table;
use super::packing::DEPTHWISE_CHANNELS;
use super::{Block, PackedConv, PackedDepthwise, Product, Rows, Sum};

/// See `Kernels::flip`.
pub(super) const FLIP: u8 = 0x80;

/// Channels of one 128-bit vector of bytes.
const BYTES: usize = 16;

/// A table in sixteen registers.
#[derive(Clone, Copy)]
pub(super) struct Lookup([uint8x16x4_t; 4]);

impl Lookup {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn load(table: &Table) -> Lookup {
        // Safety: the table has 256 bytes.
        Lookup(std::array::from_fn(|i| unsafe { vld1q_u8_x4(table.as_ptr().add(64 * i)) }))
    }

    /// Each byte replaced by its entry: an index outside a quarter leaves what is there.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn apply(&self, q: uint8x16_t) -> uint8x16_t {
        let quarter = vdupq_n_u8(64);
        let found = vqtbl4q_u8(self.0[0], q);
        let q = vsubq_u8(q, quarter);
        let found = vqtbx4q_u8(found, self.0[1], q);
        let q = vsubq_u8(q, quarter);
        let found = vqtbx4q_u8(found, self.0[2], q);
        vqtbx4q_u8(found, self.0[3], vsubq_u8(q, quarter))
    }
}

/// Four sums to rounded numbers before the zero point.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn round(sums: int32x4_t, multiplier: float32x4_t) -> int32x4_t {
    vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), multiplier))
}

/// The zero point before the table, in the domain of flipped bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn flipped_zero(zero: u8) -> int16x8_t {
    vdupq_n_s16(i16::from(zero) - i16::from(FLIP))
}

/// Sixteen rounded numbers to bytes.
///
/// i32 -> i16 saturates, the zero point is added with saturation, i16 -> i8 saturates: the same as
/// one clamp at the end, because the zero point has eight bits.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn narrow(r: [int32x4_t; 4], zero: int16x8_t) -> uint8x16_t {
    let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(r[0]), r[1]), zero);
    let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(r[2]), r[3]), zero);
    vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(low), high))
}

/// Writes the first `count` (1 to 16) bytes of a vector.
///
/// Safety: they are writable.
#[inline]
#[target_feature(enable = "neon")]
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
pub(super) struct Pixels<'a> {
    rows: &'a Rows,
    x: usize,
    y: usize,
}

impl<'a> Pixels<'a> {
    pub(super) fn of(rows: &'a Rows) -> Pixels<'a> {
        Pixels { rows, x: 0, y: 0 }
    }

    /// Inputs and outputs of the next `N`; behind the last pixel that one again, so that what is
    /// computed twice is written twice.
    ///
    /// Safety: the pixels of the job lie in one allocation.
    #[inline]
    pub(super) unsafe fn next<const N: usize>(&mut self) -> Option<([*const u8; N], [*mut u8; N])> {
        let rows = self.rows;
        if self.y >= rows.height {
            return None;
        }
        if self.x + N <= rows.width {
            // Safety: pixels of the job.
            let (input, output) = unsafe { self.at(self.x, self.y) };
            self.x += N;
            if self.x == rows.width {
                (self.x, self.y) = (0, self.y + 1);
            }
            let inputs = std::array::from_fn(|i| input.wrapping_add(i * rows.input_pixel));
            return Some((inputs, std::array::from_fn(|i| output.wrapping_add(i * rows.output_pixel))));
        }
        let places: [(*const u8, *mut u8); N] = std::array::from_fn(|_| {
            let inside = self.y < rows.height;
            let (x, y) = if inside { (self.x, self.y) } else { (rows.width - 1, rows.height - 1) };
            self.x += 1;
            if self.x == rows.width {
                (self.x, self.y) = (0, self.y + 1);
            }
            // Safety: a pixel of the job.
            unsafe { self.at(x, y) }
        });
        Some((places.map(|p| p.0), places.map(|p| p.1)))
    }

    #[inline]
    unsafe fn at(&self, x: usize, y: usize) -> (*const u8, *mut u8) {
        // Safety: as for `next`.
        unsafe {
            (
                self.rows.input.add(y * self.rows.input_row + x * self.rows.input_pixel),
                self.rows.output.add(y * self.rows.output_row + x * self.rows.output_pixel),
            )
        }
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

/// Looks up `channels` bytes of each output pixel in place.
///
/// Safety: they are writable and no other thread touches them.
pub(super) unsafe fn table_rows(entries: &Table, rows: &Rows, channels: usize) {
    let dense = rows.output_pixel == channels;
    for y in 0..rows.height {
        // Safety: pixels of the job, for which the caller vouches.
        unsafe {
            let row = rows.output.add(y * rows.output_row);
            if dense {
                table(entries, row, row, rows.width * channels);
            } else {
                for x in 0..rows.width {
                    let at = row.add(x * rows.output_pixel);
                    table(entries, at, at, channels);
                }
            }
        }
    }
}

/// `Kernels::table`.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
    let whole = count / BYTES * BYTES;
    // Safety: below `count`.
    unsafe {
        if whole > 0 {
            let lookup = Lookup::load(table);
            for at in (0..whole).step_by(BYTES) {
                vst1q_u8(output.add(at), lookup.apply(vld1q_u8(input.add(at))));
            }
        }
        for at in whole..count {
            output.add(at).write(table[usize::from(input.add(at).read())]);
        }
    }
}

/// `Kernels::max`: flipped bytes are in the order of i8.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
    let whole = count / BYTES * BYTES;
    // Safety: below `count`.
    unsafe {
        for at in (0..whole).step_by(BYTES) {
            let (a, b) = (vld1q_s8(input.add(at).cast()), vld1q_s8(accumulator.add(at).cast()));
            vst1q_s8(accumulator.add(at).cast(), vmaxq_s8(a, b));
        }
        for at in whole..count {
            let (a, b) = (input.add(at).cast::<i8>().read(), accumulator.add(at).cast::<i8>().read());
            accumulator.add(at).cast::<i8>().write(a.max(b));
        }
    }
}

/// Sixteen flipped bytes less a zero point.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn centred(from: *const u8, zero: u8) -> [int16x8_t; 2] {
    let zero = vdup_n_s8((zero ^ FLIP) as i8);
    // Safety: sixteen bytes are readable, the last ones perhaps as slack.
    let bytes = unsafe { vld1q_s8(from.cast()) };
    [vsubl_s8(vget_low_s8(bytes), zero), vsubl_s8(vget_high_s8(bytes), zero)]
}

/// `Kernels::add`.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn add(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let zero = flipped_zero(sum.zeros[2]);
    let real = |q: int16x4_t, m: f32| vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(q)), m);
    let [ma, mb] = sum.multipliers;
    for at in (0..count).step_by(BYTES) {
        // Safety: up to `count` is read (the rest is slack) and written.
        unsafe {
            let (a, b) = (centred(a.add(at), sum.zeros[0]), centred(b.add(at), sum.zeros[1]));
            let r = |a: int16x4_t, b: int16x4_t| vcvtnq_s32_f32(vaddq_f32(real(a, ma), real(b, mb)));
            let low = |i: usize| r(vget_low_s16(a[i]), vget_low_s16(b[i]));
            let high = |i: usize| r(vget_high_s16(a[i]), vget_high_s16(b[i]));
            let bytes = narrow([low(0), high(0), low(1), high(1)], zero);
            store(bytes, output.add(at), (count - at).min(BYTES));
        }
    }
}

/// `Kernels::mul`.
///
/// Safety: as stated there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn mul(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let zero = flipped_zero(product.zeros[2]);
    let multiplier = vdupq_n_f32(product.multiplier);
    for at in (0..count).step_by(BYTES) {
        // Safety: up to `count` is read (the rest is slack) and written.
        unsafe {
            let (a, b) = (centred(a.add(at), product.zeros[0]), centred(b.add(at), product.zeros[1]));
            let low = |i: usize| round(vmull_s16(vget_low_s16(a[i]), vget_low_s16(b[i])), multiplier);
            let high = |i: usize| round(vmull_high_s16(a[i], b[i]), multiplier);
            let bytes = narrow([low(0), high(0), low(1), high(1)], zero);
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
    let bias = vdupq_n_s32((rows * columns) as i32 * i32::from(FLIP));
    for channel in (0..channels).step_by(BYTES) {
        let mut sums = [bias; 4];
        for y in 0..rows {
            for x in 0..columns {
                // Safety: channels of a pixel of the block, and slack.
                let bytes = unsafe { vld1q_s8(input.add(y * block.steps[0] + x * block.steps[1] + channel).cast()) };
                let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
                sums = [
                    vaddw_s16(sums[0], vget_low_s16(low)),
                    vaddw_high_s16(sums[1], low),
                    vaddw_s16(sums[2], vget_low_s16(high)),
                    vaddw_high_s16(sums[3], high),
                ];
            }
        }
        let means = sums.map(|s| vcvtnq_s32_f32(vdivq_f32(vcvtq_f32_s32(s), count)));
        // Safety: below `channels`.
        unsafe { store(narrow(means, flipped_zero(0)), output.add(channel), (channels - channel).min(BYTES)) };
    }
}

/// `Kernels::depthwise`: sixteen channels of a row at a time.
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
                    9 => depthwise_row::<9>(packed, &row, channel),
                    25 => depthwise_row::<25>(packed, &row, channel),
                    _ => depthwise_row::<0>(packed, &row, channel),
                }
            }
        }
        if let Some(entries) = packed.table.as_deref() {
            // Safety: the pixels that were just written.
            unsafe { table_rows(entries, &row, packed.channels) };
        }
    }
}

/// Two taps join in 16 bits, which hold two products of -128..=127 and -127..=127, before they join
/// the sums. `TAPS` is their number, or 0 if it is known only now.
///
/// Safety: as for `Kernels::depthwise`; a vector may reach fifteen bytes past the last channel.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn depthwise_row<const TAPS: usize>(packed: &PackedDepthwise, row: &Rows, channel: usize) {
    let padded = packed.bias.len();
    let taps: &[usize] = if TAPS == 0 { &packed.taps } else { &packed.taps[..TAPS] };
    let count = (packed.channels - channel).min(BYTES);
    const { assert!(DEPTHWISE_CHANNELS.is_multiple_of(BYTES)) };
    // Safety: constants are padded to whole vectors; taps and channels are the caller's to vouch for.
    unsafe {
        let bias: [int32x4_t; 4] = std::array::from_fn(|v| vld1q_s32(packed.bias.as_ptr().add(channel + 4 * v)));
        let multiplier: [float32x4_t; 4] =
            std::array::from_fn(|v| vld1q_f32(packed.multiplier.as_ptr().add(channel + 4 * v)));
        let zero = flipped_zero(packed.pre_zero);
        let weights = packed.weights.as_ptr().add(channel);
        for x in 0..row.width {
            let input = row.input.add(x * row.input_pixel + channel).cast::<i8>();
            let mut sums = bias;
            for (pair, two) in taps.chunks(2).enumerate() {
                let (a, w) = (vld1q_s8(input.add(two[0])), vld1q_s8(weights.add(2 * pair * padded)));
                let mut low = vmull_s8(vget_low_s8(a), vget_low_s8(w));
                let mut high = vmull_high_s8(a, w);
                if let Some(&tap) = two.get(1) {
                    let (a, w) = (vld1q_s8(input.add(tap)), vld1q_s8(weights.add((2 * pair + 1) * padded)));
                    low = vmlal_s8(low, vget_low_s8(a), vget_low_s8(w));
                    high = vmlal_high_s8(high, a, w);
                }
                sums = [
                    vaddw_s16(sums[0], vget_low_s16(low)),
                    vaddw_high_s16(sums[1], low),
                    vaddw_s16(sums[2], vget_low_s16(high)),
                    vaddw_high_s16(sums[3], high),
                ];
            }
            let bytes = narrow(std::array::from_fn(|v| round(sums[v], multiplier[v])), zero);
            store(bytes, row.output.add(x * row.output_pixel + channel), count);
        }
    }
}
