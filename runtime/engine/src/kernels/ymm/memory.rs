//! Sixteen bytes or fewer from memory and to it.
//!
//! # Safety
//! As for [`super`].

use std::arch::x86_64::*;

/// Writes the first `channels` of sixteen bytes. Safety: so many are writable.
#[inline(always)]
pub(in crate::kernels) unsafe fn store(mut bytes: __m128i, mut to: *mut u8, channels: usize) {
    // Safety: see the module; the parts of a short store are disjoint and add up to `channels`.
    unsafe {
        if channels >= 16 {
            return _mm_storeu_si128(to.cast(), bytes);
        }
        if channels & 8 != 0 {
            _mm_storel_epi64(to.cast(), bytes);
            (bytes, to) = (_mm_srli_si128::<8>(bytes), to.add(8));
        }
        if channels & 4 != 0 {
            to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes));
            (bytes, to) = (_mm_srli_si128::<4>(bytes), to.add(4));
        }
        if channels & 2 != 0 {
            to.cast::<i16>().write_unaligned(_mm_cvtsi128_si32(bytes) as i16);
            (bytes, to) = (_mm_srli_si128::<2>(bytes), to.add(2));
        }
        if channels & 1 != 0 {
            to.write(_mm_cvtsi128_si32(bytes) as u8);
        }
    }
}

/// Up to sixteen bytes, zeros behind them. Safety: `count` bytes are readable.
#[inline(always)]
pub(in crate::kernels) unsafe fn load(input: *const u8, count: usize) -> __m128i {
    // Safety: see the module; a short load goes through a buffer.
    unsafe {
        if count >= 16 {
            return _mm_loadu_si128(input.cast());
        }
        let mut buffer = [0u8; 16];
        std::ptr::copy_nonoverlapping(input, buffer.as_mut_ptr(), count);
        _mm_loadu_si128(buffer.as_ptr().cast())
    }
}
