//! [`super::winograd`] with AVX-512: patches and filters in vectors of 32 numbers of sixteen bits, products
//! by VPDPWSSD, two input channels of a tile, broadcast, with two weights of each output channel.

use std::arch::x86_64::*;

use super::Rows;
use super::avx512::{BYTES, LANES, put};
use super::avx512_store::Store;
use super::packing::Panel;
use super::winograd::{self, CHANNELS, Loops, NINTH, PATCH, PLACES, PackedWinograd, SHIFT, TILE, Tiles};

/// Tiles whose products are held at a time.
const TILES: usize = 9;
/// Filters are asked for so many numbers ahead, over the ends of pages, where the processor's own guess ends.
const AHEAD: usize = 4096;

pub(super) const LOOPS: Loops = Loops { tiles: TILES, lanes: LANES, panel: 4, together: 2, gains, run };

/// Where it can be tested.
#[cfg(test)]
pub(super) const EAGER: Loops = Loops { gains: |_, _, _| true, ..LOOPS };

/// By cycles on Zen 4; filters, eight times as many bytes as a direct convolution's, come at sixteen a cycle.
fn gains(inputs: usize, outputs: usize, [height, width]: [usize; 2]) -> bool {
    let vectors = outputs.div_ceil(LANES);
    let direct = height * width * 9 * inputs.div_ceil(4) * vectors;
    let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
    let tile = 20 * inputs * vectors + 110 * inputs.div_ceil(CHANNELS) + 230 * vectors;
    let filters = size_of::<i16>() * PLACES * inputs * outputs;
    tiles * tile + filters / 16 < direct
}

// Safety: see `Loops::run`; only reachable where `avx512::supported`.
unsafe fn run(packed: &PackedWinograd, tiles: &Tiles) {
    // Safety: handed on.
    unsafe { blocks(packed, tiles) }
}

