//! 128-bit vectors of SSE2, which every x86-64 processor has.

use std::arch::x86_64::*;

use super::block::{Block, COLUMNS_SHIFT, LANES, MIX_SHIFT, Pixels, ROWS_SHIFT};
use super::columns::Group;
use super::instructions::Lanes;
use super::mix::{Mix, pair};

/// SSE2.
#[derive(Debug, Clone, Copy)]
pub struct Sse2;

/// A mix: for each byte the weights of the first and third values, that of the second, and what is added.
#[derive(Debug, Clone, Copy)]
pub struct Mixing([[__m128i; 3]; 3]);

#[inline(always)]
fn splat(number: i32) -> __m128i {
    bytemuck::cast([number; 4])
}

#[inline(always)]
fn load(block: &Block) -> __m128i {
    bytemuck::cast(*block)
}

#[inline(always)]
fn load_half(bytes: &[u8; LANES]) -> __m128i {
    bytemuck::cast([i64::from_le_bytes(*bytes), 0])
}

/// The sums, rounded.
#[inline(always)]
fn shifted<const SHIFT: i32>(sums: __m128i) -> __m128i {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_srai_epi32::<SHIFT>(_mm_add_epi32(sums, splat(1 << (SHIFT - 1)))) }
}

/// The sums of the four lanes of each.
#[inline(always)]
fn sums_of_lanes([a, b, c, d]: [__m128i; 4]) -> __m128i {
    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        let ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
        let cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
        _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd))
    }
}

impl Lanes for Sse2 {
    type Sums = [__m128i; 2];
    type Values = [__m128i; 2];
    type Mixing = Mixing;

    #[inline(always)]
    fn sums(self, numbers: [i32; LANES]) -> Self::Sums {
        bytemuck::cast(numbers)
    }

    #[inline(always)]
    fn numbers(self, sums: Self::Sums) -> [i32; LANES] {
        bytemuck::cast(sums)
    }

    #[inline(always)]
    fn add_rows(self, [low, high]: Self::Sums, [a, b]: [&[u8; LANES]; 2], weights: [i16; 2]) -> Self::Sums {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let (weights, zero) = (splat(pair(weights)), _mm_setzero_si128());
            let both = _mm_unpacklo_epi8(load_half(a), load_half(b));
            [
                _mm_add_epi32(low, _mm_madd_epi16(_mm_unpacklo_epi8(both, zero), weights)),
                _mm_add_epi32(high, _mm_madd_epi16(_mm_unpackhi_epi8(both, zero), weights)),
            ]
        }
    }

    #[inline(always)]
    fn blended(self, [low, high]: Self::Sums) -> Block {
        // SAFETY: SSE2 is part of x86-64.
        bytemuck::cast(unsafe { _mm_packs_epi32(shifted::<ROWS_SHIFT>(low), shifted::<ROWS_SHIFT>(high)) })
    }

    #[inline(always)]
    fn columns(self, group: Group<'_>) -> [__m128i; 2] {
        // SAFETY: SSE2 is part of x86-64.
        let add = |sum, samples: &Block, weights: &Block| unsafe {
            _mm_add_epi32(sum, _mm_madd_epi16(load(samples), load(weights)))
        };
        let [a, b, c, d, e, f, g, h] = group.windows(splat(0), add);
        let (low, high) = (sums_of_lanes([a, b, c, d]), sums_of_lanes([e, f, g, h]));
        [shifted::<COLUMNS_SHIFT>(low), shifted::<COLUMNS_SHIFT>(high)]
    }

    #[inline(always)]
    fn same(self, value: i16) -> [__m128i; 2] {
        [splat(i32::from(value)); 2]
    }

    #[inline(always)]
    fn mixing(self, mix: &Mix) -> Mixing {
        let [a, b, c] = mix.pairs();
        let of = |[ac, b, added]: [i32; 3]| [splat(ac), splat(b), splat(added)];
        Mixing([of(a), of(b), of(c)])
    }

    #[inline(always)]
    fn mix(self, mixing: &Mixing, [a, b, c]: [[__m128i; 2]; 3], pixels: &mut Pixels) {
        let mut planes = [[0; LANES]; 3];
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let ac = [_mm_or_si128(a[0], _mm_slli_epi32::<16>(c[0])), _mm_or_si128(a[1], _mm_slli_epi32::<16>(c[1]))];
            for (plane, [of_ac, of_b, added]) in planes.iter_mut().zip(mixing.0) {
                let low = _mm_add_epi32(_mm_madd_epi16(ac[0], of_ac), _mm_madd_epi16(b[0], of_b));
                let high = _mm_add_epi32(_mm_madd_epi16(ac[1], of_ac), _mm_madd_epi16(b[1], of_b));
                let low = _mm_srai_epi32::<MIX_SHIFT>(_mm_add_epi32(low, added));
                let high = _mm_srai_epi32::<MIX_SHIFT>(_mm_add_epi32(high, added));
                let levels = _mm_packs_epi32(low, high);
                [*plane, _] = bytemuck::cast(_mm_packus_epi16(levels, levels));
            }
        }
        for (lane, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&[planes[0][lane], planes[1][lane], planes[2][lane]]);
        }
    }
}
