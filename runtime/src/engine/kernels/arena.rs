//! The memory of one network: every tensor, reused from run to run.

use std::cell::UnsafeCell;

/// Aligned so that a vector never crosses a cache line that it need not cross.
#[repr(C, align(64))]
struct Line(UnsafeCell<[u8; 64]>);

/// Bytes that several threads write at once, each its own.
pub struct Arena(Box<[Line]>);

// Safety: the bytes are reached through raw pointers only, in `Step::run`, whose contract keeps
// threads on disjoint bytes; through references only while no step runs (`&mut self`).
unsafe impl Sync for Arena {}

impl Arena {
    /// At least `bytes` zeros.
    pub fn new(bytes: usize) -> Arena {
        let lines = Box::new_zeroed_slice(bytes.div_ceil(64));
        // Safety: a line is bytes, and zero is one.
        Arena(unsafe { lines.assume_init() })
    }

    /// Number of bytes.
    pub fn size(&self) -> usize {
        self.0.len() * 64
    }

    /// The first byte.
    pub(super) fn base(&self) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().cast_mut()
    }

    /// All bytes, while nothing runs.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // Safety: the lines are contiguous (`repr(C)`, no padding), initialised, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.base(), self.size()) }
    }

    /// All bytes.
    ///
    /// Safety: no step runs on this arena while the slice lives.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        // Safety: as above; the caller vouches that nobody writes.
        unsafe { std::slice::from_raw_parts(self.base(), self.size()) }
    }
}
