//! [`super::winograd`] on 256-bit vectors, for the instruction sets of [`super::ymm`]: patches and filters in
//! vectors of sixteen numbers of sixteen bits, two input channels of a tile, broadcast, with two weights of
//! each output channel.
//!
//! # Safety
//! As for [`super::ymm`].

use std::arch::x86_64::*;

use super::packing::Panel;
use super::winograd::{self, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE, Tiles};
use super::ymm::{Dot, LANES, PANEL, look_up, narrow, round, store, widen};

/// Numbers of a vector of patches.
const CHANNELS: usize = 16;
/// Tiles whose products are held at a time, and that are multiplied together: sums, weights and what is
/// broadcast fit in sixteen registers.
const TILES: [usize; 2] = [8, 4];

pub(super) const fn loops(
    gains: fn(usize, usize, [usize; 2]) -> bool,
    run: unsafe fn(&PackedWinograd, &Tiles),
) -> Loops {
    Loops { tiles: TILES[0], lanes: LANES, panel: PANEL, together: 2, gains, run }
}

/// By multiplications, of which a step of the direct loops takes `STEP`, and what else takes as long.
pub(super) const fn gains<const STEP: usize>() -> fn(usize, usize, [usize; 2]) -> bool {
    |inputs, outputs, [height, width]| {
        let vectors = outputs.div_ceil(LANES);
        let direct = height * width * 9 * inputs.div_ceil(4) * vectors * STEP;
        let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
        let tile = PLACES * inputs.div_ceil(2) * vectors + 220 * inputs.div_ceil(CHANNELS) + 230 * vectors;
        tiles * tile < direct
    }
}

/// See [`Loops::run`].
#[inline(always)]
pub(super) unsafe fn run<D: Dot>(packed: &PackedWinograd, tiles: &Tiles) {
    let patch = PLACES * packed.padded_inputs();
    let mut first = tiles.range.start;
    while first < tiles.range.end {
        let count = TILES[0].min(tiles.range.end - first);
        let patches = tiles.scratch.cast::<i16>();
        // Safety: inside the scratch; handed on.
        unsafe {
            let products = patches.add(TILES[0] * patch).cast::<i32>();
            for slot in 0..count {
                transform::<D>(packed, tiles, first + slot, patches.add(slot * patch));
            }
            for panel in &packed.conv.panels {
                if panel.vectors == 1 {
                    multiply_all::<D, 1>(packed, panel, count, patches, products);
                } else {
                    multiply_all::<D, PANEL>(packed, panel, count, patches, products);
                }
                for slot in 0..count {
                    let products = products.add(slot * panel.vectors * PLACES * LANES);
                    results::<D>(packed, panel, tiles, first + slot, products);
                }
            }
        }
        first += count;
    }
}

#[inline(always)]
fn add16(a: __m256i, b: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_add_epi16(a, b) }
}

#[inline(always)]
fn sub16(a: __m256i, b: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_sub_epi16(a, b) }
}

#[inline(always)]
fn four16(a: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_slli_epi16::<2>(a) }
}

/// The patch of one tile, by (place, channel).
///
/// Safety: as [`Loops::run`]; the numbers of a patch can be written.
#[inline(always)]
unsafe fn transform<D: Dot>(packed: &PackedWinograd, tiles: &Tiles, tile: usize, patch: *mut i16) {
    let [rows, columns] = tiles.patch(tile);
    let padded = packed.padded_inputs();
    for channel in (0..packed.inputs).step_by(CHANNELS) {
        // Safety: pixels of the job, and up to `SLACK` bytes behind their channels; this tile's patch.
        unsafe {
            let input = tiles.rows.input.add(channel);
            // columns first, through the patch: more than the registers hold lies between
            for (x, column) in columns.iter().enumerate() {
                let mut values = [_mm256_setzero_si256(); PATCH];
                for (value, row) in values.iter_mut().zip(rows) {
                    *value = widen::<D>(_mm_loadu_si128(input.add(row + column).cast()));
                }
                for (y, value) in winograd::patch!(values, add16, sub16, four16).into_iter().enumerate() {
                    _mm256_storeu_si256(patch.add((PATCH * y + x) * padded + channel).cast(), value);
                }
            }
            for y in 0..PATCH {
                let at = |x: usize| patch.add((PATCH * y + x) * padded + channel).cast::<__m256i>();
                let mut values = [_mm256_setzero_si256(); PATCH];
                for (x, value) in values.iter_mut().enumerate() {
                    *value = _mm256_loadu_si256(at(x));
                }
                for (x, value) in winograd::patch!(values, add16, sub16, four16).into_iter().enumerate() {
                    _mm256_storeu_si256(at(x), value);
                }
            }
        }
    }
}

