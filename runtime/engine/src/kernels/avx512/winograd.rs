//! [`super::super::winograd`] with AVX-512: patches and filters in vectors of 32 numbers of sixteen bits, products
//! by VPDPWSSD, two input channels of a tile, broadcast, with two weights of each output channel.

use std::arch::x86_64::*;

use super::super::Rows;
use super::super::packed::Panel;
use super::super::winograd::{self, Block, CHANNELS, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE};
use super::store::{BYTES, LANES, Store, put};

/// Filters are asked for so many numbers ahead, over the ends of pages, where the processor's own guess ends.
const AHEAD: usize = 4096;

/// The products of nine tiles are still near when they are added up.
pub(in crate::kernels) const LOOPS: Loops = Loops { tiles: 9, lanes: LANES, panel: 4, together: 2, gains, run };

/// Where it can be tested.
#[cfg(test)]
pub(in crate::kernels) const EAGER: Loops = Loops { gains: |_, _, _| true, ..LOOPS };

/// By cycles on Zen 4; filters, eight times as many bytes as a direct convolution's, come at sixteen a cycle.
fn gains(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    let vectors = outputs.div_ceil(LANES);
    let direct = size[0] * size[1] * 9 * inputs.div_ceil(4) * vectors;
    let tile = 20 * inputs * vectors + 110 * inputs.div_ceil(CHANNELS) + 230 * vectors;
    winograd::tiles(size) * tile + winograd::filter_bytes(inputs, outputs) / 16 < direct
}

// Safety: see `Loops::run`; only reachable where `avx512::supported`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn run(packed: &PackedWinograd, block: &Block) {
    // Safety: handed on.
    unsafe {
        for (slot, tile) in block.tiles.clone().enumerate() {
            transform(packed, block, tile, block.patches.add(slot * packed.patch()));
        }
        for panel in &packed.conv.panels {
            match panel.vectors {
                1 => panel_of::<1, 8>(packed, block, panel),
                2 => panel_of::<2, 8>(packed, block, panel),
                3 => panel_of::<3, 8>(packed, block, panel),
                _ => panel_of::<4, 6>(packed, block, panel),
            }
        }
    }
}

/// The patch of one tile, by (place, channel).
///
/// Safety: as [`Loops::run`]; the numbers of a patch can be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn transform(packed: &PackedWinograd, block: &Block, tile: usize, patch: *mut i16) {
    let (at, padded) = (block.patch(tile), packed.padded_inputs());
    for channel in (0..packed.inputs).step_by(CHANNELS) {
        // Safety: pixels of the job, and up to `SLACK` bytes behind their channels; this tile's patch.
        unsafe {
            winograd::patch!(
                [_mm512_add_epi16, _mm512_sub_epi16, _mm512_slli_epi16::<2>],
                |y, x| _mm512_cvtepu8_epi16(_mm256_loadu_si256(at(y, x).add(channel).cast())),
                |y, row| for (x, values) in row.into_iter().enumerate() {
                    _mm512_storeu_si512(patch.add((PATCH * y + x) * padded + channel).cast(), values);
                }
            );
        }
    }
}

