//! x86-64 with AVX2 (Haswell, Zen and newer).
//!
//! VPMADDUBSW adds two products of u8 by i8 with saturation, which u8 values of 255 would meet. The
//! values therefore lie xored, as i8; the sign moves to the weight (VPSIGNB) and what is left of the
//! value is at most 128: 2 * 128 * 127 fits.

use std::arch::x86_64::*;

use super::Kernels;
use super::ymm::{Dot, entries};

/// If this processor has every instruction used here.
pub(super) fn kernels() -> Option<&'static Kernels> {
    is_x86_feature_detected!("avx2").then_some(&KERNELS)
}

/// Magnitudes and signs.
struct Signed;

impl Dot for Signed {
    const SIGN_XOR: u8 = 0x80;
    type Input = (__m256i, __m256i);

    #[inline(always)]
    unsafe fn input(four: i32) -> (__m256i, __m256i) {
        // Safety: see `ymm`.
        unsafe {
            let all = _mm256_set1_epi32(four);
            (_mm256_abs_epi8(all), all)
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, (magnitude, sign): (__m256i, __m256i), weights: __m256i) -> __m256i {
        // Safety: see `ymm`.
        unsafe {
            let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(weights, sign));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn dot_pairs(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // Safety: see `ymm`.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) }
    }
}

entries!(KERNELS, "avx2", "avx2", Signed, 2);
