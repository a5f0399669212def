//! One step of a convolution on 256-bit vectors, and what becomes of its sums.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

/// Output channels of one vector of packed weights.
pub const LANES: usize = 8;

/// Widest panel, in vectors.
pub const PANEL: usize = 2;

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
pub(in crate::kernels) unsafe fn pack<D: Dot>(r: [__m256i; 4], zero: __m256i) -> __m256i {
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
pub(in crate::kernels) unsafe fn narrow<D: Dot>(r: [__m256i; 4], zero: __m256i) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_permutevar8x32_epi32(pack::<D>(r, zero), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
}

#[inline(always)]
pub(in crate::kernels) unsafe fn round(sums: __m256i, multiplier: __m256) -> __m256i {
    // Safety: see the module.
    unsafe { _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), multiplier)) }
}

/// Sixteen bytes of memory as sixteen i16 in the sense of the multiplications.
#[inline(always)]
pub(in crate::kernels) unsafe fn widen<D: Dot>(bytes: __m128i) -> __m256i {
    // Safety: see the module.
    unsafe { if D::SIGN_XOR == 0 { _mm256_cvtepu8_epi16(bytes) } else { _mm256_cvtepi8_epi16(bytes) } }
}
