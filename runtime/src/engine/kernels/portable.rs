//! Plain loops: the reference of every other instruction set.

use super::super::quant::{Table, requantise};
use super::super::reference;
use super::{Block, Kernels, PackedConv, PackedDepthwise, Product, Rows, Sum};

/// Runs anywhere.
pub static KERNELS: Kernels =
    Kernels { name: "portable", lanes: 4, panel: 2, conv, depthwise, table, max, add, mul, mean, burn };

/// Widest panel in channels.
const CHANNELS: usize = 8;

// Safety: see `Kernels::conv`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    for panel in &packed.panels {
        let width = panel.vectors * KERNELS.lanes;
        let bias = &packed.bias[panel.constants..][..width];
        let multiplier = &packed.multiplier[panel.constants..][..width];
        for y in 0..rows.height {
            for x in 0..rows.width {
                let mut sums = [0i32; CHANNELS];
                sums[..width].copy_from_slice(bias);
                let mut weights = packed.weights[panel.weights..].chunks_exact(4);
                for &tap in &packed.taps {
                    for group in 0..packed.groups {
                        let at = y * rows.input_row + x * rows.input_pixel + tap + 4 * group;
                        // Safety: a tap of this pixel; the caller vouches for all of them.
                        let read = unsafe { rows.input.add(at).cast::<[u8; 4]>().read() };
                        for (sum, w) in sums[..width].iter_mut().zip(&mut weights) {
                            let products = read.iter().zip(w).map(|(&a, &w)| i32::from(a) * i32::from(w));
                            *sum = sum.wrapping_add(products.sum());
                        }
                    }
                }
                for channel in 0..panel.channels {
                    let q = requantise(sums[channel], multiplier[channel], packed.pre_zero);
                    let at = y * rows.output_row + x * rows.output_pixel + panel.channel + channel;
                    // Safety: a channel of this pixel; the caller vouches for all of them.
                    unsafe { rows.output.add(at).write(packed.table.as_ref().map_or(q, |t| t[usize::from(q)])) };
                }
            }
        }
    }
}

// Safety: see `Kernels::depthwise`.
unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
    let padded = packed.bias.len();
    for y in 0..rows.height {
        for x in 0..rows.width {
            for channel in 0..packed.channels {
                let mut sum = packed.bias[channel];
                for (index, &tap) in packed.taps.iter().enumerate() {
                    let at = y * rows.input_row + x * rows.input_pixel + tap + channel;
                    // Safety: a tap of this pixel; the caller vouches for all of them.
                    let read = unsafe { rows.input.add(at).read() };
                    sum = sum.wrapping_add(i32::from(read) * i32::from(packed.weights[index * padded + channel]));
                }
                let q = requantise(sum, packed.multiplier[channel], packed.pre_zero);
                let at = y * rows.output_row + x * rows.output_pixel + channel;
                // Safety: a channel of this pixel; the caller vouches for all of them.
                unsafe { rows.output.add(at).write(packed.table.as_ref().map_or(q, |t| t[usize::from(q)])) };
            }
        }
    }
}

// Safety: see `Kernels::table`.
unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
    for i in 0..count {
        // Safety: below `count`.
        unsafe { output.add(i).write(table[usize::from(input.add(i).read())]) };
    }
}

// Safety: see `Kernels::max`.
unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
    for i in 0..count {
        // Safety: below `count`.
        unsafe { accumulator.add(i).write(input.add(i).read().max(accumulator.add(i).read())) };
    }
}

// Safety: see `Kernels::add`.
pub(super) unsafe fn add(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let [za, zb, zero] = sum.zeros.map(i32::from);
    for i in 0..count {
        // Safety: below `count`.
        unsafe {
            let left = (i32::from(a.add(i).read()) - za) as f32 * sum.multipliers[0];
            let right = (i32::from(b.add(i).read()) - zb) as f32 * sum.multipliers[1];
            let rounded = (left + right).round_ties_even() as i32;
            output.add(i).write((rounded + zero).clamp(0, 255) as u8);
        }
    }
}

// Safety: see `Kernels::mul`.
pub(super) unsafe fn mul(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    let [za, zb, _] = product.zeros.map(i32::from);
    for i in 0..count {
        // Safety: below `count`.
        unsafe {
            let left = i32::from(a.add(i).read()) - za;
            let right = i32::from(b.add(i).read()) - zb;
            output.add(i).write(requantise(left * right, product.multiplier, product.zeros[2]));
        }
    }
}

// Safety: see `Kernels::mean`.
pub(super) unsafe fn mean(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
    let [rows, columns] = block.pixels;
    for c in 0..channels {
        let mut sum = 0i32;
        for y in 0..rows {
            for x in 0..columns {
                // Safety: a channel of a pixel of the block.
                sum += i32::from(unsafe { input.add(y * block.steps[0] + x * block.steps[1] + c).read() });
            }
        }
        // Safety: below `channels`.
        unsafe { output.add(c).write(reference::mean(sum, (rows * columns) as i32)) };
    }
}

// Safety: none is needed; the type is that of the other instruction sets.
unsafe fn burn(_multiplications: u64) -> u64 {
    0
}
