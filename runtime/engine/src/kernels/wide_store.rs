//! The store of convolutions with ends of sixteen bits, in plain loops: sums of values and of rests become numbers.
//! See [`super::super::ir::Wide`].

use super::super::int16::{self, Curve};
use super::super::quant::Table;

/// Pixels whose sums are held at a time.
pub(super) const PIXELS: usize = 32;
/// Results that the store makes at a time.
pub(super) const BLOCK: usize = 16;

/// What becomes of the sums. Constants lie group by group, each padded to whole blocks.
#[derive(Debug)]
pub struct WideStore {
    /// What the sums of the values begin with, then those of the rests.
    pub(super) bias: [Vec<i32>; 2],
    pub(super) multiplier: Vec<f32>,
    pub(super) pre_zero: u8,
    /// Of values.
    pub(super) table: Option<Box<Table>>,
    pub(super) curve: Option<Box<Curve>>,
    /// Output channels of all groups.
    pub(super) outputs: usize,
    /// There are sums of rests.
    pub(super) reads: bool,
    /// It writes rests.
    pub(super) writes: bool,
    /// See `Kernels::sign_xor`.
    pub(super) sign_xor: u8,
}

/// Sums of some pixels of a row, and where their results go.
#[derive(Debug, Clone, Copy)]
pub struct WideRow {
    /// Sums of values; behind them come those of rests. Readable to whole blocks.
    pub(super) sums: *const i32,
    /// From one pixel's sums to the next one's.
    pub(super) padded: usize,
    /// Pixels.
    pub(super) count: usize,
    /// The first channel of the first pixel.
    pub(super) output: *mut u8,
    /// Bytes from one output pixel to the next.
    pub(super) output_pixel: usize,
    /// Place of the first channel's constants.
    pub(super) constants: usize,
    /// Channels.
    pub(super) channels: usize,
}

/// `Kernels::wide_store` for the vectors of the function that it is inlined into.
///
/// # Safety
/// The sums of the pixels are readable, [`BLOCK`] by [`BLOCK`]; their channels are writable, those of the
/// rests too if there are any.
#[inline(always)]
pub unsafe fn store(store: &WideStore, row: &WideRow) {
    // Safety: handed on.
    unsafe {
        match (store.reads, store.writes) {
            (false, false) => pixels::<false, false>(store, row),
            (false, true) => pixels::<false, true>(store, row),
            (true, false) => pixels::<true, false>(store, row),
            (true, true) => pixels::<true, true>(store, row),
        }
    }
}

/// Safety: as for [`store`].
#[inline(always)]
unsafe fn pixels<const READS: bool, const WRITES: bool>(store: &WideStore, row: &WideRow) {
    for block in (0..row.channels).step_by(BLOCK) {
        let constants = row.constants + block;
        let (multiplier, bias, rest_bias) = (
            &store.multiplier[constants..constants + BLOCK],
            &store.bias[0][constants..constants + BLOCK],
            &store.bias[1][constants..constants + BLOCK],
        );
        let channels = BLOCK.min(row.channels - block);
        for pixel in 0..row.count {
            // Safety: sums of this pixel; the caller vouches for all of them.
            let (sums, rests) = unsafe {
                let sums = row.sums.add(pixel * row.padded + block);
                let rests = if READS { sums.add(PIXELS * row.padded) } else { sums };
                (sums.cast::<[i32; BLOCK]>().read(), rests.cast::<[i32; BLOCK]>().read())
            };
            let mut steps = [0f32; BLOCK];
            for i in 0..BLOCK {
                let sum = sums[i].wrapping_add(bias[i]) as f32;
                let rest = if READS { rests[i].wrapping_add(rest_bias[i]) as f32 * (1.0 / int16::PARTS) } else { 0.0 };
                steps[i] = if READS { (sum + rest) * multiplier[i] } else { sum * multiplier[i] };
            }
            let (mut values, mut rests) = ([0u8; BLOCK], [0u8; BLOCK]);
            if WRITES {
                numbers(store, &steps, &mut values, &mut rests);
            } else {
                for i in 0..BLOCK {
                    values[i] = rounded(steps[i], store.pre_zero);
                }
                if let Some(table) = store.table.as_deref() {
                    values.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
                }
                values.iter_mut().for_each(|value| *value ^= store.sign_xor);
            }
            // Safety: channels of this pixel; the caller vouches for all of them.
            unsafe {
                let to = row.output.add(pixel * row.output_pixel + block);
                put(&values, to, channels);
                if WRITES {
                    put(&rests, to.add(store.outputs), channels);
                }
            }
        }
    }
}

/// Steps to values and rests.
#[inline(always)]
fn numbers(store: &WideStore, steps: &[f32; BLOCK], values: &mut [u8; BLOCK], rests: &mut [u8; BLOCK]) {
    let mut numbers = [0i32; BLOCK];
    for i in 0..BLOCK {
        numbers[i] = int16::requantize_fast(steps[i], store.pre_zero);
    }
    if let Some(curve) = store.curve.as_deref() {
        for number in &mut numbers {
            let (index, part) = int16::place(*number);
            // one load of both neighbours, which vectors can gather
            // Safety: `place` gives at most the last point but one.
            let two = unsafe { curve.as_ptr().add(index).cast::<u32>().read_unaligned() };
            let [low, high] = [(two & 0xffff) as i32, (two >> 16) as i32];
            let [first, next] = if cfg!(target_endian = "little") { [low, high] } else { [high, low] };
            *number = i32::from(int16::between(first, next, part));
        }
    }
    for i in 0..BLOCK {
        values[i] = (numbers[i] >> 8) as u8 ^ store.sign_xor;
        rests[i] = numbers[i] as u8 ^ store.sign_xor;
    }
}

/// Writes the first `channels` bytes. Safety: they are writable.
#[inline(always)]
unsafe fn put(bytes: &[u8; BLOCK], to: *mut u8, channels: usize) {
    // Safety: as above.
    unsafe {
        if channels == BLOCK {
            to.cast::<[u8; BLOCK]>().write(*bytes);
        } else {
            to.copy_from_nonoverlapping(bytes.as_ptr(), channels);
        }
    }
}

/// Steps to a value: nearest, halves to even, clamped.
#[inline(always)]
fn rounded(steps: f32, zero: u8) -> u8 {
    // what is further away is clamped by the zero point's eight bits anyway
    let nearest = int16::nearest(steps.clamp(-512.0, 512.0));
    (nearest + i32::from(zero)).clamp(0, 255) as u8
}
