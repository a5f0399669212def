//! Loops on 256-bit vectors, shared by the x86-64 instruction sets that have no more.
//!
//! What differs between them is [`Dot`]: how four bytes of input meet four weights in each of eight lanes.
//! All functions here are inlined into an entry point that enables the features; on their own they enable none.
//!
//! # Safety
//! Every function must be inlined into one that enables AVX2 and what its [`Dot`] needs, on a
//! processor that has them.

pub(super) mod depthwise;
pub(super) mod gather;
pub(super) mod lookup;
pub(super) mod winograd;

use std::arch::x86_64::*;

use self::lookup::{Lookup, halves, put, put_each};
use super::super::quant::Table;
use super::packing::Panel;
use super::{Block, PackedConv, Product, Rows, Sum};

/// Output channels of one vector of packed weights.
pub const LANES: usize = 8;
/// Widest panel, in vectors.
pub const PANEL: usize = 2;
/// Pixels of the widest tile: sums, weights, input and temporaries fit in sixteen registers.
const PIXELS: usize = 4;

/// One step of a convolution.
pub trait Dot {
    /// What lies in memory is `value ^ SIGN_XOR`, see `Kernels::sign_xor`.
    const SIGN_XOR: u8;
    /// Four bytes of input, made ready once for all lanes.
    type Input: Copy;

    /// Four bytes in every lane. Safety: see the module.
    unsafe fn input(four: i32) -> Self::Input;

    /// `sums[lane] + sum of input[i] * weights[lane][i]`. Safety: see the module.
    unsafe fn dot(sums: __m256i, input: Self::Input, weights: __m256i) -> __m256i;

    /// `sums[lane] + sum of a[lane][i] * b[lane][i]`, two numbers of sixteen bits a lane. Safety: see the module.
    unsafe fn dot_pairs(sums: __m256i, a: __m256i, b: __m256i) -> __m256i;
}

/// Four vectors of rounded sums to bytes in memory: of each half, those of the first vector, then those of the
/// second, third and fourth.
#[inline(always)]
pub(super) unsafe fn pack<D: Dot>(r: [__m256i; 4], zero: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe {
        // i32 -> i16 saturates, the zero point is added with saturation, i16 -> u8 saturates: the same
        // as one clamp at the end, because the zero point is below 256
        let first = _mm256_adds_epi16(_mm256_packs_epi32(r[0], r[1]), zero);
        let second = _mm256_adds_epi16(_mm256_packs_epi32(r[2], r[3]), zero);
        _mm256_xor_si256(_mm256_packus_epi16(first, second), _mm256_set1_epi8(D::SIGN_XOR as i8))
    }
}

/// Sixteen rounded sums a pixel, two pixels, to bytes in memory, the first pixel's and the second's.
#[inline(always)]
pub(super) unsafe fn narrow<D: Dot>(r: [__m256i; 4], zero: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_permutevar8x32_epi32(pack::<D>(r, zero), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
}

/// Writes the first `channels` of sixteen bytes. Safety: so many are writable.
#[inline(always)]
pub(super) unsafe fn store(mut bytes: __m128i, mut to: *mut u8, channels: usize) {
    // Safety: see the module; the parts of a short store are disjoint and add up to `channels`.
    unsafe {
        if channels >= 16 {
            return _mm_storeu_si128(to.cast(), bytes);
        }
        if channels & 8 != 0 {
            _mm_storel_epi64(to.cast(), bytes);
            (bytes, to) = (_mm_srli_si128::<8>(bytes), to.add(8));
        }
        if channels & 4 != 0 {
            to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes));
            (bytes, to) = (_mm_srli_si128::<4>(bytes), to.add(4));
        }
        if channels & 2 != 0 {
            to.cast::<i16>().write_unaligned(_mm_cvtsi128_si32(bytes) as i16);
            (bytes, to) = (_mm_srli_si128::<2>(bytes), to.add(2));
        }
        if channels & 1 != 0 {
            to.write(_mm_cvtsi128_si32(bytes) as u8);
        }
    }
}

