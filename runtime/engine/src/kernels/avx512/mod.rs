//! x86-64 with AVX-512 VNNI and VBMI (Ice Lake, Zen 4 and newer).
//!
//! A tile keeps `PIXELS` x `VECTORS` sums of sixteen channels in registers. One step multiplies
//! four input channels of each pixel, broadcast, with four weights of each output channel
//! (VPDPBUSD).

pub(super) mod depthwise;
mod depthwise_store;
pub(super) mod lanes;
pub(super) mod store;
pub(super) mod winograd;

use std::arch::x86_64::*;

use self::depthwise::{depthwise, depthwise_sums};
use self::store::{BYTES, JOINED, LANES, Lookup, SUMS, Store, put};
use super::super::quant::Table;
use super::wide_store::{self, WideRow, WideStore};
use super::ymm::gather;
use super::{Block, Kernels, PackedConv, Product, Rows, Sum};

/// Ice Lake, Zen 4 and newer.
static KERNELS: Kernels = AVX512;

/// The same with fewer multiplications wherever that can be.
#[cfg(test)]
static EAGER: Kernels = Kernels { name: "avx512-vnni, eager", winograd: Some(winograd::EAGER), ..AVX512 };

const AVX512: Kernels = Kernels {
    name: "avx512-vnni",
    lanes: LANES,
    panel: 4,
    block: 4,
    sign_xor: 0,
    joins: usize::MAX,
    short_tables: false,
    winograd: Some(winograd::LOOPS),
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
    gather: gather::zmm,
    dots: super::dots::dots_avx2,
    burn,
};

/// If this processor has every instruction used here.
pub(super) fn kernels() -> Option<&'static Kernels> {
    supported().then_some(&KERNELS)
}

/// As [`kernels`].
#[cfg(test)]
pub(super) fn eager() -> Option<&'static Kernels> {
    supported().then_some(&EAGER)
}

fn supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512vbmi")
}

/// One tile: `PIXELS` pixels of one row, all channels of one panel.
///
/// Safety: as [`Kernels::conv`], or [`Kernels::conv_sums`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn tile<const PIXELS: usize, const VECTORS: usize, const STORED: u8>(
    packed: &PackedConv,
    mut weights: *const i8,
    bias: &[__m512i; VECTORS],
    store: &Store<'_, VECTORS>,
    rows: &Rows,
    input: *const u8,
    output: *mut u8,
) {
    // Safety: this tile's taps, weights and channels, for which the caller vouches; masks leave the
    // channels of this panel.
    unsafe {
        let mut sums = [*bias; PIXELS];
        let step = rows.input_pixel;
        for &tap in &packed.taps {
            let mut at = input.add(tap);
            for _ in 0..packed.groups {
                let mut w = [_mm512_setzero_si512(); VECTORS];
                for (v, w) in w.iter_mut().enumerate() {
                    *w = _mm512_loadu_si512(weights.add(64 * v).cast());
                }
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let four = at.add(pixel * step).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, four, w);
                    }
                }
                at = at.add(4);
                weights = weights.add(64 * VECTORS);
            }
        }
        if STORED == SUMS {
            for (pixel, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    _mm512_storeu_si512(output.add(pixel * rows.output_pixel + 64 * v).cast(), *sum);
                }
            }
        } else {
            put::<PIXELS, VECTORS, STORED>(store, &sums, rows.output_pixel, output);
        }
    }
}

