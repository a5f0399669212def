//! The memory of one network's tensors, reused from run to run.

use super::memory::Piece;

/// Bytes that several threads write at once, each its own.
pub struct Arena(Piece<u8>);

impl Arena {
    /// In these bytes.
    pub fn new(bytes: Piece<u8>) -> Arena {
        Arena(bytes)
    }

    /// Number of bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// The first byte. They are reached through this only, in [`super::step::Step::run`], whose contract
    /// keeps threads on disjoint bytes; through references only while no step runs.
    pub(super) fn base(&self) -> *mut u8 {
        self.0.base()
    }

    /// All bytes.
    ///
    /// # Safety
    /// No step runs on this arena while the slice lives.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        &self.0
    }
}
