//! Four bytes to each of four places.

use std::arch::aarch64::uint8x16_t;
use std::arch::asm;

/// Four bytes to each place. In assembly: the compiler moves lanes before it stores them.
///
/// Safety: they are writable.
#[inline(always)]
pub(in crate::kernels) unsafe fn store_fours(bytes: uint8x16_t, to: [*mut u8; 4]) {
    // Safety: the caller's to vouch for.
    unsafe {
        asm!(
            "st1 {{{bytes:v}.s}}[0], [{to0}]",
            "st1 {{{bytes:v}.s}}[1], [{to1}]",
            "st1 {{{bytes:v}.s}}[2], [{to2}]",
            "st1 {{{bytes:v}.s}}[3], [{to3}]",
            bytes = in(vreg) bytes,
            to0 = in(reg) to[0],
            to1 = in(reg) to[1],
            to2 = in(reg) to[2],
            to3 = in(reg) to[3],
            options(nostack, preserves_flags),
        );
    }
}
