//! Loops on 256-bit vectors, shared by the x86-64 instruction sets that have no more.
//!
//! What differs between them is [`Dot`]: how four bytes of input meet four weights in each of eight lanes.
//! All functions here are inlined into an entry point that enables the features; on their own they enable none.
//!
//! # Safety
//! Every function must be inlined into one that enables AVX2 and what its [`Dot`] needs, on a
//! processor that has them.

pub(super) mod conv;
pub(super) mod depthwise;
pub(super) mod dot;
pub(super) mod elementwise;
mod entries;
pub(super) mod gather;
pub(super) mod lookup;
mod memory;
mod tiles;
pub(super) mod winograd;

pub(super) use dot::Dot;
pub(super) use entries::entries;
