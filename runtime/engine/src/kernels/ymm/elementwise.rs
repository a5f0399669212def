//! Maxima, sums, products and means of bytes on 256-bit vectors, and the loop that keeps the multipliers busy.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::super::{Block, Product, Sum};
use super::dot::{Dot, narrow};
use super::lookup::halves;
use super::memory::{load, store};

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
