//! Plain loops: the reference of every other instruction set.
//!
//! They exist twice: on values as they are, which runs anywhere, and, for tests, on xored bytes in
//! long blocks, so that what the processors of ARM need is proven on every machine.

mod bytes;
pub(super) mod winograd;

use self::bytes::{CHANNELS, LANES, number, stored};
use super::super::quant::{Table, requantize};
use super::super::reference;
use super::packed::Panel;
use super::{Block, Kernels, PackedConv, PackedDepthwise, Product, Rows, Sum, wide_store};

/// Runs anywhere.
static KERNELS: Kernels = loops::<4, 0>("portable", 2);

/// The same with i8 x i8 products, as on ARM.
#[cfg(test)]
static SIGNED: Kernels = loops::<16, 0x80>("portable-signed", 1);

/// Every processor has them.
pub(super) fn kernels() -> &'static Kernels {
    &KERNELS
}

/// As [`kernels`].
#[cfg(test)]
pub(super) fn signed() -> &'static Kernels {
    &SIGNED
}

/// The loops for blocks of `BLOCK` bytes that lie xored by `SIGN_XOR`; `panel` is the widest.
pub(super) const fn loops<const BLOCK: usize, const SIGN_XOR: u8>(name: &'static str, panel: usize) -> Kernels {
    Kernels {
        name,
        lanes: LANES,
        panel,
        block: BLOCK,
        sign_xor: SIGN_XOR,
        joins: usize::MAX,
        short_tables: false,
        winograd: Some(winograd::loops::<SIGN_XOR>()),
        conv: conv::<BLOCK, SIGN_XOR>,
        depthwise: depthwise::<SIGN_XOR>,
        conv_sums: conv_sums::<BLOCK, SIGN_XOR>,
        depthwise_sums: depthwise_sums::<SIGN_XOR>,
        wide_store: wide_store::store,
        table,
        max: max::<SIGN_XOR>,
        add: add::<SIGN_XOR>,
        mul: mul::<SIGN_XOR>,
        mean: mean::<SIGN_XOR>,
        gather,
        dots: super::dots::dots_portable,
        burn,
    }
}

/// Calls `put(output of the pixel, panel, its sums)` for each pixel and panel.
///
/// Safety: the input is as for `Kernels::conv`.
#[inline]
unsafe fn each_panel<const BLOCK: usize, const SIGN_XOR: u8>(
    packed: &PackedConv,
    rows: &Rows,
    mut put: impl FnMut(*mut u8, &Panel, &[i32; CHANNELS]),
) {
    for panel in &packed.panels {
        let width = panel.vectors * LANES;
        let bias = &packed.bias[panel.constants..][..width];
        for y in 0..rows.height {
            for x in 0..rows.width {
                let mut sums = [0i32; CHANNELS];
                sums[..width].copy_from_slice(bias);
                let mut weights = packed.weights[panel.weights..].chunks_exact(BLOCK);
                for &tap in &packed.taps {
                    for group in 0..packed.groups {
                        let at = y * rows.input_row + x * rows.input_pixel + tap + BLOCK * group;
                        // Safety: a block of a run of this pixel; the caller vouches for all of them.
                        let read = unsafe { rows.input.add(at).cast::<[u8; BLOCK]>().read() };
                        for (sum, w) in sums[..width].iter_mut().zip(&mut weights) {
                            let products = read.iter().zip(w).map(|(&a, &w)| number::<SIGN_XOR>(a) * i32::from(w));
                            *sum = sum.wrapping_add(products.sum());
                        }
                    }
                }
                put(rows.output.wrapping_add(y * rows.output_row + x * rows.output_pixel), panel, &sums);
            }
        }
    }
}

// Safety: see `Kernels::conv`.
unsafe fn conv<const BLOCK: usize, const SIGN_XOR: u8>(packed: &PackedConv, rows: &Rows) {
    let put = |output: *mut u8, panel: &Panel, sums: &[i32; CHANNELS]| {
        let multiplier = &packed.multiplier[panel.constants..][..panel.channels];
        for (channel, (&sum, &multiplier)) in sums.iter().zip(multiplier).enumerate() {
            let (zero, table) = packed.activation(panel.channel + channel);
            let q = stored::<SIGN_XOR>(sum, multiplier, zero, table);
            // Safety: a channel of this pixel; the caller vouches for all of them.
            unsafe { output.add(panel.channel + channel).write(q) };
        }
    };
    // Safety: handed on.
    unsafe { each_panel::<BLOCK, SIGN_XOR>(packed, rows, put) }
}

// Safety: see `Kernels::conv_sums`.
unsafe fn conv_sums<const BLOCK: usize, const SIGN_XOR: u8>(packed: &PackedConv, rows: &Rows) {
    let put = |output: *mut u8, panel: &Panel, sums: &[i32; CHANNELS]| {
        let width = panel.vectors * LANES;
        // Safety: the padded channels of this panel; the caller vouches for all of them.
        unsafe { output.cast::<i32>().add(panel.constants).copy_from_nonoverlapping(sums.as_ptr(), width) };
    };
    // Safety: handed on.
    unsafe { each_panel::<BLOCK, SIGN_XOR>(packed, rows, put) }
}

