//! Eight numbers, and how many bits of them are fraction.

/// Numbers in a block.
pub const LANES: usize = 8;
/// Fraction bits of weights.
pub const WEIGHT_BITS: u32 = 14;
/// Fraction bits of a blended sample: 255 still fits into 16 bits with a sign.
pub const BLENDED_BITS: u32 = 7;
/// Fraction bits of a column of the result.
pub const COLUMN_BITS: u32 = 4;
/// Fraction bits of the weights of a [`Mix`](super::Mix).
pub const MIX_BITS: u32 = 13;
/// What is shifted out of a sum of weighted rows, of weighted columns, of mixed values.
pub(super) const ROWS_SHIFT: i32 = (WEIGHT_BITS - BLENDED_BITS) as i32;
pub(super) const COLUMNS_SHIFT: i32 = (WEIGHT_BITS + BLENDED_BITS - COLUMN_BITS) as i32;
pub(super) const MIX_SHIFT: i32 = (MIX_BITS + COLUMN_BITS) as i32;

/// A block of samples or of weights.
pub type Block = [i16; LANES];
/// Eight pixels, (8, 3).
pub type Pixels = [u8; 3 * LANES];
