//! Sums to bytes with AVX-512: four vectors are narrowed to 64 bytes with two packs and one permutation,
//! and the activation is looked up in a table that stays in four registers (VPERMI2B).
//!
//! Where several convolutions are computed as one, each channel has the zero point of its own and each
//! table replaces the bytes of its own channels.

use std::arch::x86_64::*;

use super::super::PackedConv;
use super::super::packed::{PARTS_MAX, Panel, Part};
use super::super::packed_table::PackedTable;
use crate::quant::Table;

/// Output channels of a vector of packed weights.
pub(in crate::kernels) const LANES: usize = 16;

/// What is stored: bytes of one convolution,
pub(in crate::kernels) const BYTES: u8 = 0;
/// bytes of several convolutions, see [`PackedConv::parts`],
pub(in crate::kernels) const JOINED: u8 = 1;
/// or the sums themselves.
pub(in crate::kernels) const SUMS: u8 = 2;

/// A table in registers.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Lookup([__m512i; 4]);

impl Lookup {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(in crate::kernels) fn load(table: &Table) -> Lookup {
        // Safety: the table has 256 bytes.
        let part = |i: usize| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * i).cast()) };
        Lookup([part(0), part(1), part(2), part(3)])
    }

    /// Of an activation, if there is one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(in crate::kernels) fn activation(table: &PackedTable) -> Option<Lookup> {
        Some(Lookup::load(table.entries()?))
    }

    /// Each byte replaced by its entry.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(in crate::kernels) fn apply(self, q: __m512i) -> __m512i {
        let low = _mm512_permutex2var_epi8(self.0[0], q, self.0[1]);
        let high = _mm512_permutex2var_epi8(self.0[2], q, self.0[3]);
        _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(q), high)
    }
}

/// Sixteen sums to rounded numbers before the zero point.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(in crate::kernels) fn round(sums: __m512i, multiplier: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), multiplier))
}

/// Four vectors of rounded numbers plus their zero points to 64 bytes: of each 128 bits, those of the first
/// vector, then those of the second, third and fourth. The zero points stand in that order, two by two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(in crate::kernels) fn pack(rounded: [__m512i; 4], zeros: [__m512i; 2]) -> __m512i {
    // i32 -> i16 saturates, the zero point is added with saturation, i16 -> u8 saturates: the
    // same as one clamp at the end, because the zero point is below 256
    let low = _mm512_adds_epi16(_mm512_packs_epi32(rounded[0], rounded[1]), zeros[0]);
    let high = _mm512_adds_epi16(_mm512_packs_epi32(rounded[2], rounded[3]), zeros[1]);
    _mm512_packus_epi16(low, high)
}

/// Each byte replaced by its entry, if there is a table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(in crate::kernels) fn activate(bytes: __m512i, table: Option<Lookup>) -> __m512i {
    match table {
        Some(table) => table.apply(bytes),
        None => bytes,
    }
}

/// What becomes of the sums of one panel of `VECTORS`.
pub(in crate::kernels) struct Store<'a, const VECTORS: usize> {
    multiplier: [__m512; VECTORS],
    zero: __m512i,
    table: Option<Lookup>,
    /// The same of joined convolutions.
    parts: Parts<'a>,
    /// Places of the 32-bit groups after the packs.
    order: __m512i,
    /// The panel's channels.
    pub mask: u64,
}

/// Convolutions that are computed as one.
struct Parts<'a> {
    all: &'a [Part],
    /// Zero points before the table, as [`pack`] takes them.
    zeros: [__m512i; 2],
    /// The bytes that are each one's own.
    masks: [u64; PARTS_MAX],
}

impl<'a> Parts<'a> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    fn new<const VECTORS: usize>(packed: &'a PackedConv, panel: &Panel) -> Parts<'a> {
        let (mut masks, mut zeros) = ([0; PARTS_MAX], [0i32; 4 * LANES]);
        for (part, mask) in packed.parts.iter().zip(&mut masks) {
            let inside = |channel: usize| channel.clamp(panel.channel, panel.channel + panel.channels) - panel.channel;
            let channels = inside(part.channels.start)..inside(part.channels.end);
            let bits = channels.clone().fold(0, |bits, channel| bits | 1u64 << channel);
            // a byte for each channel of four, two or one pixels
            *mask = match VECTORS {
                1 => bits * 0x0001_0001_0001_0001,
                2 => bits * 0x0000_0001_0000_0001,
                _ => bits,
            };
            zeros[channels].fill(i32::from(part.pre_zero));
        }
        // vector `i` of those that are narrowed together
        let vector = |i: usize| {
            let first = LANES * if VECTORS < 3 { i % VECTORS } else { i };
            // Safety: the slice has as many.
            unsafe { _mm512_loadu_si512(zeros[first..][..LANES].as_ptr().cast()) }
        };
        let zeros = [_mm512_packs_epi32(vector(0), vector(1)), _mm512_packs_epi32(vector(2), vector(3))];
        Parts { all: &packed.parts, zeros, masks }
    }

    /// Each byte replaced by its entry of its part's table.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    fn apply(&self, bytes: __m512i) -> __m512i {
        let mut found = bytes;
        for (part, mask) in self.all.iter().zip(self.masks) {
            if let Some(table) = part.table.entries() {
                found = _mm512_mask_mov_epi8(found, mask, Lookup::load(table).apply(bytes));
            }
        }
        found
    }
}

