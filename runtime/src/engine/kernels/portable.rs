//! Plain loops: the reference of every other instruction set.

use super::super::quant::{Table, requantise};
use super::{Kernels, PackedConv, PackedDepthwise, Rows};

/// Runs anywhere.
pub static KERNELS: Kernels = Kernels { name: "portable", lanes: 4, panel: 2, conv, depthwise, table, max, burn };

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

// Safety: none is needed; the type is that of the other instruction sets.
unsafe fn burn(_multiplications: u64) -> u64 {
    0
}
