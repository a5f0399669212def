//! Tables of 256 bytes on 256-bit vectors, whose shuffles choose among sixteen.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::super::packed_table::PackedTable;
use super::memory::{load, store};
use crate::quant::Table;

/// Entries that a shuffle chooses among.
const PART: usize = 16;
/// Parts of half a table.
const PARTS: usize = 8;
/// Parts of each of the three tables of a short one.
const SHORT_PARTS: usize = 4;

/// A table that is ready to be looked up.
///
/// A shuffle gives zero where an index is below zero, and else takes it modulo sixteen. So each part is kept
/// as what it differs in (by exclusive or) from the part before: for a byte of part `p` the differences up to
/// `p` add up to its entry, and those behind it see the byte, less sixteen a part, below zero.
pub(in crate::kernels) enum Lookup {
    /// The halves of a table are added up apart: bytes of the other half are below zero from the start.
    Whole([[__m128i; PARTS]; 2]),
    /// See [`ShortTable`]: twelve shuffles in place of sixteen, and fewer steps between them.
    Short { base: [__m128i; SHORT_PARTS], pattern: [__m128i; SHORT_PARTS], steps: [__m128i; SHORT_PARTS] },
}

/// Safety: see the module.
#[inline(always)]
unsafe fn differences<const N: usize>(entries: &[u8]) -> [__m128i; N] {
    // Safety: see the module.
    unsafe {
        let mut before = _mm_setzero_si128();
        let mut parts = [before; N];
        for (part, entries) in parts.iter_mut().zip(entries.as_chunks::<PART>().0) {
            let entries = _mm_loadu_si128(entries.as_ptr().cast());
            *part = _mm_xor_si128(entries, before);
            before = entries;
        }
        parts
    }
}

/// Bytes below 64, and those less sixteen, 32 and 48.
#[inline(always)]
unsafe fn indices(bytes: __m256i) -> [__m256i; SHORT_PARTS] {
    // Safety: see the module.
    unsafe {
        let mut all = [bytes; SHORT_PARTS];
        for part in 1..SHORT_PARTS {
            all[part] = _mm256_sub_epi8(all[part - 1], _mm256_set1_epi8(PART as i8));
        }
        all
    }
}

/// The entries at such bytes; those of several vectors side by side, as each waits for the one before.
#[inline(always)]
unsafe fn among<const N: usize>(parts: &[__m128i; SHORT_PARTS], indices: [[__m256i; SHORT_PARTS]; N]) -> [__m256i; N] {
    // Safety: see the module.
    unsafe {
        let mut found = [_mm256_setzero_si256(); N];
        for (part, entries) in parts.iter().enumerate() {
            let entries = _mm256_broadcastsi128_si256(*entries);
            for (found, indices) in found.iter_mut().zip(&indices) {
                *found = _mm256_xor_si256(*found, _mm256_shuffle_epi8(entries, indices[part]));
            }
        }
        found
    }
}

impl Lookup {
    /// Safety: see the module.
    #[inline(always)]
    pub unsafe fn load(table: &Table) -> Lookup {
        let (low, high) = table.split_at(PART * PARTS);
        // Safety: see the module.
        Lookup::Whole(unsafe { [differences(low), differences(high)] })
    }

    /// Of an activation, if there is one; as a short table where it is one. Safety: see the module.
    #[inline(always)]
    pub unsafe fn activation(table: &PackedTable) -> Option<Lookup> {
        // Safety: see the module.
        unsafe {
            let Some(short) = table.short() else { return Some(Lookup::load(table.entries()?)) };
            let (base, pattern) = (differences(&short.base), differences(&short.pattern));
            Some(Lookup::Short { base, pattern, steps: differences(&short.steps) })
        }
    }

    /// Each byte replaced by its entry. Safety: see the module.
    #[inline(always)]
    pub unsafe fn apply<const N: usize>(&self, bytes: [__m256i; N]) -> [__m256i; N] {
        // Safety: see the module.
        unsafe {
            match self {
                Lookup::Whole(halves) => whole(halves, bytes),
                Lookup::Short { base, pattern, steps } => {
                    let mut fours = [[_mm256_setzero_si256(); SHORT_PARTS]; N];
                    for (four, bytes) in fours.iter_mut().zip(bytes) {
                        *four = indices(_mm256_and_si256(_mm256_srli_epi16::<2>(bytes), _mm256_set1_epi8(63)));
                    }
                    let (mut found, pattern) = (among(base, fours), among(pattern, fours));
                    for (four, (pattern, bytes)) in fours.iter_mut().zip(pattern.into_iter().zip(bytes)) {
                        *four = indices(_mm256_or_si256(pattern, _mm256_and_si256(bytes, _mm256_set1_epi8(3))));
                    }
                    for (found, step) in found.iter_mut().zip(among(steps, fours)) {
                        *found = _mm256_add_epi8(*found, step);
                    }
                    found
                }
            }
        }
    }
}

/// As [`Lookup::apply`], of a whole table.
#[inline(always)]
unsafe fn whole<const N: usize>(table: &[[__m128i; PARTS]; 2], bytes: [__m256i; N]) -> [__m256i; N] {
    // Safety: see the module.
    unsafe {
        let mut found = [_mm256_setzero_si256(); N];
        let mut index = bytes;
        for parts in table {
            for entries in parts {
                let entries = _mm256_broadcastsi128_si256(*entries);
                for (found, index) in found.iter_mut().zip(&mut index) {
                    *found = _mm256_xor_si256(*found, _mm256_shuffle_epi8(entries, *index));
                    *index = _mm256_subs_epi8(*index, _mm256_set1_epi8(PART as i8));
                }
            }
            for (index, bytes) in index.iter_mut().zip(bytes) {
                *index = _mm256_xor_si256(bytes, _mm256_set1_epi8(i8::MIN));
            }
        }
        found
    }
}

/// Sixteen bytes of `N` times two pixels, or one less, through the activation, if there is one, to the first
/// `channels` of pixels that are `step` apart. Safety: see the module; so many are writable.
#[inline(always)]
pub(in crate::kernels) unsafe fn put<const N: usize>(
    mut bytes: [__m256i; N],
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
        for (pair, bytes) in bytes.into_iter().enumerate() {
            for (pixel, bytes) in (2 * pair..pixels).zip(halves(bytes)) {
                store(bytes, to.add(pixel * step), channels);
            }
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
            let [found] = lookup.apply([bytes]);
            let [low, high] = halves(found);
            store(low, output.add(at), first);
            store(high, output.add(at + first), second);
        }
    }
}
