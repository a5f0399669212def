//! 128-bit vectors of SSE2, which every x86-64 processor has.
//!
//! Safety: a window of samples lies inside the row, because the row is at least [`Columns::reach`] long and no window
//! reaches past that.

use std::arch::x86_64::*;

use super::block::{Block, COLUMNS_SHIFT, LANES, MIX_SHIFT, Pixels, ROWS_SHIFT};
use super::columns::{Columns, Group, place};
use super::instructions::Lanes;
use super::mix::{Mix, pair};

/// SSE2.
#[derive(Debug, Clone, Copy)]
pub struct Sse2;

/// A mix: for each byte the weights of the first and third values, that of the second, and what is added.
#[derive(Debug, Clone, Copy)]
pub struct Mixing([[__m128i; 3]; 3]);

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
    unsafe { _mm_srai_epi32::<SHIFT>(_mm_add_epi32(sums, _mm_set1_epi32(1 << (SHIFT - 1)))) }
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

/// The products of each column's window, four sums each.
///
/// # Safety
/// From each of `group.first`, `blocks` blocks lie in `samples`, and as many are in `group.weights` for each column.
#[inline(always)]
unsafe fn windows(samples: &[i16], group: Group<'_>, blocks: usize) -> [__m128i; LANES] {
    let mut sums = [load(&[0; LANES]); LANES];
    for (lane, sum) in sums.iter_mut().enumerate() {
        for block in 0..blocks {
            // SAFETY: the caller's promise; SSE2 is part of x86-64.
            unsafe {
                let at = samples.as_ptr().add(group.first[lane] + block * LANES);
                let weights = load(group.weights.get_unchecked(place(lane, block)));
                *sum = _mm_add_epi32(*sum, _mm_madd_epi16(_mm_loadu_si128(at.cast()), weights));
            }
        }
    }
    sums
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
            let (weights, zero) = (_mm_set1_epi32(pair(weights[0], weights[1])), _mm_setzero_si128());
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
    fn columns(self, samples: &[i16], columns: &Columns, group: usize) -> [__m128i; 2] {
        assert!(samples.len() >= columns.reach(), "a row shorter than its windows");
        let group = columns.group(group);
        // SAFETY: the row is as long as all windows reach; numbers that are constants write out the loop.
        let [a, b, c, d, e, f, g, h] = unsafe {
            match columns.blocks() {
                1 => windows(samples, group, 1),
                2 => windows(samples, group, 2),
                blocks => windows(samples, group, blocks),
            }
        };
        let (low, high) = (sums_of_lanes([a, b, c, d]), sums_of_lanes([e, f, g, h]));
        [shifted::<COLUMNS_SHIFT>(low), shifted::<COLUMNS_SHIFT>(high)]
    }

    #[inline(always)]
    fn same(self, value: i16) -> [__m128i; 2] {
        bytemuck::cast([i32::from(value); LANES])
    }

    #[inline(always)]
    fn mixing(self, mix: &Mix) -> Mixing {
        let [p, q, r] = mix.added();
        let [a, b, c] = mix.weights;
        // SAFETY: SSE2 is part of x86-64.
        let of = |[a, b, c]: [i16; 3], added| unsafe {
            [_mm_set1_epi32(pair(a, c)), _mm_set1_epi32(pair(b, 0)), _mm_set1_epi32(added)]
        };
        Mixing([of(a, p), of(b, q), of(c, r)])
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
