//! What every instruction set computes, and what is written for any of them.

use super::block::{Block, LANES, Pixels};
use super::columns::Group;
use super::mix::Mix;

/// What an instruction set does.
pub trait Lanes: Copy {
    /// Eight sums of 32 bits.
    type Sums: Copy;
    /// Eight values from 0 to 2^12, with [`COLUMN_BITS`](super::COLUMN_BITS) fraction bits.
    type Values: Copy;
    /// A [`Mix`] as it is multiplied.
    type Mixing: Copy;

    /// Sums that begin with these numbers.
    fn sums(self, numbers: [i32; LANES]) -> Self::Sums;

    /// The numbers of sums.
    fn numbers(self, sums: Self::Sums) -> [i32; LANES];

    /// Adds `weights[0] * rows[0] + weights[1] * rows[1]`.
    fn add_rows(self, sums: Self::Sums, rows: [&[u8; LANES]; 2], weights: [i16; 2]) -> Self::Sums;

    /// Sums of rows whose weights add up to 2^[`WEIGHT_BITS`](super::WEIGHT_BITS), rounded to [`BLENDED_BITS`](super::BLENDED_BITS) fraction bits.
    fn blended(self, sums: Self::Sums) -> Block;

    /// Eight columns of the result, rounded.
    fn columns(self, group: Group<'_>) -> Self::Values;

    /// Eight times the same value.
    fn same(self, value: i16) -> Self::Values;

    /// A mix, made ready once for many blocks.
    fn mixing(self, mix: &Mix) -> Self::Mixing;

    /// Writes eight pixels of three bytes, from their three values.
    fn mix(self, mixing: &Self::Mixing, values: [Self::Values; 3], pixels: &mut Pixels);
}

/// Work that is written for any instruction set.
pub trait Pass {
    /// Does it. It should be `#[inline(always)]`, and so should all that it calls with `lanes`: what is not part of one
    /// function may not use the instructions.
    fn run<L: Lanes>(self, lanes: L);
}