impl<'a, const VECTORS: usize> Store<'a, VECTORS> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub fn new(packed: &'a PackedConv, panel: &Panel) -> Store<'a, VECTORS> {
        let mut multiplier = [_mm512_setzero_ps(); VECTORS];
        for (v, to) in multiplier.iter_mut().enumerate() {
            // Safety: the slice has as many.
            *to = unsafe { _mm512_loadu_ps(packed.multiplier[panel.constants + LANES * v..][..LANES].as_ptr()) };
        }
        Store {
            multiplier,
            zero: _mm512_set1_epi16(i16::from(packed.pre_zero)),
            table: Lookup::activation(&packed.table),
            parts: Parts::new::<VECTORS>(packed, panel),
            order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            mask: if panel.channels >= 64 { u64::MAX } else { (1 << panel.channels) - 1 },
        }
    }

    /// Sixteen sums to rounded numbers before the zero point.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub fn round(&self, sums: __m512i, vector: usize) -> __m512i {
        round(sums, self.multiplier[vector])
    }

    /// Four vectors of rounded numbers to 64 bytes in their order, those of parts if `joined`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub fn narrow(&self, joined: bool, r: [__m512i; 4]) -> __m512i {
        let zeros = if joined { self.parts.zeros } else { [self.zero; 2] };
        let bytes = _mm512_permutexvar_epi32(self.order, pack(r, zeros));
        if joined { self.parts.apply(bytes) } else { activate(bytes, self.table) }
    }
}

/// Stores the bytes of some neighbouring pixels of a row.
///
/// Safety: the channels of the store's panel are writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(in crate::kernels) unsafe fn put<const PIXELS: usize, const VECTORS: usize, const STORED: u8>(
    store: &Store<'_, VECTORS>,
    sums: &[[__m512i; VECTORS]; PIXELS],
    step: usize,
    output: *mut u8,
) {
    let zero = _mm512_setzero_si512();
    // Safety: masks leave the channels of the panel.
    unsafe {
        if VECTORS == 1 {
            // four pixels of sixteen channels share one narrowing
            for (first, four) in sums.chunks(4).enumerate() {
                let round = |i: usize| four.get(i).map_or(zero, |s| store.round(s[0], 0));
                let bytes = store.narrow(STORED == JOINED, [round(0), round(1), round(2), round(3)]);
                let parts = [
                    _mm512_extracti32x4_epi32::<0>(bytes),
                    _mm512_extracti32x4_epi32::<1>(bytes),
                    _mm512_extracti32x4_epi32::<2>(bytes),
                    _mm512_extracti32x4_epi32::<3>(bytes),
                ];
                for (i, part) in parts.into_iter().take(four.len()).enumerate() {
                    let to = output.add((4 * first + i) * step);
                    _mm_mask_storeu_epi8(to.cast(), store.mask as u16, part);
                }
            }
        } else if VECTORS == 2 {
            // two pixels of thirty-two channels share one narrowing
            for (first, two) in sums.chunks(2).enumerate() {
                let round = |i: usize, v: usize| two.get(i).map_or(zero, |s| store.round(s[v], v));
                let bytes = store.narrow(STORED == JOINED, [round(0, 0), round(0, 1), round(1, 0), round(1, 1)]);
                let parts = [_mm512_castsi512_si256(bytes), _mm512_extracti64x4_epi64::<1>(bytes)];
                for (i, part) in parts.into_iter().take(two.len()).enumerate() {
                    let to = output.add((2 * first + i) * step);
                    _mm256_mask_storeu_epi8(to.cast(), store.mask as u32, part);
                }
            }
        } else {
            for (pixel, sums) in sums.iter().enumerate() {
                let round = |v: usize| {
                    if v < VECTORS { store.round(sums[v.min(VECTORS - 1)], v.min(VECTORS - 1)) } else { zero }
                };
                let bytes = store.narrow(STORED == JOINED, [round(0), round(1), round(2), round(3)]);
                let to = output.add(pixel * step);
                _mm512_mask_storeu_epi8(to.cast(), store.mask, bytes);
            }
        }
    }
}
