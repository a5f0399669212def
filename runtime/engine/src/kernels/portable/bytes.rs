//! Bytes of memory as numbers and sums as bytes, and how many channels the plain loops compute together.

use crate::quant::{Table, requantize};

/// Lanes of both.
pub(in crate::kernels) const LANES: usize = 4;

/// Widest panel in channels.
pub(in crate::kernels) const CHANNELS: usize = 8;

/// The number that a byte of memory is multiplied as.
#[inline]
pub(in crate::kernels) fn number<const SIGN_XOR: u8>(byte: u8) -> i32 {
    i32::from(byte ^ SIGN_XOR) - i32::from(SIGN_XOR)
}

/// A sum as a byte of memory. Tables hold such bytes and are indexed by them.
#[inline]
pub(in crate::kernels) fn stored<const SIGN_XOR: u8>(sum: i32, multiplier: f32, zero: u8, table: Option<&Table>) -> u8 {
    let q = requantize(sum, multiplier, zero) ^ SIGN_XOR;
    table.map_or(q, |t| t[usize::from(q)])
}
