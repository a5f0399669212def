//! x86-64 with AVX-VNNI and no AVX-512 (Alder Lake and newer, N100 among them).

use std::arch::x86_64::*;

use super::Kernels;
use super::ymm::{Dot, entries};

/// If this processor has every instruction used here.
pub(super) fn kernels() -> Option<&'static Kernels> {
    (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")).then_some(&KERNELS)
}

/// VPDPBUSD and VPDPWSSD in one of their two encodings.
macro_rules! dot {
    ($name:ident, $dpbusd:ident, $dpwssd:ident) => {
        struct $name;

        impl Dot for $name {
            const SIGN_XOR: u8 = 0;
            type Input = __m256i;

            #[inline(always)]
            unsafe fn input(four: i32) -> __m256i {
                // Safety: see `ymm`.
                unsafe { _mm256_set1_epi32(four) }
            }

            #[inline(always)]
            unsafe fn dot(sums: __m256i, input: __m256i, weights: __m256i) -> __m256i {
                // Safety: see `ymm`.
                unsafe { $dpbusd(sums, input, weights) }
            }

            #[inline(always)]
            unsafe fn dot_pairs(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
                // Safety: see `ymm`.
                unsafe { $dpwssd(sums, a, b) }
            }
        }
    };
}

dot!(Vex, _mm256_dpbusd_avx_epi32, _mm256_dpwssd_avx_epi32);
entries!(KERNELS, "avx-vnni", "avx2,avxvnni", Vex, 1);

/// The same loops with the same instruction in its EVEX encoding: tests run them on processors that
/// have AVX-512 and no AVX-VNNI.
#[cfg(test)]
pub mod evex {
    use super::*;

    /// If this processor has every instruction used here.
    pub fn kernels() -> Option<&'static Kernels> {
        let supported = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx512vl");
        supported.then_some(&KERNELS)
    }

    dot!(Evex, _mm256_dpbusd_epi32, _mm256_dpwssd_epi32);
    entries!(KERNELS, "avx-vnni, EVEX", "avx2,avx512vnni,avx512vl", Evex, 1);
}