#[inline(always)]
pub(super) unsafe fn round(sums: __m256i, multiplier: __m256) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), multiplier)) }
}

/// What becomes of the rounded sums of a panel.
struct Store<'a> {
    /// Zero points as [`pack`] takes them.
    zero: __m256i,
    lookup: Option<&'a Lookup>,
    /// Of several convolutions that are computed as one: of each channel.
    tables: Option<[&'a Table; PANEL * LANES]>,
}

/// No activation.
static SAME: Table = {
    let mut same = [0; 256];
    let mut byte = 0;
    while byte < same.len() {
        same[byte] = byte as u8;
        byte += 1;
    }
    same
};

impl<'a> Store<'a> {
    /// Safety: see the module.
    #[inline(always)]
    unsafe fn new(packed: &'a PackedConv, panel: &Panel, lookup: Option<&'a Lookup>) -> Store<'a> {
        if packed.parts.is_empty() {
            // Safety: see the module.
            let zero = unsafe { _mm256_set1_epi16(i16::from(packed.pre_zero)) };
            return Store { zero, lookup, tables: None };
        }
        let (mut zeros, mut tables) = ([0i32; PANEL * LANES], [&SAME; PANEL * LANES]);
        for (channel, (zero, table)) in zeros.iter_mut().zip(&mut tables).enumerate().take(panel.channels) {
            let (pre_zero, activation) = packed.activation(panel.channel + channel);
            (*zero, *table) = (i32::from(pre_zero), activation.unwrap_or(&SAME));
        }
        // Safety: see the module; there are two vectors of zero points.
        let zero = unsafe {
            let zeros = zeros.as_ptr().cast::<__m256i>();
            _mm256_packs_epi32(_mm256_loadu_si256(zeros), _mm256_loadu_si256(zeros.add(1)))
        };
        Store { zero, lookup, tables: Some(tables) }
    }
}

/// One tile: `P` pixels of one row, all channels of a panel of `V` vectors; `SUMS` stores the sums
/// themselves.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "loops that the compiler unrolls at once: else sums go to memory")]
unsafe fn tile<D: Dot, const P: usize, const V: usize, const SUMS: bool>(
    packed: &PackedConv,
    panel: &Panel,
    store: &Store,
    rows: &Rows,
    input: *const u8,
    output: *mut u8,
) {
    // Safety: this tile's taps, weights and channels, for which the caller of `conv` vouches.
    unsafe {
        let bias = packed.bias[panel.constants..][..V * LANES].as_ptr();
        let mut weights = packed.weights[panel.weights..].as_ptr();
        let mut sums = [[_mm256_setzero_si256(); V]; P];
        for p in 0..P {
            for v in 0..V {
                sums[p][v] = _mm256_loadu_si256(bias.add(LANES * v).cast());
            }
        }
        for &tap in &packed.taps {
            let mut at = input.add(tap);
            for _ in 0..packed.groups {
                let mut w = [_mm256_setzero_si256(); V];
                for v in 0..V {
                    w[v] = _mm256_loadu_si256(weights.add(32 * v).cast());
                }
                for p in 0..P {
                    let four = D::input(at.add(p * rows.input_pixel).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        sums[p][v] = D::dot(sums[p][v], four, w[v]);
                    }
                }
                at = at.add(4);
                weights = weights.add(32 * V);
            }
        }
        if SUMS {
            for p in 0..P {
                for v in 0..V {
                    _mm256_storeu_si256(output.add(p * rows.output_pixel + 32 * v).cast(), sums[p][v]);
                }
            }
            return;
        }
        let multiplier = packed.multiplier[panel.constants..][..V * LANES].as_ptr();
        let mut rounded = [[_mm256_setzero_si256(); PANEL]; PIXELS];
        for p in 0..P {
            for v in 0..V {
                rounded[p][v] = round(sums[p][v], _mm256_loadu_ps(multiplier.add(LANES * v)));
            }
        }
        for p in (0..P).step_by(2) {
            let ([first, second], step) = ([rounded[p], rounded[p + 1]], rows.output_pixel);
            let bytes = narrow::<D>([first[0], first[1], second[0], second[1]], store.zero);
            match &store.tables {
                None => put(bytes, store.lookup, output.add(p * step), step, P - p, panel.channels),
                Some(tables) => put_each(bytes, tables, output.add(p * step), step, P - p, panel.channels),
            }
        }
    }
}

