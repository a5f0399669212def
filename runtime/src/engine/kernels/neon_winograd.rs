//! [`super::winograd`] with NEON: numbers of sixteen bits, eight a vector; products by SMLAL and SMLAL2, four
//! sums each, of a channel of a tile with eight or sixteen output channels.
//!
//! A multiplication of sixteen bits costs twice as much as one of eight, and a quarter of them is left.

use std::arch::aarch64::*;

use super::Rows;
use super::aarch64::{ANY, SMALL_RESULTS, SMALL_SUMS, begin, by_reach, finish, flipped_zero, store};
use super::aarch64_lookup::Activation;
use super::neon::store_fours;
use super::packing::{Panel, Reach};
use super::winograd::{self, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE, Tiles};

/// Numbers of a vector.
const LANES: usize = 8;
/// Sums of a vector.
const SUMS: usize = 4;
/// Tiles whose products are held at a time: the more, the more seldom filters come from memory.
const TILES: usize = 12;
/// Tiles that have their sums in registers.
const GROUP: usize = 4;

pub(super) const LOOPS: Loops = Loops { tiles: TILES, lanes: LANES, panel: 2, together: 1, gains, run };

/// Where it can be tested.
#[cfg(test)]
pub(super) const EAGER: Loops = Loops { gains: |inputs, _, _| inputs.is_multiple_of(LANES), ..LOOPS };

/// By cycles of a Cortex-A72, whose filters come from memory at three bytes a cycle.
fn gains(inputs: usize, outputs: usize, [height, width]: [usize; 2]) -> bool {
    let direct = height * width * 9 * inputs * outputs / 8;
    let tile = PLACES * inputs * outputs.next_multiple_of(LANES) / 4 + 25 * inputs + 45 * outputs;
    let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
    let filters = size_of::<i16>() * PLACES * inputs * outputs;
    inputs.is_multiple_of(LANES) && tiles * tile + filters / 3 < direct
}

// Safety: see `Loops::run`.
unsafe fn run(packed: &PackedWinograd, tiles: &Tiles) {
    // Safety: handed on.
    unsafe { by_reach!(packed.conv.reach, blocks(packed, tiles)) }
}

/// Safety: as [`Loops::run`].
unsafe fn blocks<const REACH: u8>(packed: &PackedWinograd, tiles: &Tiles) {
    let patch = PLACES * packed.padded_inputs();
    let activation = Activation::of(packed.conv.table.as_deref(), packed.conv.short.as_deref());
    let mut first = tiles.range.start;
    while first < tiles.range.end {
        let count = TILES.min(tiles.range.end - first);
        let patches = tiles.scratch.cast::<i16>();
        // Safety: inside the scratch.
        let products = unsafe { patches.add(TILES * patch).cast() };
        let block = Block { tiles, first, count, patches, patch, products };
        // Safety: handed on; the channels that were just written.
        unsafe {
            for slot in 0..count {
                transform(packed, &block, slot);
            }
            for panel in &packed.conv.panels {
                if panel.vectors == 1 {
                    panel_of::<REACH, 2>(packed, &block, panel);
                } else {
                    panel_of::<REACH, 4>(packed, &block, panel);
                }
            }
            for slot in 0..count {
                activation.rows(&block.pixels(slot), packed.conv.sums.len());
            }
        }
        first += count;
    }
}

/// Some tiles, computed together.
struct Block<'a> {
    tiles: &'a Tiles,
    /// The first one.
    first: usize,
    /// How many.
    count: usize,
    /// Transformed patches, tile by tile; in a tile by (place, channel).
    patches: *mut i16,
    /// Numbers of a patch.
    patch: usize,
    /// Products, tile by tile; in a tile by (four channels, place, channel).
    products: *mut i32,
}

impl Block<'_> {
    /// The pixels of a tile that are in the picture.
    fn pixels(&self, slot: usize) -> Rows {
        let rows = self.tiles.rows;
        let [y, x] = self.tiles.pixel(self.first + slot);
        Rows {
            output: rows.output.wrapping_add(y * rows.output_row + x * rows.output_pixel),
            height: TILE.min(rows.height - y),
            width: TILE.min(rows.width - x),
            ..rows
        }
    }
}

#[inline(always)]
fn add16(a: int16x8_t, b: int16x8_t) -> int16x8_t {
    // Safety: NEON.
    unsafe { vaddq_s16(a, b) }
}

#[inline(always)]
fn sub16(a: int16x8_t, b: int16x8_t) -> int16x8_t {
    // Safety: NEON.
    unsafe { vsubq_s16(a, b) }
}

#[inline(always)]
fn four16(a: int16x8_t) -> int16x8_t {
    // Safety: NEON.
    unsafe { vshlq_n_s16::<2>(a) }
}

