//! Inner loops, one file an instruction set, behind one table that is chosen once.
//!
//! A kernel sees bytes and steps, never a graph. What each must compute is [`super::reference`];
//! `portable` is the loop that every other one is tested against, and what a processor without
//! any of the others runs.
//!
//! | file | noun |
//! |---|---|
//! | `operands`, `packed` | what a kernel is called with |
//! | `winograd`, `wide_store`, `gather` | what instruction sets share |
//! | `set` | the table of one instruction set |
//! | one file or folder each | the instruction sets |
//! | `registry` | which of them this processor has |
//! | `lanes` | weighted sums of bytes, for what comes before a network |
//! | `packing`, `windowed`, `max_pool`, `attention`, `wide`, `winograd_conv`, `place` | operations on a table, whichever it is |
//! | `step`, `program` | an operation on its bytes, and all of a plan on threads |
//!
//! Vectors stay inside functions that enable their features: arrays of them are written out or filled
//! by loops. `array::from_fn` and `array::map` enable nothing, so a closure is not inlined into them.
//!
//! # Safety
//! All `unsafe` of the engine is in this folder. A job holds raw pointers because the parts of one
//! picture's memory that two jobs touch interleave (concatenation in place, rows over threads).
//! [`super::plan`] makes jobs; it proves once, when a plan is made, that each byte a job may touch
//! lies inside the arena: those of the job itself and `SLACK` bytes behind them for reading.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub(super) mod arena;
#[cfg(target_arch = "arm")]
mod armv7;
pub(super) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
mod barrier;
#[cfg(target_arch = "aarch64")]
mod dotprod;
mod dots;
#[cfg(test)]
mod feature_tests;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod gather;
#[cfg(test)]
mod guard_tests;
#[cfg(target_arch = "aarch64")]
mod i8mm;
pub mod lanes;
pub(super) mod max_pool;
pub mod memory;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operands;
pub(super) mod packed;
mod packed_table;
pub(super) mod packing;
pub(super) mod place;
mod portable;
pub(super) mod program;
mod registry;
pub(super) mod scratch;
mod set;
mod short_table;
pub(super) mod step;
pub(super) mod tensor_span;
pub(super) mod wide;
mod wide_store;
mod windowed;
mod winograd;
pub(super) mod winograd_conv;
#[cfg(target_arch = "x86_64")]
mod ymm;

pub(crate) use operands::{Block, Product, Rows, SLACK, Sum};
pub(crate) use packed::{PackedConv, PackedDepthwise};
#[cfg(test)]
pub(crate) use registry::tested;
pub use registry::{available, best};
pub use set::Kernels;