/// See `Kernels::conv`, or `Kernels::conv_sums` for `SUMS`.
#[inline(always)]
pub unsafe fn conv<D: Dot, const SUMS: bool>(packed: &PackedConv, rows: &Rows) {
    // Safety: see the module.
    let lookup = unsafe { Lookup::activation(packed.table.as_deref().filter(|_| !SUMS)) };
    let lookup = lookup.as_ref();
    for panel in &packed.panels {
        // Safety: see the module.
        let store = unsafe { &Store::new(packed, panel, lookup) };
        let tiles = rows.width.div_ceil(PIXELS);
        for y in 0..rows.height {
            let mut x = 0;
            for left in (1..=tiles).rev() {
                // the pixels of a row are split into tiles as evenly as possible
                let pixels = (rows.width - x).div_ceil(left);
                // Safety: pixel (y, x) of the job, for which the caller vouches.
                unsafe {
                    let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                    let channel = if SUMS { size_of::<i32>() * panel.channel } else { panel.channel };
                    let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + channel);
                    match (pixels, panel.vectors) {
                        (1, 1) => tile::<D, 1, 1, SUMS>(packed, panel, store, rows, input, output),
                        (2, 1) => tile::<D, 2, 1, SUMS>(packed, panel, store, rows, input, output),
                        (3, 1) => tile::<D, 3, 1, SUMS>(packed, panel, store, rows, input, output),
                        (_, 1) => tile::<D, 4, 1, SUMS>(packed, panel, store, rows, input, output),
                        (1, _) => tile::<D, 1, 2, SUMS>(packed, panel, store, rows, input, output),
                        (2, _) => tile::<D, 2, 2, SUMS>(packed, panel, store, rows, input, output),
                        (3, _) => tile::<D, 3, 2, SUMS>(packed, panel, store, rows, input, output),
                        _ => tile::<D, 4, 2, SUMS>(packed, panel, store, rows, input, output),
                    }
                }
                x += pixels;
            }
        }
    }
}

/// Sixteen bytes of memory as sixteen i16 in the sense of the multiplications.
#[inline(always)]
pub(super) unsafe fn widen<D: Dot>(bytes: __m128i) -> __m256i {
    // Safety: see the module.
    unsafe { if D::SIGN_XOR == 0 { _mm256_cvtepu8_epi16(bytes) } else { _mm256_cvtepi8_epi16(bytes) } }
}

/// Up to sixteen bytes, zeros behind them. Safety: `count` bytes are readable.
#[inline(always)]
pub(super) unsafe fn load(input: *const u8, count: usize) -> __m128i {
    // Safety: see the module; a short load goes through a buffer.
    unsafe {
        if count >= 16 {
            return _mm_loadu_si128(input.cast());
        }
        let mut buffer = [0u8; 16];
        std::ptr::copy_nonoverlapping(input, buffer.as_mut_ptr(), count);
        _mm_loadu_si128(buffer.as_ptr().cast())
    }
}