/// The results of one panel for all tiles of the block.
///
/// Safety: as [`Loops::run`], after [`transform`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn panel_of<const VECTORS: usize, const WIDEST: usize>(packed: &PackedWinograd, block: &Block, panel: &Panel) {
    let (pairs, patch, count) = (packed.pairs(), packed.patch(), block.tiles.len());
    let filters = packed.filters[panel.weights..][..PLACES * pairs * VECTORS * LANES * 2].as_ptr();
    let groups = count.div_ceil(WIDEST);
    for place in 0..PLACES {
        let mut first = 0;
        for group in 0..groups {
            let tiles = (count - first).div_ceil(groups - group);
            // Safety: places of these tiles.
            unsafe {
                let weights = filters.add(place * pairs * VECTORS * LANES * 2);
                let patches = block.patches.add(first * patch + place * packed.padded_inputs());
                let products = block.products.add((first * VECTORS * PLACES + place) * LANES);
                macro_rules! multiply {
                    ($($tiles:literal)*) => {
                        match tiles {
                            $($tiles => multiply::<$tiles, VECTORS>(weights, pairs, patches, patch, products),)*
                            _ => {}
                        }
                    };
                }
                if WIDEST == 6 {
                    multiply!(1 2 3 4 5 6);
                } else {
                    multiply!(1 2 3 4 5 6 7 8);
                }
            }
            first += tiles;
        }
    }
    for vector in 0..VECTORS {
        let (channel, constants) = (panel.channel + LANES * vector, panel.constants + LANES * vector);
        let channels = panel.channels.saturating_sub(LANES * vector).min(LANES);
        let store = Store::<1>::new(&packed.conv, &Panel { channel, channels, vectors: 1, constants, ..*panel });
        // Safety: the slice has as many.
        let bias = unsafe { _mm512_loadu_si512(packed.conv.bias[constants..][..LANES].as_ptr().cast()) };
        for (slot, tile) in block.tiles.clone().enumerate() {
            // Safety: what this thread has multiplied, and its tiles.
            unsafe {
                let products = block.products.add((slot * VECTORS + vector) * PLACES * LANES);
                results(&block.pixels(tile), channel, products, bias, &store);
            }
        }
    }
}

/// One place of some tiles: patches times filters.
///
/// Safety: all of these can be read and the products be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn multiply<const COUNT: usize, const VECTORS: usize>(
    mut filters: *const i16,
    pairs: usize,
    patches: *const i16,
    patch: usize,
    products: *mut i32,
) {
    // Safety: as above.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; COUNT];
        for pair in 0..pairs {
            let mut w = [_mm512_setzero_si512(); VECTORS];
            for (v, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(filters.add(2 * LANES * v).cast());
                _mm_prefetch::<_MM_HINT_T0>(filters.wrapping_add(AHEAD + 2 * LANES * v).cast());
            }
            for (tile, sums) in sums.iter_mut().enumerate() {
                let two = patches.add(tile * patch + 2 * pair).cast::<i32>().read_unaligned();
                let two = _mm512_set1_epi32(two);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = _mm512_dpwssd_epi32(*sum, two, w);
                }
            }
            filters = filters.add(2 * LANES * VECTORS);
        }
        for (tile, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                _mm512_storeu_si512(products.add((tile * VECTORS + v) * PLACES * LANES).cast(), *sum);
            }
        }
    }
}

/// One vector of channels of one tile, from its products.
///
/// Safety: the products can be read, the channels of the pixels be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn results(pixels: &Rows, channel: usize, products: *const i32, bias: __m512i, store: &Store<'_, 1>) {
    // Safety: as above.
    unsafe {
        let ninth = _mm512_set1_epi32(NINTH);
        winograd::results!(
            [_mm512_add_epi32, _mm512_sub_epi32, _mm512_slli_epi32::<2>],
            |y, x| _mm512_loadu_si512(products.add((PATCH * y + x) * LANES).cast()),
            |y, row| if y < pixels.height {
                let mut sums = [[bias]; TILE];
                for ([sum], times) in sums.iter_mut().zip(row) {
                    let exact = _mm512_srai_epi32::<SHIFT>(_mm512_mullo_epi32(times, ninth));
                    *sum = _mm512_add_epi32(exact, *sum);
                }
                let step = pixels.output_pixel;
                let to = pixels.output.add(y * pixels.output_row + channel);
                match pixels.width {
                    1 => put::<1, 1, BYTES>(store, &[sums[0]], step, to),
                    2 => put::<2, 1, BYTES>(store, &[sums[0], sums[1]], step, to),
                    3 => put::<3, 1, BYTES>(store, &[sums[0], sums[1], sums[2]], step, to),
                    _ => put::<4, 1, BYTES>(store, &sums, step, to),
                }
            }
        );
    }
}