/// The patch of one tile.
///
/// Safety: as [`Loops::run`].
unsafe fn transform(packed: &PackedWinograd, block: &Block<'_>, slot: usize) {
    let [rows, columns] = block.tiles.patch(block.first + slot);
    let padded = packed.padded_inputs();
    for channel in (0..packed.inputs).step_by(LANES) {
        // Safety: pixels of the job; this tile's patch.
        unsafe {
            let input = block.tiles.rows.input.add(channel);
            let to = block.patches.add(slot * block.patch + channel);
            let mut down = [[vdupq_n_s16(0); PATCH]; PATCH];
            for x in 0..PATCH {
                let mut values = [vdupq_n_s16(0); PATCH];
                for (value, row) in values.iter_mut().zip(rows) {
                    *value = vmovl_s8(vld1_s8(input.add(row + columns[x]).cast()));
                }
                let values = winograd::patch!(values, add16, sub16, four16);
                for (row, value) in down.iter_mut().zip(values) {
                    row[x] = value;
                }
            }
            for (y, row) in down.into_iter().enumerate() {
                for (x, value) in winograd::patch!(row, add16, sub16, four16).into_iter().enumerate() {
                    vst1q_s16(to.add((PATCH * y + x) * padded), value);
                }
            }
        }
    }
}

/// The results of one panel, of `FOURS` times four channels, for all tiles of the block.
///
/// Safety: as [`Loops::run`], after [`transform`].
unsafe fn panel_of<const REACH: u8, const FOURS: usize>(packed: &PackedWinograd, block: &Block<'_>, panel: &Panel) {
    let place_filters = packed.inputs * FOURS * SUMS;
    let filters = &packed.filters[panel.weights..][..PLACES * place_filters];
    // Safety: places of these tiles, constants padded to whole vectors, pixels of the job.
    unsafe {
        for (place, filters) in filters.chunks_exact(place_filters).enumerate() {
            for first in (0..block.count).step_by(GROUP) {
                let patches = block.patches.add(first * block.patch + place * packed.padded_inputs());
                let products = block.products.add((first * FOURS * PLACES + place) * SUMS);
                match block.count - first {
                    1 => multiply::<1, FOURS>(filters, patches, block.patch, products),
                    2 => multiply::<2, FOURS>(filters, patches, block.patch, products),
                    3 => multiply::<3, FOURS>(filters, patches, block.patch, products),
                    _ => multiply::<GROUP, FOURS>(filters, patches, block.patch, products),
                }
            }
        }
        for four in 0..panel.channels.div_ceil(SUMS) {
            let constants = panel.constants + SUMS * four;
            let bias = begin::<REACH>(vld1q_s32(packed.conv.bias[constants..][..SUMS].as_ptr()));
            let multiplier = vld1q_f32(packed.conv.multiplier[constants..][..SUMS].as_ptr());
            let (channel, channels) = (panel.channel + SUMS * four, SUMS.min(panel.channels - SUMS * four));
            for slot in 0..block.count {
                let products = block.products.add((slot * FOURS + four) * PLACES * SUMS);
                let mut pixels = block.pixels(slot);
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

#[inline(always)]
fn add32(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // Safety: NEON.
    unsafe { vaddq_s32(a, b) }
}

#[inline(always)]
fn sub32(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // Safety: NEON.
    unsafe { vsubq_s32(a, b) }
}

#[inline(always)]
fn four32(a: int32x4_t) -> int32x4_t {
    // Safety: NEON.
    unsafe { vshlq_n_s32::<2>(a) }
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
        let mut down = [[vdupq_n_s32(0); PATCH]; TILE];
        for x in 0..PATCH {
            let mut column = [vdupq_n_s32(0); PATCH];
            for (y, to) in column.iter_mut().enumerate() {
                *to = vld1q_s32(products.add((PATCH * y + x) * SUMS));
            }
            let sums = winograd::results!(column, add32, sub32, four32);
            for (down, sum) in down.iter_mut().zip(sums) {
                down[x] = sum;
            }
        }
        let (ninth, zero) = (vdupq_n_s32(NINTH), flipped_zero(pre_zero));
        for (y, down) in down.iter().enumerate().take(pixels.height) {
            let mut sums = [bias; TILE];
            for (sum, times) in sums.iter_mut().zip(winograd::results!(down, add32, sub32, four32)) {
                *sum = vsraq_n_s32::<{ SHIFT as i32 }>(*sum, vmulq_s32(times, ninth));
            }
            let mut bytes = finish::<REACH, true>(sums, [multiplier; TILE], zero);
            let row = pixels.output.add(y * pixels.output_row);
            if (pixels.width, channels) == (TILE, SUMS) {
                let step = pixels.output_pixel;
                store_fours(bytes, [row, row.add(step), row.add(2 * step), row.add(3 * step)]);
                continue;
            }
            for x in 0..pixels.width {
                store(bytes, row.add(x * pixels.output_pixel), channels);
                bytes = vextq_u8::<4>(bytes, bytes);
            }
        }
    }
}