/// Safety: as [`Loops::run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn blocks(packed: &PackedWinograd, tiles: &Tiles) {
    let patch = PLACES * packed.padded_inputs();
    let blocks = tiles.range.len().div_ceil(TILES);
    let mut first = tiles.range.start;
    for block in 0..blocks {
        let count = (tiles.range.end - first).div_ceil(blocks - block);
        let block = Block {
            tiles,
            first,
            count,
            patches: tiles.scratch.cast(),
            patch,
            // Safety: inside the scratch.
            products: unsafe { tiles.scratch.cast::<i16>().add(TILES * patch).cast() },
        };
        // Safety: handed on.
        unsafe {
            for slot in 0..count {
                transform(packed, &block, slot);
            }
            for panel in 0..packed.conv.panels.len() {
                match packed.conv.panels[panel].vectors {
                    1 => panel_of::<1, 8>(packed, &block, panel),
                    2 => panel_of::<2, 8>(packed, &block, panel),
                    3 => panel_of::<3, 8>(packed, &block, panel),
                    _ => panel_of::<4, 6>(packed, &block, panel),
                }
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
    /// Products, tile by tile; in a tile by (vector of channels, place, lane).
    products: *mut i32,
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn add16(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi16(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn sub16(a: __m512i, b: __m512i) -> __m512i {
    _mm512_sub_epi16(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn four16(a: __m512i) -> __m512i {
    _mm512_slli_epi16::<2>(a)
}

/// The patch of one tile.
///
/// Safety: as [`Loops::run`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn transform(packed: &PackedWinograd, block: &Block<'_>, slot: usize) {
    let [rows, columns] = block.tiles.patch(block.first + slot);
    let padded = packed.padded_inputs();
    for channel in (0..packed.inputs).step_by(CHANNELS) {
        // Safety: pixels of the job, and up to `SLACK` bytes behind their channels; this tile's patch.
        unsafe {
            let input = block.tiles.rows.input.add(channel);
            let to = block.patches.add(slot * block.patch + channel);
            let mut down = [[_mm512_setzero_si512(); PATCH]; PATCH];
            for x in 0..PATCH {
                let mut values = [_mm512_setzero_si512(); PATCH];
                for (value, row) in values.iter_mut().zip(rows) {
                    *value = _mm512_cvtepu8_epi16(_mm256_loadu_si256(input.add(row + columns[x]).cast()));
                }
                let values = winograd::patch!(values, add16, sub16, four16);
                for (row, value) in down.iter_mut().zip(values) {
                    row[x] = value;
                }
            }
            for (y, row) in down.into_iter().enumerate() {
                for (x, value) in winograd::patch!(row, add16, sub16, four16).into_iter().enumerate() {
                    _mm512_storeu_si512(to.add((PATCH * y + x) * padded).cast(), value);
                }
            }
        }
    }
}

/// The results of one panel for all tiles of the block.
///
/// Safety: as [`Loops::run`], after [`transform`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn panel_of<const VECTORS: usize, const WIDEST: usize>(
    packed: &PackedWinograd,
    block: &Block<'_>,
    index: usize,
) {
    let panel = &packed.conv.panels[index];
    let (pairs, padded) = (packed.pairs(), packed.padded_inputs());
    let filters = packed.filters[panel.weights..][..PLACES * pairs * VECTORS * LANES * 2].as_ptr();
    let groups = block.count.div_ceil(WIDEST);
    for place in 0..PLACES {
        let mut first = 0;
        for group in 0..groups {
            let tiles = (block.count - first).div_ceil(groups - group);
            // Safety: places of these tiles.
            unsafe {
                let weights = filters.add(place * pairs * VECTORS * LANES * 2);
                let patches = block.patches.add(first * block.patch + place * padded);
                let products = block.products.add((first * VECTORS * PLACES + place) * LANES);
                macro_rules! multiply {
                    ($($tiles:literal)*) => {
                        match tiles {
                            $($tiles => multiply::<$tiles, VECTORS>(weights, pairs, patches, block.patch, products),)*
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
        for slot in 0..block.count {
            let pixel = block.tiles.pixel(block.first + slot);
            // Safety: what this thread has multiplied, and its tiles.
            unsafe {
                let products = block.products.add((slot * VECTORS + vector) * PLACES * LANES);
                results(&block.tiles.rows, pixel, products, bias, &store, channel);
            }
        }
    }
}

/// `sum + a * b` of neighbouring numbers, two by two (VPDPWSSD).
///
/// The compiler makes two instructions of the intrinsic where it thinks that the sums wait for each other;
/// here they do not, and the second one costs a third of the speed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn dot(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // Safety: reads and writes registers only.
    unsafe {
        std::arch::asm!(
            "vpdpwssd {sum}, {a}, {b}",
            sum = inout(zmm_reg) sum,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
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
                    *sum = dot(*sum, two, w);
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

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn add32(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn sub32(a: __m512i, b: __m512i) -> __m512i {
    _mm512_sub_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn four32(a: __m512i) -> __m512i {
    _mm512_slli_epi32::<2>(a)
}

/// One vector of channels of one tile, from its products.
///
/// Safety: the products can be read, the channels of the tile's pixels be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn results(
    rows: &Rows,
    [y, x]: [usize; 2],
    products: *const i32,
    bias: __m512i,
    store: &Store<'_, 1>,
    channel: usize,
) {
    let zero = _mm512_setzero_si512();
    let mut down = [[zero; PATCH]; TILE];
    for column in 0..PATCH {
        let mut of_column = [zero; PATCH];
        for (row, to) in of_column.iter_mut().enumerate() {
            // Safety: a place of this tile.
            *to = unsafe { _mm512_loadu_si512(products.add((PATCH * row + column) * LANES).cast()) };
        }
        let sums = winograd::results!(of_column, add32, sub32, four32);
        for (down, sum) in down.iter_mut().zip(sums) {
            down[column] = sum;
        }
    }
    let ninth = _mm512_set1_epi32(NINTH);
    for (row, down) in down.iter().enumerate().take(rows.height - y) {
        let mut sums = [[zero]; TILE];
        for (sum, times) in sums.iter_mut().zip(winograd::results!(down, add32, sub32, four32)) {
            let exact = _mm512_srai_epi32::<SHIFT>(_mm512_mullo_epi32(times, ninth));
            *sum = [_mm512_add_epi32(exact, bias)];
        }
        let step = rows.output_pixel;
        // Safety: pixels of this tile that are in the picture.
        unsafe {
            let to = rows.output.add((y + row) * rows.output_row + x * step + channel);
            match rows.width - x {
                1 => put::<1, 1, BYTES>(store, &[sums[0]], step, to),
                2 => put::<2, 1, BYTES>(store, &[sums[0], sums[1]], step, to),
                3 => put::<3, 1, BYTES>(store, &[sums[0], sums[1], sums[2]], step, to),
                _ => put::<4, 1, BYTES>(store, &sums, step, to),
            }
        }
    }
}
