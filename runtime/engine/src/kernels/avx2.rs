//! x86-64 with AVX2 (Haswell, Zen and newer).
//!
//! VPMADDUBSW adds two products of u8 by i8 with saturation, which u8 values of 255 would meet. The
//! values therefore lie flipped, as i8; the sign moves to the weight (VPSIGNB) and what is left of the
//! value is at most 128: 2 * 128 * 127 fits.

use std::arch::x86_64::*;

use super::ymm::{Dot, entries};

/// True if this processor has every instruction used here.
pub fn supported() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Magnitudes and signs.
struct Signed;

impl Dot for Signed {
    const FLIP: u8 = 0x80;
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

entries!(pub KERNELS, "avx2", "avx2", Signed, 2);