/// The products of some tiles with one panel.
///
/// Safety: as [`Loops::run`], after [`transform`].
#[inline(always)]
unsafe fn multiply_all<D: Dot, const V: usize>(
    packed: &PackedWinograd,
    panel: &Panel,
    count: usize,
    patches: *const i16,
    products: *mut i32,
) {
    let (pairs, padded) = (packed.pairs(), packed.padded_inputs());
    let filters = packed.filters[panel.weights..].chunks_exact(pairs * V * LANES * 2);
    for (place, filters) in filters.take(PLACES).enumerate() {
        for first in (0..count).step_by(TILES[1]) {
            // Safety: places of these tiles.
            unsafe {
                let from = patches.add(first * PLACES * padded + place * padded);
                let to = products.add((first * V * PLACES + place) * LANES);
                match count - first {
                    1 => multiply::<D, 1, V>(filters, from, padded, to),
                    2 => multiply::<D, 2, V>(filters, from, padded, to),
                    3 => multiply::<D, 3, V>(filters, from, padded, to),
                    _ => multiply::<D, 4, V>(filters, from, padded, to),
                }
            }
        }
    }
}

/// One place of some tiles: patches times filters.
///
/// Safety: all of these can be read and the products be written.
#[inline(always)]
unsafe fn multiply<D: Dot, const COUNT: usize, const V: usize>(
    filters: &[i16],
    patches: *const i16,
    padded: usize,
    products: *mut i32,
) {
    // Safety: as above.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); V]; COUNT];
        for (pair, filters) in filters.chunks_exact(2 * LANES * V).enumerate() {
            let mut w = [_mm256_setzero_si256(); V];
            for (v, w) in w.iter_mut().enumerate() {
                *w = _mm256_loadu_si256(filters.as_ptr().add(2 * LANES * v).cast());
            }
            for (tile, sums) in sums.iter_mut().enumerate() {
                let two = patches.add(tile * PLACES * padded + 2 * pair).cast::<i32>().read_unaligned();
                let two = _mm256_set1_epi32(two);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = D::dot_pairs(*sum, two, w);
                }
            }
        }
        for (tile, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                _mm256_storeu_si256(products.add((tile * V + v) * PLACES * LANES).cast(), *sum);
            }
        }
    }
}

#[inline(always)]
fn add32(a: __m256i, b: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_add_epi32(a, b) }
}

#[inline(always)]
fn sub32(a: __m256i, b: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_sub_epi32(a, b) }
}

#[inline(always)]
fn four32(a: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_slli_epi32::<2>(a) }
}

/// The results of one tile in the channels of one panel, from its products.
///
/// Safety: the products can be read, the channels of the tile's pixels be written.
#[inline(always)]
unsafe fn results<D: Dot>(packed: &PackedWinograd, panel: &Panel, tiles: &Tiles, tile: usize, products: *const i32) {
    let (conv, rows, [y, x]) = (&packed.conv, &tiles.rows, tiles.pixel(tile));
    // Safety: as above; constants are padded to whole vectors.
    unsafe {
        let mut rounded = [[[_mm256_setzero_si256(); PANEL]; TILE]; TILE];
        for vector in 0..panel.vectors {
            let mut down = [[_mm256_setzero_si256(); PATCH]; TILE];
            for column in 0..PATCH {
                let mut of_column = [_mm256_setzero_si256(); PATCH];
                for (row, to) in of_column.iter_mut().enumerate() {
                    let at = (vector * PLACES + PATCH * row + column) * LANES;
                    *to = _mm256_loadu_si256(products.add(at).cast());
                }
                let sums = winograd::results!(of_column, add32, sub32, four32);
                down.iter_mut().zip(sums).for_each(|(row, sum)| row[column] = sum);
            }
            let constants = panel.constants + LANES * vector;
            let bias = _mm256_loadu_si256(conv.bias[constants..][..LANES].as_ptr().cast());
            let multiplier = _mm256_loadu_ps(conv.multiplier[constants..][..LANES].as_ptr());
            let ninth = _mm256_set1_epi32(NINTH);
            for (rounded, down) in rounded.iter_mut().zip(&down) {
                let row = winograd::results!(down, add32, sub32, four32);
                for (rounded, times) in rounded.iter_mut().zip(row) {
                    let exact = _mm256_srai_epi32::<{ SHIFT as i32 }>(_mm256_mullo_epi32(times, ninth));
                    rounded[vector] = round(_mm256_add_epi32(exact, bias), multiplier);
                }
            }
        }
        let zero = _mm256_set1_epi16(i16::from(conv.pre_zero));
        for (row, rounded) in (y..rows.height).zip(&rounded) {
            let to = rows.output.add(row * rows.output_row + panel.channel);
            for pair in 0..TILE / 2 {
                let [[a, b], [c, d]] = [rounded[2 * pair], rounded[2 * pair + 1]];
                for (column, bytes) in (x + 2 * pair..rows.width).zip(narrow::<D>([a, b, c, d], zero)) {
                    let bytes = conv.table.as_deref().map_or(bytes, |table| look_up(table, bytes));
                    store(bytes, to.add(column * rows.output_pixel), panel.channels);
                }
            }
        }
    }
}