/// All rows of one panel; the pixels of a row are split into tiles as evenly as possible.
///
/// Safety: as [`Kernels::conv`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn panel<const VECTORS: usize, const STORED: u8>(packed: &PackedConv, index: usize, rows: &Rows) {
    let panel = packed.panels[index];
    let weights = packed.weights[panel.weights..].as_ptr();
    let mut bias = [_mm512_setzero_si512(); VECTORS];
    for (v, to) in bias.iter_mut().enumerate() {
        let from = &packed.bias[panel.constants + LANES * v..][..LANES];
        // Safety: the slice has as many.
        *to = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    }
    let store = Store::<VECTORS>::new(packed, &panel);
    // sums, weights and the broadcast must fit in 32 registers
    let widest = if VECTORS == 4 { 6 } else { 8 };
    let tiles = rows.width.div_ceil(widest);
    for y in 0..rows.height {
        let mut x = 0;
        for index in 0..tiles {
            let pixels = (rows.width - x).div_ceil(tiles - index);
            // Safety: pixel (y, x) of the job, for which the caller vouches.
            unsafe {
                let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                let channel = if STORED == SUMS { size_of::<i32>() * panel.channel } else { panel.channel };
                let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + channel);
                macro_rules! tile {
                    ($($pixels:literal)*) => {
                        match pixels {
                            $($pixels => tile::<$pixels, VECTORS, STORED>(packed, weights, &bias, &store, rows, input, output),)*
                            _ => {}
                        }
                    };
                }
                if VECTORS == 4 {
                    tile!(1 2 3 4 5 6);
                } else {
                    tile!(1 2 3 4 5 6 7 8);
                }
            }
            x += pixels;
        }
    }
}

// Safety: see `Kernels::conv`; only reachable where `supported`.
unsafe fn conv(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { if packed.parts.is_empty() { panels::<BYTES>(packed, rows) } else { panels::<JOINED>(packed, rows) } }
}

// Safety: see `Kernels::conv_sums`; only reachable where `supported`.
unsafe fn conv_sums(packed: &PackedConv, rows: &Rows) {
    // Safety: handed on.
    unsafe { panels::<SUMS>(packed, rows) }
}

/// Safety: as [`Kernels::conv`], or [`Kernels::conv_sums`].
unsafe fn panels<const STORED: u8>(packed: &PackedConv, rows: &Rows) {
    for (index, panel_of) in packed.panels.iter().enumerate() {
        // Safety: handed on.
        unsafe {
            match panel_of.vectors {
                1 => panel::<1, STORED>(packed, index, rows),
                2 => panel::<2, STORED>(packed, index, rows),
                3 => panel::<3, STORED>(packed, index, rows),
                _ => panel::<4, STORED>(packed, index, rows),
            }
        }
    }
}

// Safety: see `Kernels::wide_store`; only reachable where `supported`.
unsafe fn wide_store(store: &WideStore, row: &WideRow) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn inner(store: &WideStore, row: &WideRow) {
        // Safety: handed on.
        unsafe { wide_store::store(store, row) }
    }
    // Safety: handed on.
    unsafe { inner(store, row) }
}

// Safety: see `Kernels::table`; only reachable where `supported`.
unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn inner(table: &Table, input: *const u8, output: *mut u8, count: usize) {
        let lookup = Lookup::load(table);
        for at in (0..count).step_by(64) {
            let mask = if count - at >= 64 { u64::MAX } else { (1 << (count - at)) - 1 };
            // Safety: masked to `count`.
            unsafe {
                let q = _mm512_maskz_loadu_epi8(mask, input.add(at).cast());
                _mm512_mask_storeu_epi8(output.add(at).cast(), mask, lookup.apply(q));
            }
        }
    }
    // Safety: handed on.
    unsafe { inner(table, input, output, count) }
}

// Safety: see `Kernels::max`; only reachable where `supported`.
unsafe fn max(input: *const u8, accumulator: *mut u8, count: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn inner(input: *const u8, accumulator: *mut u8, count: usize) {
        for at in (0..count).step_by(64) {
            let mask = if count - at >= 64 { u64::MAX } else { (1 << (count - at)) - 1 };
            // Safety: masked to `count`.
            unsafe {
                let a = _mm512_maskz_loadu_epi8(mask, input.add(at).cast());
                let b = _mm512_maskz_loadu_epi8(mask, accumulator.add(at).cast());
                _mm512_mask_storeu_epi8(accumulator.add(at).cast(), mask, _mm512_max_epu8(a, b));
            }
        }
    }
    // Safety: handed on.
    unsafe { inner(input, accumulator, count) }
}

/// Lanes of a tail; all of them where at least sixteen bytes are left.
fn mask16(left: usize) -> u16 {
    if left >= 16 { u16::MAX } else { (1 << left) - 1 }
}

/// Sixteen bytes less their zero point, as float32. Safety: bytes under the mask are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn centred(mask: u16, at: *const u8, zero: __m512i) -> __m512 {
    // Safety: masked.
    let bytes = unsafe { _mm_maskz_loadu_epi8(mask, at.cast()) };
    _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), zero))
}