/// Calls `put(output of the pixel, channel, its sum)` for each pixel and channel.
///
/// Safety: the input is as for `Kernels::depthwise`.
#[inline]
unsafe fn each_channel<const SIGN_XOR: u8>(
    packed: &PackedDepthwise,
    rows: &Rows,
    mut put: impl FnMut(*mut u8, usize, i32),
) {
    let padded = packed.bias.len();
    for y in 0..rows.height {
        for x in 0..rows.width {
            for channel in 0..packed.channels {
                let mut sum = packed.bias[channel];
                for (index, &tap) in packed.taps.iter().enumerate() {
                    let at = y * rows.input_row + x * rows.input_pixel + tap + channel;
                    // Safety: a tap of this pixel; the caller vouches for all of them.
                    let read = number::<SIGN_XOR>(unsafe { rows.input.add(at).read() });
                    sum = sum.wrapping_add(read * i32::from(packed.weights[index * padded + channel]));
                }
                put(rows.output.wrapping_add(y * rows.output_row + x * rows.output_pixel), channel, sum);
            }
        }
    }
}

// Safety: see `Kernels::depthwise`.
unsafe fn depthwise<const SIGN_XOR: u8>(packed: &PackedDepthwise, rows: &Rows) {
    let put = |output: *mut u8, channel: usize, sum: i32| {
        let q = stored::<SIGN_XOR>(sum, packed.multiplier[channel], packed.pre_zero, packed.table.entries());
        // Safety: a channel of this pixel; the caller vouches for all of them.
        unsafe { output.add(channel).write(q) };
    };
    // Safety: handed on.
    unsafe { each_channel::<SIGN_XOR>(packed, rows, put) }
}

// Safety: see `Kernels::depthwise_sums`.
unsafe fn depthwise_sums<const SIGN_XOR: u8>(packed: &PackedDepthwise, rows: &Rows) {
    // Safety: a channel of this pixel; the caller vouches for all of them.
    let put = |output: *mut u8, channel: usize, sum: i32| unsafe { output.cast::<i32>().add(channel).write(sum) };
    // Safety: handed on.
    unsafe { each_channel::<SIGN_XOR>(packed, rows, put) }
}

// Safety: see `Kernels::table`.
pub(super) unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
    for i in 0..count {
        // Safety: below `count`.
        unsafe { output.add(i).write(table[usize::from(input.add(i).read())]) };
    }
}

// Safety: see `Kernels::max`.
pub(super) unsafe fn max<const SIGN_XOR: u8>(input: *const u8, accumulator: *mut u8, count: usize) {
    for i in 0..count {
        // Safety: below `count`.
        unsafe {
            let (a, b) = (input.add(i).read() ^ SIGN_XOR, accumulator.add(i).read() ^ SIGN_XOR);
            accumulator.add(i).write(a.max(b) ^ SIGN_XOR);
        }
    }
}

// Safety: see `Kernels::add`.
pub(super) unsafe fn add<const SIGN_XOR: u8>(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let [za, zb, zero] = sum.zeros.map(i32::from);
    for i in 0..count {
        // Safety: below `count`.
        unsafe {
            let left = (i32::from(a.add(i).read() ^ SIGN_XOR) - za) as f32 * sum.multipliers[0];
            let right = (i32::from(b.add(i).read() ^ SIGN_XOR) - zb) as f32 * sum.multipliers[1];
            let rounded = (left + right).round_ties_even() as i32;
            output.add(i).write((rounded + zero).clamp(0, 255) as u8 ^ SIGN_XOR);
        }
    }
}

// Safety: see `Kernels::mul`.
pub(super) unsafe fn mul<const SIGN_XOR: u8>(
    product: &Product,
    a: *const u8,
    b: *const u8,
    output: *mut u8,
    count: usize,
) {
    let [za, zb, _] = product.zeros.map(i32::from);
    for i in 0..count {
        // Safety: below `count`.
        unsafe {
            let left = i32::from(a.add(i).read() ^ SIGN_XOR) - za;
            let right = i32::from(b.add(i).read() ^ SIGN_XOR) - zb;
            output.add(i).write(requantize(left * right, product.multiplier, product.zeros[2]) ^ SIGN_XOR);
        }
    }
}

// Safety: see `Kernels::mean`.
pub(super) unsafe fn mean<const SIGN_XOR: u8>(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
    let [rows, columns] = block.pixels;
    for c in 0..channels {
        let mut sum = 0i32;
        for y in 0..rows {
            for x in 0..columns {
                // Safety: a channel of a pixel of the block.
                let read = unsafe { input.add(y * block.steps[0] + x * block.steps[1] + c).read() };
                sum += i32::from(read ^ SIGN_XOR);
            }
        }
        // Safety: below `channels`.
        unsafe { output.add(c).write(reference::mean(sum, (rows * columns) as i32) ^ SIGN_XOR) };
    }
}

// Safety: see `Kernels::gather`.
pub(super) unsafe fn gather(sources: &[usize], rows: &Rows) {
    for y in 0..rows.height {
        for x in 0..rows.width {
            // Safety: a pixel of the job and its sources; the caller vouches for all of them.
            unsafe {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                let output = rows.output.add(y * rows.output_row + x * rows.output_pixel);
                for (channel, &source) in sources.iter().enumerate() {
                    output.add(channel).write(input.add(source).read());
                }
            }
        }
    }
}

// Safety: none is needed; the type is that of the other instruction sets.
unsafe fn burn(_multiplications: u64) -> u64 {
    0
}
