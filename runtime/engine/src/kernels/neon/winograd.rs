//! [`super::super::winograd`] with NEON: numbers of sixteen bits, eight a vector; products by SMLAL and SMLAL2, four
//! sums each, of a channel of a tile with eight or sixteen output channels.
//!
//! A multiplication of sixteen bits costs twice as much as one of eight, and a quarter of them is left.

use std::arch::aarch64::*;

use super::super::Rows;
use super::super::aarch64::fours::store_fours;
use super::super::aarch64::lookup::Activation;
use super::super::aarch64::{ANY, SMALL_RESULTS, SMALL_SUMS, begin, by_bound, finish, store, xored_zero};
use super::super::packed::{AccumulatorBound, Panel};
use super::super::winograd::{self, Block, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE};

/// Numbers of a vector.
const LANES: usize = 8;
/// Sums of a vector.
const SUMS: usize = 4;
/// Tiles that have their sums in registers.
const GROUP: usize = 4;

/// The more tiles at a time, the more seldom filters come from memory.
pub(in crate::kernels) const LOOPS: Loops = Loops { tiles: 3 * GROUP, lanes: LANES, panel: 2, together: 1, gains, run };

/// Where it can be tested.
#[cfg(test)]
pub(in crate::kernels) const EAGER: Loops = Loops { gains: |inputs, _, _| inputs.is_multiple_of(LANES), ..LOOPS };

/// By cycles of a Cortex-A72, whose filters come from memory at three bytes a cycle.
fn gains(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    let direct = size[0] * size[1] * 9 * inputs * outputs / 8;
    let tile = PLACES * inputs * outputs.next_multiple_of(LANES) / 4 + 25 * inputs + 45 * outputs;
    let whole = winograd::tiles(size) * tile + winograd::filter_bytes(inputs, outputs) / 3;
    inputs.is_multiple_of(LANES) && whole < direct
}

// Safety: see `Loops::run`.
unsafe fn run(packed: &PackedWinograd, block: &Block) {
    // Safety: handed on.
    unsafe { by_bound!(packed.conv.reach, tiles(packed, block)) }
}

/// Safety: as [`Loops::run`].
unsafe fn tiles<const REACH: u8>(packed: &PackedWinograd, block: &Block) {
    let activation = Activation::of(&packed.conv.table);
    // Safety: handed on; the channels that were just written.
    unsafe {
        for (slot, tile) in block.tiles.clone().enumerate() {
            transform(packed, block, tile, block.patches.add(slot * packed.patch()));
        }
        for panel in &packed.conv.panels {
            if panel.vectors == 1 {
                panel_of::<REACH, 2>(packed, block, panel);
            } else {
                panel_of::<REACH, 4>(packed, block, panel);
            }
        }
        for tile in block.tiles.clone() {
            activation.rows(&block.pixels(tile), packed.conv.sums.len());
        }
    }
}

/// The patch of one tile, by (place, channel).
///
/// Safety: as [`Loops::run`]; the numbers of a patch can be written.
unsafe fn transform(packed: &PackedWinograd, block: &Block, tile: usize, patch: *mut i16) {
    let (at, padded) = (block.patch(tile), packed.padded_inputs());
    for channel in (0..packed.inputs).step_by(LANES) {
        // Safety: pixels of the job; this tile's patch.
        unsafe {
            winograd::patch!(
                [vaddq_s16, vsubq_s16, vshlq_n_s16::<2>],
                |y, x| vmovl_s8(vld1_s8(at(y, x).add(channel).cast())),
                |y, row| for (x, values) in row.into_iter().enumerate() {
                    vst1q_s16(patch.add((PATCH * y + x) * padded + channel), values);
                }
            );
        }
    }
}

