//! Tables of 256 bytes on 256-bit vectors, whose shuffles choose among sixteen.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::memory::{load, store};
use crate::quant::Table;

/// Entries that a shuffle chooses among.
const PART: usize = 16;
/// Parts of half a table.
const PARTS: usize = 8;

/// A table that is ready to be looked up.
///
/// A shuffle gives zero where an index is below zero, and else takes it modulo sixteen. So each part is kept
/// as what it differs in (by exclusive or) from the part before: for a byte of part `p` the differences up to
/// `p` add up to its entry, and those behind it see the byte, less sixteen a part, below zero. The
/// halves of a table are added up apart: bytes of the other half are below zero from the start.
pub(in crate::kernels) struct Lookup([[__m128i; PARTS]; 2]);

impl Lookup {
    /// Safety: see the module.
    #[inline(always)]
    pub unsafe fn load(table: &Table) -> Lookup {
        // Safety: see the module; the table has so many parts.
        unsafe {
            let mut all = [[_mm_setzero_si128(); PARTS]; 2];
            for (half, parts) in all.iter_mut().enumerate() {
                let mut before = _mm_setzero_si128();
                for (index, part) in parts.iter_mut().enumerate() {
                    let entries = _mm_loadu_si128(table.as_ptr().add((PARTS * half + index) * PART).cast());
                    *part = _mm_xor_si128(entries, before);
                    before = entries;
                }
            }
            Lookup(all)
        }
    }

    /// Of an activation, if there is one. Safety: see the module.
    #[inline(always)]
    pub unsafe fn activation(table: Option<&Table>) -> Option<Lookup> {
        // Safety: see the module.
        Some(unsafe { Lookup::load(table?) })
    }

    /// Each byte replaced by its entry. Safety: see the module.
    #[inline(always)]
    unsafe fn apply(&self, bytes: __m256i) -> __m256i {
        // Safety: see the module.
        unsafe {
            let mut found = _mm256_setzero_si256();
            let mut index = bytes;
            for parts in &self.0 {
                for part in parts {
                    found = _mm256_xor_si256(found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(*part), index));
                    index = _mm256_subs_epi8(index, _mm256_set1_epi8(PART as i8));
                }
                index = _mm256_xor_si256(bytes, _mm256_set1_epi8(i8::MIN));
            }
            found
        }
    }
}

/// Sixteen bytes of one or two pixels through the activation, if there is one, to the first `channels` of
/// pixels that are `step` apart. Safety: see the module; so many are writable.
#[inline(always)]
pub(in crate::kernels) unsafe fn put(
    mut bytes: __m256i,
    lookup: Option<&Lookup>,
    to: *mut u8,
    step: usize,
    pixels: usize,
    channels: usize,
) {
    // Safety: as above.
    unsafe {
        if let Some(lookup) = lookup {
            bytes = lookup.apply(bytes);
        }
        for (pixel, bytes) in halves(bytes).into_iter().enumerate().take(pixels) {
            store(bytes, to.add(pixel * step), channels);
        }
    }
}

/// As [`put`], each channel through its own table.
#[inline(always)]
pub(in crate::kernels) unsafe fn put_each(
    bytes: __m256i,
    tables: &[&Table; PART],
    to: *mut u8,
    step: usize,
    pixels: usize,
    channels: usize,
) {
    // Safety: as for `put`; there are sixteen bytes a pixel.
    unsafe {
        let mut found = [[0u8; PART]; 2];
        _mm256_storeu_si256(found.as_mut_ptr().cast(), bytes);
        for (pixel, found) in found.iter().enumerate().take(pixels) {
            for (channel, (byte, table)) in found.iter().zip(tables).enumerate().take(channels) {
                to.add(pixel * step + channel).write(table[usize::from(*byte)]);
            }
        }
    }
}

/// The first and the last sixteen bytes. Safety: see the module.
#[inline(always)]
pub(in crate::kernels) unsafe fn halves(bytes: __m256i) -> [__m128i; 2] {
    // Safety: see the module.
    unsafe { [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes)] }
}

/// See `Kernels::table`.
#[inline(always)]
pub unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
    // Safety: at most `count`.
    unsafe {
        let lookup = Lookup::load(table);
        for at in (0..count).step_by(2 * PART) {
            let (first, second) = ((count - at).min(PART), (count - at).saturating_sub(PART));
            let bytes = _mm256_set_m128i(load(input.add(at + first), second), load(input.add(at), first));
            let [low, high] = halves(lookup.apply(bytes));
            store(low, output.add(at), first);
            store(high, output.add(at + first), second);
        }
    }
}
