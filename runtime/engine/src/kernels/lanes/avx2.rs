//! 256-bit vectors of AVX2.
//!
//! Safety: whoever holds an [`Avx2`] runs on a processor that has it.

use std::arch::x86_64::*;

use super::block::{Block, COLUMNS_SHIFT, LANES, MIX_SHIFT, Pixels, ROWS_SHIFT};
use super::columns::Group;
use super::instructions::{Lanes, Pass};
use super::mix::{Mix, pair};

/// AVX2; having one means that the processor has it.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

/// A mix: for each byte the weights of the first and third values, that of the second, and what is added.
#[derive(Debug, Clone, Copy)]
pub struct Mixing([[__m256i; 3]; 3]);

impl Avx2 {
    /// If this processor has it.
    #[inline]
    pub(super) fn new() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }

    /// Runs `pass` as one function that uses the instructions.
    #[inline]
    pub(super) fn run<P: Pass>(self, pass: P) {
        #[target_feature(enable = "avx2")]
        fn run<P: Pass>(lanes: Avx2, pass: P) {
            pass.run(lanes);
        }
        // SAFETY: the processor has AVX2.
        unsafe { run(self, pass) }
    }
}

#[inline(always)]
fn splat(number: i32) -> __m256i {
    bytemuck::cast([number; LANES])
}

#[inline(always)]
fn load_half(bytes: &[u8; LANES]) -> __m128i {
    bytemuck::cast([i64::from_le_bytes(*bytes), 0])
}

/// Eight sums, rounded.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn shifted<const SHIFT: i32>(sums: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(sums, splat(1 << (SHIFT - 1)))) }
}

/// Eight columns, not yet rounded: the fifth beside the first, and so on, so that few lanes must cross.
///
/// # Safety
/// The processor has AVX2; `blocks` are those of the group.
#[inline(always)]
unsafe fn windows(group: Group<'_>, blocks: usize) -> __m256i {
    // SAFETY: the caller's promise, and what a group promises.
    unsafe {
        let mut sums = [_mm256_setzero_si256(); LANES / 2];
        for block in 0..blocks {
            let samples = group.samples.as_ptr().add(block * LANES);
            for (lane, sum) in sums.iter_mut().enumerate() {
                let low = _mm_loadu_si128(samples.add(group.first[lane]).cast());
                let high = _mm_loadu_si128(samples.add(group.first[lane + LANES / 2]).cast());
                let weights = group.weights.as_ptr().add(block * LANES + 2 * lane);
                let products = _mm256_madd_epi16(_mm256_set_m128i(high, low), _mm256_loadu_si256(weights.cast()));
                *sum = _mm256_add_epi32(*sum, products);
            }
        }
        let [a, b, c, d] = sums;
        _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d))
    }
}

impl Lanes for Avx2 {
    type Sums = __m256i;
    type Values = __m256i;
    type Mixing = Mixing;

    #[inline(always)]
    fn sums(self, numbers: [i32; LANES]) -> __m256i {
        bytemuck::cast(numbers)
    }

    #[inline(always)]
    fn numbers(self, sums: __m256i) -> [i32; LANES] {
        bytemuck::cast(sums)
    }

    #[inline(always)]
    fn add_rows(self, sums: __m256i, [a, b]: [&[u8; LANES]; 2], weights: [i16; 2]) -> __m256i {
        // SAFETY: the processor has AVX2.
        unsafe {
            let both = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(load_half(a), load_half(b)));
            let weights = splat(pair(weights));
            _mm256_add_epi32(sums, _mm256_madd_epi16(both, weights))
        }
    }

    #[inline(always)]
    fn blended(self, sums: __m256i) -> Block {
        // SAFETY: the processor has AVX2.
        bytemuck::cast(unsafe {
            let sums = shifted::<ROWS_SHIFT>(sums);
            _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
        })
    }

    #[inline(always)]
    fn columns(self, group: Group<'_>) -> __m256i {
        // SAFETY: the processor has AVX2. Numbers that are constants write out the loop; a closure would not have the
        // instructions.
        unsafe {
            shifted::<COLUMNS_SHIFT>(match group.blocks {
                1 => windows(group, 1),
                2 => windows(group, 2),
                blocks => windows(group, blocks),
            })
        }
    }

    #[inline(always)]
    fn same(self, value: i16) -> __m256i {
        splat(i32::from(value))
    }

    #[inline(always)]
    fn mixing(self, mix: &Mix) -> Mixing {
        let [a, b, c] = mix.pairs();
        let of = |[ac, b, added]: [i32; 3]| [splat(ac), splat(b), splat(added)];
        Mixing([of(a), of(b), of(c)])
    }

    #[inline(always)]
    fn mix(self, mixing: &Mixing, [a, b, c]: [__m256i; 3], pixels: &mut Pixels) {
        // SAFETY: the processor has AVX2; 24 bytes are written to as many.
        unsafe {
            let ac = _mm256_or_si256(a, _mm256_slli_epi32::<16>(c));
            let mut planes = [_mm256_setzero_si256(); 3];
            for (plane, [of_ac, of_b, added]) in planes.iter_mut().zip(mixing.0) {
                let sums = _mm256_add_epi32(_mm256_madd_epi16(ac, of_ac), _mm256_madd_epi16(b, of_b));
                *plane = _mm256_srai_epi32::<MIX_SHIFT>(_mm256_add_epi32(sums, added));
            }
            // in each half four red, four green, four blue; then pixel by pixel; then the halves beside each other
            let [red, green, blue] = planes;
            let levels = _mm256_packus_epi16(_mm256_packs_epi32(red, green), _mm256_packs_epi32(blue, blue));
            let by_pixel = _mm256_setr_epi8(
                0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1, //
                0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1,
            );
            let beside = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(levels, by_pixel), beside);
            let at = pixels.as_mut_ptr();
            _mm_storeu_si128(at.cast(), _mm256_castsi256_si128(bytes));
            _mm_storel_epi64(at.add(2 * LANES).cast(), _mm256_extracti128_si256::<1>(bytes));
        }
    }
}