/// See `Kernels::max`.
#[inline(always)]
pub unsafe fn max<D: Dot>(input: *const u8, accumulator: *mut u8, count: usize) {
    for at in (0..count).step_by(16) {
        // Safety: at most `count`.
        unsafe {
            let (a, b) = (load(input.add(at), count - at), load(accumulator.add(at), count - at));
            let greatest = if D::SIGN_XOR == 0 { _mm_max_epu8(a, b) } else { _mm_max_epi8(a, b) };
            store(greatest, accumulator.add(at), count - at);
        }
    }
}

/// Sixteen bytes of memory as real values less their zero point, in two vectors.
#[inline(always)]
unsafe fn centred<D: Dot>(bytes: __m128i, zero: u8) -> [__m256; 2] {
    // Safety: see the module.
    unsafe {
        let values = _mm_xor_si128(bytes, _mm_set1_epi8(D::SIGN_XOR as i8));
        let zero = _mm256_set1_epi32(i32::from(zero));
        let real = |v: __m128i| _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepu8_epi32(v), zero));
        [real(values), real(_mm_srli_si128::<8>(values))]
    }
}

/// Sixteen float32 values, rounded, to bytes in memory.
#[inline(always)]
unsafe fn narrowed<D: Dot>(real: [__m256; 2], zero: u8) -> __m128i {
    // Safety: see the module.
    unsafe {
        let none = _mm256_setzero_si256();
        let rounded = [_mm256_cvtps_epi32(real[0]), _mm256_cvtps_epi32(real[1]), none, none];
        halves(narrow::<D>(rounded, _mm256_set1_epi16(i16::from(zero))))[0]
    }
}

/// See `Kernels::add`.
#[inline(always)]
pub unsafe fn add<D: Dot>(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    for at in (0..count).step_by(16) {
        // Safety: at most `count`.
        unsafe {
            let [ma, mb] = [_mm256_set1_ps(sum.multipliers[0]), _mm256_set1_ps(sum.multipliers[1])];
            let left = centred::<D>(load(a.add(at), count - at), sum.zeros[0]);
            let right = centred::<D>(load(b.add(at), count - at), sum.zeros[1]);
            let both = |i: usize| _mm256_add_ps(_mm256_mul_ps(left[i], ma), _mm256_mul_ps(right[i], mb));
            store(narrowed::<D>([both(0), both(1)], sum.zeros[2]), output.add(at), count - at);
        }
    }
}

/// See `Kernels::mul`.
#[inline(always)]
pub unsafe fn mul<D: Dot>(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    for at in (0..count).step_by(16) {
        // Safety: at most `count`.
        unsafe {
            let multiplier = _mm256_set1_ps(product.multiplier);
            let left = centred::<D>(load(a.add(at), count - at), product.zeros[0]);
            let right = centred::<D>(load(b.add(at), count - at), product.zeros[1]);
            // below 2^24: the product of two reals is the exact product of the integers
            let both = |i: usize| _mm256_mul_ps(_mm256_mul_ps(left[i], right[i]), multiplier);
            store(narrowed::<D>([both(0), both(1)], product.zeros[2]), output.add(at), count - at);
        }
    }
}

/// See `Kernels::mean`.
#[inline(always)]
pub unsafe fn mean<D: Dot>(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
    let [rows, columns] = block.pixels;
    for at in (0..channels).step_by(16) {
        // Safety: pixels of the block, at most `channels`.
        unsafe {
            let mut sums = [_mm256_setzero_si256(); 2];
            for y in 0..rows {
                for x in 0..columns {
                    let pixel = input.add(y * block.steps[0] + x * block.steps[1] + at);
                    let values = _mm_xor_si128(load(pixel, channels - at), _mm_set1_epi8(D::SIGN_XOR as i8));
                    sums[0] = _mm256_add_epi32(sums[0], _mm256_cvtepu8_epi32(values));
                    sums[1] = _mm256_add_epi32(sums[1], _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(values)));
                }
            }
            let count = _mm256_set1_ps(((rows * columns) as i32).max(1) as f32);
            let mean = |i: usize| _mm256_div_ps(_mm256_cvtepi32_ps(sums[i]), count);
            store(narrowed::<D>([mean(0), mean(1)], 0), output.add(at), channels - at);
        }
    }
}

