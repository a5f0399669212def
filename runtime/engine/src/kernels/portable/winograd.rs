//! [`super::super::winograd`] in plain loops, one tile at a time.

use std::ops::{Add, Sub};

use super::super::winograd::{self, Block, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE};
use super::super::{PackedConv, Rows};
use super::bytes::{CHANNELS, LANES, number, stored};

/// For bytes that lie xored by `SIGN_XOR`.
pub(in crate::kernels) const fn loops<const SIGN_XOR: u8>() -> Loops {
    Loops { tiles: 1, lanes: LANES, panel: CHANNELS / LANES, together: 2, gains, run: run::<SIGN_XOR> }
}

/// A quarter of the multiplications pays for the rest from a few channels on.
fn gains(inputs: usize, outputs: usize, _size: [usize; 2]) -> bool {
    inputs.min(outputs) >= 8
}

fn four16(a: i16) -> i16 {
    4 * a
}

fn four32(a: i32) -> i32 {
    a.wrapping_mul(4)
}

// Safety: see `Loops::run`.
unsafe fn run<const SIGN_XOR: u8>(packed: &PackedWinograd, block: &Block) {
    for tile in block.tiles.clone() {
        // Safety: handed on.
        unsafe {
            transform::<SIGN_XOR>(packed, block, tile);
            multiply::<SIGN_XOR>(packed, block, &block.pixels(tile));
        }
    }
}

/// The patch of a tile, by (place, channel).
///
/// Safety: as [`Loops::run`].
unsafe fn transform<const SIGN_XOR: u8>(packed: &PackedWinograd, block: &Block, tile: usize) {
    let (at, padded) = (block.patch(tile), packed.padded_inputs());
    for channel in 0..2 * packed.pairs() {
        // Safety: a channel of a pixel of the job, or the byte behind the last one; numbers of the patch.
        unsafe {
            winograd::patch!(
                [Add::add, Sub::sub, four16],
                |y, x| number::<SIGN_XOR>(at(y, x).add(channel).read()) as i16,
                |y, row| for (x, value) in row.into_iter().enumerate() {
                    block.patches.add((PATCH * y + x) * padded + channel).write(value);
                }
            );
        }
    }
}

/// The results of a tile, panel by panel.
///
/// Safety: as [`Loops::run`], after [`transform`].
unsafe fn multiply<const SIGN_XOR: u8>(packed: &PackedWinograd, block: &Block, pixels: &Rows) {
    let (pairs, padded) = (packed.pairs(), packed.padded_inputs());
    for panel in &packed.conv.panels {
        let width = panel.vectors * LANES;
        let filters = packed.filters[panel.weights..].chunks_exact(2 * pairs * width);
        let mut products = [[0i32; CHANNELS]; PLACES];
        for (place, (products, filters)) in products.iter_mut().zip(filters).enumerate() {
            for (pair, filters) in filters.chunks_exact(2 * width).enumerate() {
                // Safety: a pair of channels of this patch.
                let read = unsafe { block.patches.add(place * padded + 2 * pair).cast::<[i16; 2]>().read() };
                let [a, b] = read.map(i32::from);
                for (product, filter) in products.iter_mut().zip(filters.as_chunks::<2>().0) {
                    let both = (a * i32::from(filter[0])).wrapping_add(b * i32::from(filter[1]));
                    *product = product.wrapping_add(both);
                }
            }
        }
        for lane in 0..panel.channels {
            // Safety: handed on.
            unsafe { store::<SIGN_XOR>(&packed.conv, pixels, panel.channel + lane, products.map(|all| all[lane])) };
        }
    }
}

/// The results of a tile in one channel.
///
/// Safety: as [`Loops::run`].
unsafe fn store<const SIGN_XOR: u8>(conv: &PackedConv, pixels: &Rows, channel: usize, products: [i32; PLACES]) {
    let write = |y: usize, row: [i32; TILE]| {
        for (x, times) in row.into_iter().enumerate().take(pixels.width) {
            let sum = (times.wrapping_mul(NINTH) >> SHIFT).wrapping_add(conv.bias[channel]);
            let byte = stored::<SIGN_XOR>(sum, conv.multiplier[channel], conv.pre_zero, conv.table.entries());
            // Safety: a channel of a pixel of this tile.
            unsafe { pixels.output.add(y * pixels.output_row + x * pixels.output_pixel + channel).write(byte) };
        }
    };
    winograd::results!([i32::wrapping_add, i32::wrapping_sub, four32], |y, x| products[PATCH * y + x], |y, row| {
        if y < pixels.height {
            write(y, row);
        }
    });
}
