//! Weighted sums of bytes, rows or columns of them, eight at a time: what resizing needs.
//!
//! [`Portable`] says in plain loops what each operation is; the others compute the same, to the last bit. A [`Pass`] is
//! written once, for any of them, and [`best`] runs it with the fastest that this processor has.
//!
//! An instruction set that not every processor of its architecture has is a value that only [`best`] makes, when it has
//! asked: whoever holds one may use it.
//!
//! | file | noun |
//! |---|---|
//! | `block` | eight numbers |
//! | `columns`, `mix` | what they are multiplied with |
//! | `instructions` | what an instruction set does; one file each |
//! | `best` | which one runs |

#[cfg(target_arch = "x86_64")]
mod avx2;
mod best;
mod block;
mod columns;
mod instructions;
mod mix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(test)]
mod tests;

pub use best::best;
pub use block::{BLENDED_BITS, Block, COLUMN_BITS, LANES, MIX_BITS, Pixels, WEIGHT_BITS};
pub use columns::{Columns, Group};
pub use instructions::{Lanes, Pass};
pub use mix::Mix;
pub use portable::Portable;