/// See `Kernels::burn`. Products that the compiler knows to be alike it would compute once.
#[inline(always)]
pub unsafe fn burn<D: Dot>(multiplications: u64) -> u64 {
    const SUMS: usize = 10;
    let rounds = multiplications / (SUMS * 32) as u64;
    // Safety: see the module.
    unsafe {
        let mut sums = [_mm256_setzero_si256(); SUMS];
        let weights = std::hint::black_box([_mm256_set1_epi8(1); SUMS]);
        for _ in 0..rounds {
            let input = D::input(std::hint::black_box(0x0102_0304));
            for i in 0..SUMS {
                sums[i] = D::dot(sums[i], input, weights[i]);
            }
        }
        let mut all = _mm256_setzero_si256();
        for sum in sums {
            all = _mm256_add_epi32(all, sum);
        }
        std::hint::black_box(all);
    }
    rounds * (SUMS * 32) as u64
}

/// Makes the entry points of one instruction set: a table of kernels whose functions enable
/// `$features` and inline the loops of this module with `$dot`, a step of which takes `$step` multiplications.
macro_rules! entries {
    ($visibility:vis $table:ident, $name:literal, $features:literal, $dot:ty, $step:literal) => {
        #[doc = concat!("The kernels of ", $name, ".")]
        $visibility static $table: $crate::kernels::Kernels = {
            use $crate::kernels::{
                Block, Kernels, PackedConv, PackedDepthwise, Product, Rows, Sum, wide, winograd, ymm,
            };
            use $crate::quant::Table;

            #[target_feature(enable = $features)]
            unsafe fn conv(packed: &PackedConv, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::conv::<$dot, false>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::conv::<$dot, true>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn depthwise(packed: &PackedDepthwise, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::depthwise::depthwise::<$dot, false>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn depthwise_sums(packed: &PackedDepthwise, rows: &Rows) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::depthwise::depthwise::<$dot, true>(packed, rows) }
            }
            #[target_feature(enable = $features)]
            unsafe fn wide_store(store: &wide::WideStore, row: &wide::WideRow) {
                // Safety: handed on; the features are enabled.
                unsafe { wide::store(store, row) }
            }
            #[target_feature(enable = $features)]
            unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::lookup::table(table, input, output, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::max::<$dot>(input, accumulator, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn add(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::add::<$dot>(sum, a, b, output, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn mul(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::mul::<$dot>(product, a, b, output, count) }
            }
            #[target_feature(enable = $features)]
            unsafe fn mean(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::mean::<$dot>(block, input, output, channels) }
            }
            #[target_feature(enable = $features)]
            unsafe fn tiles(packed: &winograd::PackedWinograd, block: &winograd::Block) {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::winograd::run::<$dot>(packed, block) }
            }
            #[target_feature(enable = $features)]
            unsafe fn burn(multiplications: u64) -> u64 {
                // Safety: handed on; the features are enabled.
                unsafe { ymm::burn::<$dot>(multiplications) }
            }
            Kernels {
                name: $name,
                lanes: ymm::LANES,
                panel: ymm::PANEL,
                block: 4,
                sign_xor: <$dot as ymm::Dot>::SIGN_XOR,
                // with more channels the tables, one a channel, would take longer than is saved
                joins: ymm::LANES * ymm::PANEL,
                winograd: Some(ymm::winograd::loops::<$step>(tiles)),
                conv,
                depthwise,
                conv_sums,
                depthwise_sums,
                wide_store,
                table,
                max,
                add,
                mul,
                mean,
                gather: $crate::kernels::ymm::gather::ymm,
                dots: crate::kernels::attention::dots_avx2,
                burn,
            }
        };
    };
}
pub(super) use entries;
