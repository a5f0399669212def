//! [`super::super::winograd`] on 256-bit vectors, for the instruction sets of [`super`]: patches and filters in
//! vectors of sixteen numbers of sixteen bits, two input channels of a tile, broadcast, with two weights of
//! each output channel.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::super::Rows;
use super::super::packed::Panel;
use super::super::winograd::{self, Block, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE};
use super::dot::{Dot, LANES, PANEL, narrow, round, widen};
use super::lookup::{Lookup, put};

/// Numbers of a vector of patches.
const CHANNELS: usize = 16;
/// Tiles that are multiplied together: sums, weights and what is broadcast fit in sixteen registers.
const GROUP: usize = 4;

/// For a step of the direct loops that takes `STEP` multiplications.
pub(in crate::kernels) const fn loops<const STEP: usize>(run: unsafe fn(&PackedWinograd, &Block)) -> Loops {
    Loops { tiles: 2 * GROUP, lanes: LANES, panel: PANEL, together: 2, gains: gains::<STEP>, run }
}

/// By multiplications, and what else takes as long.
fn gains<const STEP: usize>(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    let vectors = outputs.div_ceil(LANES);
    let direct = size[0] * size[1] * 9 * inputs.div_ceil(4) * vectors * STEP;
    let tile = PLACES * inputs.div_ceil(2) * vectors + 220 * inputs.div_ceil(CHANNELS) + 230 * vectors;
    winograd::tiles(size) * tile < direct
}

/// See [`Loops::run`].
#[inline(always)]
pub(in crate::kernels) unsafe fn run<D: Dot>(packed: &PackedWinograd, block: &Block) {
    // Safety: handed on.
    unsafe {
        let lookup = Lookup::activation(&packed.conv.table);
        for (slot, tile) in block.tiles.clone().enumerate() {
            transform::<D>(packed, block, tile, block.patches.add(slot * packed.patch()));
        }
        for panel in &packed.conv.panels {
            if panel.vectors == 1 {
                multiply_all::<D, 1>(packed, block, panel);
            } else {
                multiply_all::<D, PANEL>(packed, block, panel);
            }
            for (slot, tile) in block.tiles.clone().enumerate() {
                let products = block.products.add(slot * panel.vectors * PLACES * LANES);
                results::<D>(packed, panel, lookup.as_ref(), &block.pixels(tile), products);
            }
        }
    }
}

/// The patch of one tile, by (place, channel).
///
/// Safety: as [`Loops::run`]; the numbers of a patch can be written.
#[inline(always)]
unsafe fn transform<D: Dot>(packed: &PackedWinograd, block: &Block, tile: usize, patch: *mut i16) {
    let (at, padded) = (block.patch(tile), packed.padded_inputs());
    for channel in (0..packed.inputs).step_by(CHANNELS) {
        // Safety: pixels of the job, and up to `SLACK` bytes behind their channels; this tile's patch.
        unsafe {
            winograd::patch!(
                [_mm256_add_epi16, _mm256_sub_epi16, _mm256_slli_epi16::<2>],
                |y, x| widen::<D>(_mm_loadu_si128(at(y, x).add(channel).cast())),
                |y, row| for (x, values) in row.into_iter().enumerate() {
                    _mm256_storeu_si256(patch.add((PATCH * y + x) * padded + channel).cast(), values);
                }
            );
        }
    }
}

/// The products of the block's tiles with one panel.
///
/// Safety: as [`Loops::run`], after [`transform`].
#[inline(always)]
unsafe fn multiply_all<D: Dot, const V: usize>(packed: &PackedWinograd, block: &Block, panel: &Panel) {
    let (patch, count) = (packed.patch(), block.tiles.len());
    let filters = packed.filters[panel.weights..].chunks_exact(packed.pairs() * V * LANES * 2);
    for (place, filters) in filters.take(PLACES).enumerate() {
        for first in (0..count).step_by(GROUP) {
            // Safety: places of these tiles.
            unsafe {
                let patches = block.patches.add(first * patch + place * packed.padded_inputs());
                let products = block.products.add((first * V * PLACES + place) * LANES);
                match count - first {
                    1 => multiply::<D, 1, V>(filters, patches, patch, products),
                    2 => multiply::<D, 2, V>(filters, patches, patch, products),
                    3 => multiply::<D, 3, V>(filters, patches, patch, products),
                    _ => multiply::<D, GROUP, V>(filters, patches, patch, products),
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
    patch: usize,
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
                let two = patches.add(tile * patch + 2 * pair).cast::<i32>().read_unaligned();
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

/// The results of one tile in the channels of one panel, from its products.
///
/// Safety: the products can be read, the channels of the pixels be written.
#[inline(always)]
unsafe fn results<D: Dot>(
    packed: &PackedWinograd,
    panel: &Panel,
    lookup: Option<&Lookup>,
    pixels: &Rows,
    products: *const i32,
) {
    let conv = &packed.conv;
    // Safety: as above; constants are padded to whole vectors.
    unsafe {
        let mut rounded = [[[_mm256_setzero_si256(); PANEL]; TILE]; TILE];
        for vector in 0..panel.vectors {
            let first = products.add(vector * PLACES * LANES);
            let constants = panel.constants + LANES * vector;
            let bias = _mm256_loadu_si256(conv.bias[constants..][..LANES].as_ptr().cast());
            let multiplier = _mm256_loadu_ps(conv.multiplier[constants..][..LANES].as_ptr());
            let ninth = _mm256_set1_epi32(NINTH);
            winograd::results!(
                [_mm256_add_epi32, _mm256_sub_epi32, _mm256_slli_epi32::<2>],
                |y, x| _mm256_loadu_si256(first.add((PATCH * y + x) * LANES).cast()),
                |y, row| for (rounded, times) in rounded[y].iter_mut().zip(row) {
                    let exact = _mm256_srai_epi32::<{ SHIFT as i32 }>(_mm256_mullo_epi32(times, ninth));
                    rounded[vector] = round(_mm256_add_epi32(exact, bias), multiplier);
                }
            );
        }
        let zero = _mm256_set1_epi16(i16::from(conv.pre_zero));
        for (y, rounded) in rounded.iter().enumerate().take(pixels.height) {
            let to = pixels.output.add(y * pixels.output_row + panel.channel);
            let mut bytes = [_mm256_setzero_si256(); TILE / 2];
            for (pair, bytes) in bytes.iter_mut().enumerate() {
                let [[a, b], [c, d]] = [rounded[2 * pair], rounded[2 * pair + 1]];
                *bytes = narrow::<D>([a, b, c, d], zero);
            }
            put(bytes, lookup, to, pixels.output_pixel, pixels.width, panel.channels);
        }
    }
}