/// Rounds to nearest even, adds the zero point and clamps.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn narrow16(real: __m512, zero: __m512i) -> __m128i {
    let rounded = _mm512_add_epi32(_mm512_cvtps_epi32(real), zero);
    _mm512_cvtusepi32_epi8(_mm512_max_epi32(rounded, _mm512_setzero_si512()))
}

// Safety: see `Kernels::add`; only reachable where `supported`.
unsafe fn add(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn inner(sum: &Sum, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
        let zero = |i: usize| _mm512_set1_epi32(i32::from(sum.zeros[i]));
        let [za, zb, zero] = [zero(0), zero(1), zero(2)];
        let [ma, mb] = [_mm512_set1_ps(sum.multipliers[0]), _mm512_set1_ps(sum.multipliers[1])];
        for at in (0..count).step_by(16) {
            let mask = mask16(count - at);
            // Safety: masked to `count`.
            unsafe {
                let left = _mm512_mul_ps(centred(mask, a.add(at), za), ma);
                let right = _mm512_mul_ps(centred(mask, b.add(at), zb), mb);
                _mm_mask_storeu_epi8(output.add(at).cast(), mask, narrow16(_mm512_add_ps(left, right), zero));
            }
        }
    }
    // Safety: handed on.
    unsafe { inner(sum, a, b, output, count) }
}

// Safety: see `Kernels::mul`; only reachable where `supported`.
unsafe fn mul(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn inner(product: &Product, a: *const u8, b: *const u8, output: *mut u8, count: usize) {
        let zero = |i: usize| _mm512_set1_epi32(i32::from(product.zeros[i]));
        let [za, zb, zero] = [zero(0), zero(1), zero(2)];
        let multiplier = _mm512_set1_ps(product.multiplier);
        for at in (0..count).step_by(16) {
            let mask = mask16(count - at);
            // Safety: masked to `count`.
            unsafe {
                // below 2^24: the product of two reals is the exact product of the integers
                let exact = _mm512_mul_ps(centred(mask, a.add(at), za), centred(mask, b.add(at), zb));
                _mm_mask_storeu_epi8(output.add(at).cast(), mask, narrow16(_mm512_mul_ps(exact, multiplier), zero));
            }
        }
    }
    // Safety: handed on.
    unsafe { inner(product, a, b, output, count) }
}

// Safety: see `Kernels::mean`; only reachable where `supported`.
unsafe fn mean(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn inner(block: &Block, input: *const u8, output: *mut u8, channels: usize) {
        let [rows, columns] = block.pixels;
        let count = _mm512_set1_ps(((rows * columns) as i32).max(1) as f32);
        for at in (0..channels).step_by(16) {
            let mask = mask16(channels - at);
            let mut sum = _mm512_setzero_si512();
            for y in 0..rows {
                for x in 0..columns {
                    // Safety: a pixel of the block, masked to its channels.
                    let bytes = unsafe {
                        let pixel = input.add(y * block.steps[0] + x * block.steps[1] + at);
                        _mm_maskz_loadu_epi8(mask, pixel.cast())
                    };
                    sum = _mm512_add_epi32(sum, _mm512_cvtepu8_epi32(bytes));
                }
            }
            let mean = narrow16(_mm512_div_ps(_mm512_cvtepi32_ps(sum), count), _mm512_setzero_si512());
            // Safety: masked to `channels`.
            unsafe { _mm_mask_storeu_epi8(output.add(at).cast(), mask, mean) };
        }
    }
    // Safety: handed on.
    unsafe { inner(block, input, output, channels) }
}

// Safety: see `Kernels::burn`; only reachable where `supported`.
unsafe fn burn(multiplications: u64) -> u64 {
    const SUMS: usize = 24;
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    fn inner(rounds: u64) {
        let mut sums = [_mm512_setzero_si512(); SUMS];
        let x = std::hint::black_box(_mm512_set1_epi32(0x0102_0304));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, x, x);
            }
        }
        std::hint::black_box(&sums);
    }
    let per_round = (SUMS * 64) as u64;
    let rounds = multiplications / per_round;
    // Safety: `supported`.
    unsafe { inner(rounds) };
    rounds * per_round
}