/// The results of one panel, of `FOURS` times four channels, for all tiles of the block.
///
/// Safety: as [`Loops::run`], after [`transform`].
unsafe fn panel_of<const REACH: u8, const FOURS: usize>(packed: &PackedWinograd, block: &Block, panel: &Panel) {
    let (patch, count) = (packed.patch(), block.tiles.len());
    let place_filters = packed.inputs * FOURS * SUMS;
    let filters = &packed.filters[panel.weights..][..PLACES * place_filters];
    // Safety: places of these tiles, constants padded to whole vectors, pixels of the job.
    unsafe {
        for (place, filters) in filters.chunks_exact(place_filters).enumerate() {
            for first in (0..count).step_by(GROUP) {
                let patches = block.patches.add(first * patch + place * packed.padded_inputs());
                let products = block.products.add((first * FOURS * PLACES + place) * SUMS);
                match count - first {
                    1 => multiply::<1, FOURS>(filters, patches, patch, products),
                    2 => multiply::<2, FOURS>(filters, patches, patch, products),
                    3 => multiply::<3, FOURS>(filters, patches, patch, products),
                    _ => multiply::<GROUP, FOURS>(filters, patches, patch, products),
                }
            }
        }
        for four in 0..panel.channels.div_ceil(SUMS) {
            let constants = panel.constants + SUMS * four;
            let bias = begin::<REACH>(vld1q_s32(packed.conv.bias[constants..][..SUMS].as_ptr()));
            let multiplier = vld1q_f32(packed.conv.multiplier[constants..][..SUMS].as_ptr());
            let (channel, channels) = (panel.channel + SUMS * four, SUMS.min(panel.channels - SUMS * four));
            for (slot, tile) in block.tiles.clone().enumerate() {
                let products = block.products.add((slot * FOURS + four) * PLACES * SUMS);
                let mut pixels = block.pixels(tile);
                pixels.output = pixels.output.wrapping_add(channel);
                results::<REACH>(&pixels, channels, products, bias, multiplier, packed.conv.pre_zero);
            }
        }
    }
}

/// One place of some tiles: patches times filters.
///
/// Safety: all of these can be read and the products be written.
#[inline]
unsafe fn multiply<const COUNT: usize, const FOURS: usize>(
    filters: &[i16],
    patches: *const i16,
    patch: usize,
    products: *mut i32,
) {
    // Safety: as above; `FOURS` is even.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); FOURS]; COUNT];
        for (run, filters) in filters.chunks_exact(LANES * FOURS * SUMS).enumerate() {
            let mut a = [vdupq_n_s16(0); COUNT];
            for (tile, a) in a.iter_mut().enumerate() {
                *a = vld1q_s16(patches.add(tile * patch + LANES * run));
            }
            macro_rules! channel {
                ($($lane:literal)*) => {$(
                    for eight in 0..FOURS / 2 {
                        let w = vld1q_s16(filters.as_ptr().add(($lane * FOURS / 2 + eight) * LANES));
                        for (sums, a) in sums.iter_mut().zip(a) {
                            sums[2 * eight] = vmlal_laneq_s16::<$lane>(sums[2 * eight], vget_low_s16(w), a);
                            sums[2 * eight + 1] = vmlal_high_laneq_s16::<$lane>(sums[2 * eight + 1], w, a);
                        }
                    }
                )*};
            }
            channel!(0 1 2 3 4 5 6 7);
        }
        for (tile, sums) in sums.iter().enumerate() {
            for (four, sums) in sums.iter().enumerate() {
                vst1q_s32(products.add((tile * FOURS + four) * PLACES * SUMS), *sums);
            }
        }
    }
}

/// Four channels of one tile, from its products.
///
/// Safety: the products can be read, the channels of the pixels be written.
#[inline]
unsafe fn results<const REACH: u8>(
    pixels: &Rows,
    channels: usize,
    products: *const i32,
    bias: int32x4_t,
    multiplier: float32x4_t,
    pre_zero: u8,
) {
    // Safety: as above.
    unsafe {
        let (ninth, zero) = (vdupq_n_s32(NINTH), xored_zero(pre_zero));
        winograd::results!(
            [vaddq_s32, vsubq_s32, vshlq_n_s32::<2>],
            |y, x| vld1q_s32(products.add((PATCH * y + x) * SUMS)),
            |y, row| if y < pixels.height {
                let mut sums = [bias; TILE];
                for (sum, times) in sums.iter_mut().zip(row) {
                    *sum = vsraq_n_s32::<{ SHIFT as i32 }>(*sum, vmulq_s32(times, ninth));
                }
                let mut bytes = finish::<REACH, true>(sums, [multiplier; TILE], zero);
                let (to, step) = (pixels.output.add(y * pixels.output_row), pixels.output_pixel);
                if (pixels.width, channels) == (TILE, SUMS) {
                    store_fours(bytes, [to, to.add(step), to.add(2 * step), to.add(3 * step)]);
                } else {
                    for x in 0..pixels.width {
                        store(bytes, to.add(x * step), channels);
                        bytes = vextq_u8::<4>(bytes, bytes);
                    }
                }
            }
        );
    }
}
