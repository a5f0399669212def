//! Tables of 256 entries on 64-bit ARM.

use std::arch::aarch64::*;

use super::super::Rows;
use super::super::packed_table::PackedTable;
use super::super::short_table::ShortTable;
use super::{BYTES, store};
use crate::quant::Table;

/// Bytes that one instruction looks into.
const PART: usize = 64;

/// Sixty-four entries in four registers.
#[inline(always)]
fn part(entries: &[u8; PART]) -> uint8x16x4_t {
    // Safety: the part has 64 bytes.
    unsafe {
        let quarter = |i: usize| vld1q_u8(entries.as_ptr().add(BYTES * i));
        uint8x16x4_t(quarter(0), quarter(1), quarter(2), quarter(3))
    }
}

/// A table in registers.
pub(in crate::kernels) trait LookUp: Copy {
    /// Each byte of `N` vectors replaced by its entry; side by side, because each waits long.
    fn apply<const N: usize>(&self, q: [uint8x16_t; N]) -> [uint8x16_t; N];
}

/// Any table.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Whole([uint8x16x4_t; 4]);

impl Whole {
    #[inline(always)]
    pub(in crate::kernels) fn load(table: &Table) -> Whole {
        let (parts, _) = table.as_chunks::<PART>();
        Whole([part(&parts[0]), part(&parts[1]), part(&parts[2]), part(&parts[3])])
    }
}

impl LookUp for Whole {
    #[inline(always)]
    fn apply<const N: usize>(&self, mut q: [uint8x16_t; N]) -> [uint8x16_t; N] {
        // Safety: NEON.
        unsafe {
            let size = vdupq_n_u8(PART as u8);
            let mut found = q;
            for f in &mut found {
                *f = vqtbl4q_u8(self.0[0], *f);
            }
            // an index outside a part leaves what is there
            for part in &self.0[1..] {
                for i in 0..N {
                    q[i] = vsubq_u8(q[i], size);
                    found[i] = vqtbx4q_u8(found[i], *part, q[i]);
                }
            }
            found
        }
    }
}

/// See [`ShortTable`].
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Short {
    base: uint8x16x4_t,
    pattern: uint8x16x4_t,
    steps: uint8x16x4_t,
}

impl Short {
    #[inline(always)]
    pub(in crate::kernels) fn load(table: &ShortTable) -> Short {
        Short { base: part(&table.base), pattern: part(&table.pattern), steps: part(&table.steps) }
    }
}

impl LookUp for Short {
    #[inline(always)]
    fn apply<const N: usize>(&self, q: [uint8x16_t; N]) -> [uint8x16_t; N] {
        // Safety: NEON.
        unsafe {
            let low = vdupq_n_u8(3);
            let mut four = q;
            let mut found = q;
            for i in 0..N {
                four[i] = vshrq_n_u8::<2>(q[i]);
                found[i] = vqtbl4q_u8(self.base, four[i]);
            }
            for i in 0..N {
                four[i] = vbslq_u8(low, q[i], vqtbl4q_u8(self.pattern, four[i]));
            }
            for i in 0..N {
                found[i] = vaddq_u8(found[i], vqtbl4q_u8(self.steps, four[i]));
            }
            found
        }
    }
}

/// The table of a convolution, in the form that is looked up fastest.
#[derive(Clone, Copy)]
pub(in crate::kernels) enum Activation<'a> {
    /// There is none.
    Identity,
    /// One that is short.
    Short(&'a ShortTable),
    /// One that is not.
    Whole(&'a Table),
}

impl<'a> Activation<'a> {
    pub(in crate::kernels) fn of(table: &'a PackedTable) -> Activation<'a> {
        match (table.entries(), table.short()) {
            (_, Some(short)) => Activation::Short(short),
            (Some(entries), None) => Activation::Whole(entries),
            (None, None) => Activation::Identity,
        }
    }

    /// Each byte of `N` vectors replaced by its entry.
    #[inline(always)]
    pub(in crate::kernels) fn apply<const N: usize>(self, q: [uint8x16_t; N]) -> [uint8x16_t; N] {
        match self {
            Activation::Identity => q,
            Activation::Short(table) => Short::load(table).apply(q),
            Activation::Whole(table) => Whole::load(table).apply(q),
        }
    }

    /// Looks up `channels` bytes of each output pixel in place.
    ///
    /// Safety: they are writable and no other thread touches them; as many as a vector has may be read
    /// behind them.
    pub(in crate::kernels) unsafe fn rows(self, rows: &Rows, channels: usize) {
        // Safety: handed on.
        unsafe {
            match self {
                Activation::Identity => {}
                Activation::Short(table) => look_up_rows(Short::load(table), rows, channels),
                Activation::Whole(table) => look_up_rows(Whole::load(table), rows, channels),
            }
        }
    }
}

/// Safety: as for [`Activation::rows`].
unsafe fn look_up_rows(lookup: impl LookUp, rows: &Rows, channels: usize) {
    let dense = rows.output_pixel == channels;
    for y in 0..rows.height {
        // Safety: pixels of the job, for which the caller vouches.
        unsafe {
            let row = rows.output.add(y * rows.output_row);
            if dense {
                look_up(lookup, row, row, rows.width * channels);
            } else {
                for x in 0..rows.width {
                    let at = row.add(x * rows.output_pixel);
                    look_up(lookup, at, at, channels);
                }
            }
        }
    }
}

/// `Kernels::table`.
///
/// Safety: as stated there.
pub(in crate::kernels) unsafe fn table(table: &Table, input: *const u8, output: *mut u8, count: usize) {
    // Safety: handed on.
    unsafe { look_up(Whole::load(table), input, output, count) }
}

/// Safety: as for `Kernels::table`; the last vector may reach fifteen bytes past the input.
#[inline(always)]
unsafe fn look_up(lookup: impl LookUp, input: *const u8, output: *mut u8, count: usize) {
    let mut at = 0;
    // Safety: below `count`.
    unsafe {
        while at + 4 * BYTES <= count {
            let read = |i: usize| vld1q_u8(input.add(at + i * BYTES));
            let found = lookup.apply([read(0), read(1), read(2), read(3)]);
            for (i, bytes) in found.into_iter().enumerate() {
                vst1q_u8(output.add(at + i * BYTES), bytes);
            }
            at += 4 * BYTES;
        }
        while at < count {
            let [found] = lookup.apply([vld1q_u8(input.add(at))]);
            store(found, output.add(at), (count - at).min(BYTES));
            at += BYTES;
        }
    }
}
