//! Dense convolutions on 256-bit vectors: a tile of pixels and channels has its sums in registers.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

use super::super::packed::Panel;
use super::super::{PackedConv, Rows};
use super::dot::{Dot, LANES, PANEL, narrow, round};
use super::lookup::{Lookup, put, put_each};
use super::tiles::{PIXELS, tiles};
use crate::quant::Table;

/// What becomes of the rounded sums of a panel.
struct Store<'a> {
    /// Zero points as [`pack`] takes them.
    zero: __m256i,
    lookup: Option<&'a Lookup>,
    /// Of several convolutions that are computed as one: of each channel.
    tables: Option<[&'a Table; PANEL * LANES]>,
}

/// No activation.
static SAME: Table = {
    let mut same = [0; 256];
    let mut byte = 0;
    while byte < same.len() {
        same[byte] = byte as u8;
        byte += 1;
    }
    same
};

impl<'a> Store<'a> {
    /// Safety: see the module.
    #[inline(always)]
    unsafe fn new(packed: &'a PackedConv, panel: &Panel, lookup: Option<&'a Lookup>) -> Store<'a> {
        if packed.parts.is_empty() {
            // Safety: see the module.
            let zero = unsafe { _mm256_set1_epi16(i16::from(packed.pre_zero)) };
            return Store { zero, lookup, tables: None };
        }
        let (mut zeros, mut tables) = ([0i32; PANEL * LANES], [&SAME; PANEL * LANES]);
        for (channel, (zero, table)) in zeros.iter_mut().zip(&mut tables).enumerate().take(panel.channels) {
            let (pre_zero, activation) = packed.activation(panel.channel + channel);
            (*zero, *table) = (i32::from(pre_zero), activation.unwrap_or(&SAME));
        }
        // Safety: see the module; there are two vectors of zero points.
        let zero = unsafe {
            let zeros = zeros.as_ptr().cast::<__m256i>();
            _mm256_packs_epi32(_mm256_loadu_si256(zeros), _mm256_loadu_si256(zeros.add(1)))
        };
        Store { zero, lookup, tables: Some(tables) }
    }
}

/// One tile: `P` pixels of one row, all channels of a panel of `V` vectors; `SUMS` stores the sums
/// themselves.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "loops that the compiler unrolls at once: else sums go to memory")]
unsafe fn tile<D: Dot, const P: usize, const V: usize, const SUMS: bool>(
    packed: &PackedConv,
    panel: &Panel,
    store: &Store,
    rows: &Rows,
    input: *const u8,
    output: *mut u8,
) {
    // Safety: this tile's taps, weights and channels, for which the caller of `conv` vouches.
    unsafe {
        let bias = packed.bias[panel.constants..][..V * LANES].as_ptr();
        let mut weights = packed.weights[panel.weights..].as_ptr();
        let mut sums = [[_mm256_setzero_si256(); V]; P];
        for p in 0..P {
            for v in 0..V {
                sums[p][v] = _mm256_loadu_si256(bias.add(LANES * v).cast());
            }
        }
        for &tap in &packed.taps {
            let mut at = input.add(tap);
            for _ in 0..packed.groups {
                let mut w = [_mm256_setzero_si256(); V];
                for v in 0..V {
                    w[v] = _mm256_loadu_si256(weights.add(32 * v).cast());
                }
                for p in 0..P {
                    let four = D::input(at.add(p * rows.input_pixel).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        sums[p][v] = D::dot(sums[p][v], four, w[v]);
                    }
                }
                at = at.add(4);
                weights = weights.add(32 * V);
            }
        }
        if SUMS {
            for p in 0..P {
                for v in 0..V {
                    _mm256_storeu_si256(output.add(p * rows.output_pixel + 32 * v).cast(), sums[p][v]);
                }
            }
            return;
        }
        let multiplier = packed.multiplier[panel.constants..][..V * LANES].as_ptr();
        let mut rounded = [[_mm256_setzero_si256(); PANEL]; PIXELS];
        for p in 0..P {
            for v in 0..V {
                rounded[p][v] = round(sums[p][v], _mm256_loadu_ps(multiplier.add(LANES * v)));
            }
        }
        let mut bytes = [_mm256_setzero_si256(); PIXELS / 2];
        for p in (0..P).step_by(2) {
            let [first, second] = [rounded[p], rounded[p + 1]];
            bytes[p / 2] = narrow::<D>([first[0], first[1], second[0], second[1]], store.zero);
        }
        let step = rows.output_pixel;
        match &store.tables {
            None if P > 2 => put(bytes, store.lookup, output, step, P, panel.channels),
            None => put([bytes[0]], store.lookup, output, step, P, panel.channels),
            Some(tables) => {
                for p in (0..P).step_by(2) {
                    put_each(bytes[p / 2], tables, output.add(p * step), step, P - p, panel.channels);
                }
            }
        }
    }
}

/// See `Kernels::conv`, or `Kernels::conv_sums` for `SUMS`.
#[inline(always)]
pub unsafe fn conv<D: Dot, const SUMS: bool>(packed: &PackedConv, rows: &Rows) {
    // Safety: see the module.
    let lookup = unsafe { if SUMS { None } else { Lookup::activation(&packed.table) } };
    let lookup = lookup.as_ref();
    for panel in &packed.panels {
        // Safety: see the module.
        let store = unsafe { &Store::new(packed, panel, lookup) };
        for y in 0..rows.height {
            for (x, pixels) in tiles(rows.width) {
                // Safety: pixel (y, x) of the job, for which the caller vouches.
                unsafe {
                    let input = rows.input.add(y * rows.input_row + x * rows.input_pixel);
                    let channel = if SUMS { size_of::<i32>() * panel.channel } else { panel.channel };
                    let output = rows.output.add(y * rows.output_row + x * rows.output_pixel + channel);
                    match (pixels, panel.vectors) {
                        (1, 1) => tile::<D, 1, 1, SUMS>(packed, panel, store, rows, input, output),
                        (2, 1) => tile::<D, 2, 1, SUMS>(packed, panel, store, rows, input, output),
                        (3, 1) => tile::<D, 3, 1, SUMS>(packed, panel, store, rows, input, output),
                        (_, 1) => tile::<D, 4, 1, SUMS>(packed, panel, store, rows, input, output),
                        (1, _) => tile::<D, 1, 2, SUMS>(packed, panel, store, rows, input, output),
                        (2, _) => tile::<D, 2, 2, SUMS>(packed, panel, store, rows, input, output),
                        (3, _) => tile::<D, 3, 2, SUMS>(packed, panel, store, rows, input, output),
                        _ => tile::<D, 4, 2, SUMS>(packed, panel, store, rows, input, output),
                    }
                }
            }
        }
    }
}
