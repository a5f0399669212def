//! [`super::winograd`] in plain loops, one tile at a time.

use super::portable::{CHANNELS, LANES, number, stored};
use super::winograd::{self, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE, Tiles};

/// For bytes that lie flipped by `FLIP`.
pub(super) const fn loops<const FLIP: u8>() -> Loops {
    Loops { tiles: 1, lanes: LANES, panel: CHANNELS / LANES, together: 2, gains, run: run::<FLIP> }
}

/// A quarter of the multiplications pays for the rest from a few channels on.
fn gains(inputs: usize, outputs: usize, _size: [usize; 2]) -> bool {
    inputs.min(outputs) >= 8
}

fn add16(a: i16, b: i16) -> i16 {
    a + b
}

fn sub16(a: i16, b: i16) -> i16 {
    a - b
}

fn four16(a: i16) -> i16 {
    4 * a
}

fn add32(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

fn sub32(a: i32, b: i32) -> i32 {
    a.wrapping_sub(b)
}

fn four32(a: i32) -> i32 {
    a.wrapping_mul(4)
}

// Safety: see `Loops::run`.
unsafe fn run<const FLIP: u8>(packed: &PackedWinograd, tiles: &Tiles) {
    let patches = tiles.scratch.cast::<i16>();
    for tile in tiles.range.clone() {
        // Safety: handed on.
        unsafe {
            transform::<FLIP>(packed, tiles, tile, patches);
            multiply::<FLIP>(packed, tiles, tile, patches);
        }
    }
}

/// The patch of a tile, by (place, channel).
///
/// Safety: as [`Loops::run`]; the numbers of a patch can be written.
unsafe fn transform<const FLIP: u8>(packed: &PackedWinograd, tiles: &Tiles, tile: usize, patch: *mut i16) {
    let [rows, columns] = tiles.patch(tile);
    let padded = packed.padded_inputs();
    for channel in 0..2 * packed.pairs() {
        let mut down = [[0i16; PATCH]; PATCH];
        for (x, column) in columns.iter().enumerate() {
            let mut values = [0i16; PATCH];
            for (value, row) in values.iter_mut().zip(rows) {
                // Safety: a channel of a pixel of the job, or the byte behind the last one.
                *value = number::<FLIP>(unsafe { tiles.rows.input.add(row + column + channel).read() }) as i16;
            }
            let values = winograd::patch!(values, add16, sub16, four16);
            down.iter_mut().zip(values).for_each(|(row, value)| row[x] = value);
        }
        for (y, row) in down.into_iter().enumerate() {
            for (x, value) in winograd::patch!(row, add16, sub16, four16).into_iter().enumerate() {
                // Safety: a number of the patch.
                unsafe { patch.add((PATCH * y + x) * padded + channel).write(value) };
            }
        }
    }
}

/// The results of a tile, panel by panel.
///
/// Safety: as [`Loops::run`], after [`transform`].
unsafe fn multiply<const FLIP: u8>(packed: &PackedWinograd, tiles: &Tiles, tile: usize, patch: *const i16) {
    let (pairs, padded) = (packed.pairs(), packed.padded_inputs());
    for panel in &packed.conv.panels {
        let width = panel.vectors * LANES;
        let filters = packed.filters[panel.weights..].chunks_exact(2 * pairs * width);
        let mut products = [[0i32; CHANNELS]; PLACES];
        for (place, (products, filters)) in products.iter_mut().zip(filters).enumerate() {
            for (pair, filters) in filters.chunks_exact(2 * width).enumerate() {
                // Safety: a pair of channels of this patch.
                let read = unsafe { patch.add(place * padded + 2 * pair).cast::<[i16; 2]>().read() };
                let [a, b] = read.map(i32::from);
                for (product, filter) in products.iter_mut().zip(filters.as_chunks::<2>().0) {
                    let both = (a * i32::from(filter[0])).wrapping_add(b * i32::from(filter[1]));
                    *product = product.wrapping_add(both);
                }
            }
        }
        for lane in 0..panel.channels {
            // Safety: handed on.
            unsafe { store::<FLIP>(packed, tiles, tile, panel.channel + lane, products.map(|all| all[lane])) };
        }
    }
}

/// The results of a tile in one channel.
///
/// Safety: as [`Loops::run`].
unsafe fn store<const FLIP: u8>(
    packed: &PackedWinograd,
    tiles: &Tiles,
    tile: usize,
    channel: usize,
    products: [i32; PLACES],
) {
    let (conv, rows) = (&packed.conv, &tiles.rows);
    let [top, left] = tiles.pixel(tile);
    let mut down = [[0i32; PATCH]; TILE];
    for x in 0..PATCH {
        let mut column = [0; PATCH];
        column.iter_mut().enumerate().for_each(|(y, to)| *to = products[PATCH * y + x]);
        let sums = winograd::results!(column, add32, sub32, four32);
        down.iter_mut().zip(sums).for_each(|(row, sum)| row[x] = sum);
    }
    for (y, row) in (top..rows.height).zip(down) {
        for (x, times) in (left..rows.width).zip(winograd::results!(row, add32, sub32, four32)) {
            let sum = (times.wrapping_mul(NINTH) >> SHIFT).wrapping_add(conv.bias[channel]);
            let byte = stored::<FLIP>(sum, conv.multiplier[channel], conv.pre_zero, conv.table.as_deref());
            // Safety: a channel of a pixel of this tile.
            unsafe { rows.output.add(y * rows.output_row + x * rows.output_pixel + channel).write(byte) };
        }
    }
}
