//! The medium under a log: numbered segments that can be created, appended to, cut and removed.
//!
//! Small enough for a folder of files today and for NOR flash later. Two states of a medium are
//! told apart everywhere in this crate: what is *visible* (a reader sees it now) and what is
//! *durable* (a reader sees it after a power cut at any later moment).
//!
//! | operation | visible after `Ok` | durable after |
//! |---|---|---|
//! | [`Media::create`] | the segment, empty | `Ok` of the next [`Media::sync`] of it |
//! | [`Media::append`] | the bytes | `Ok` of the next [`Media::sync`] of it |
//! | [`Media::truncate`] | the shorter length | `Ok` of the next [`Media::sync`] of it |
//! | [`Media::remove`] | the segment is gone | the same `Ok` |
//!
//! After an error any part of the operation may have happened, visibly or not. In particular, after
//! an error of [`Media::sync`] a later `Ok` says nothing about bytes appended before the error: the
//! log never relies on it.

use core::fmt::{Debug, Display};

/// An error of a medium. Its `Display` tells the operator what to do.
pub trait MediaError: Debug + Display {
    /// The medium has no room: removing a segment may help.
    fn is_full(&self) -> bool;
}

/// Numbered segments. One writer at a time; the implementation sees to that.
pub trait Media {
    /// What can go wrong.
    type Error: MediaError;

    /// The smallest segment id that is at least `from`; `None` if there is none.
    ///
    /// # Errors
    /// The medium cannot be listed.
    fn find(&mut self, from: u32) -> Result<Option<u32>, Self::Error>;

    /// Bytes in a segment; `None` if it does not exist.
    ///
    /// # Errors
    /// The medium cannot say.
    fn len(&mut self, id: u32) -> Result<Option<u32>, Self::Error>;

    /// Reads from `offset` and returns how many bytes were read: less than asked for only at the
    /// segment's end, 0 past it or if the segment does not exist.
    ///
    /// # Errors
    /// The medium cannot be read.
    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, Self::Error>;

    /// Makes an empty segment.
    ///
    /// # Errors
    /// It exists, or the medium refuses.
    fn create(&mut self, id: u32) -> Result<(), Self::Error>;

    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Some prefix of `bytes`, or all of it, may have been appended.
    fn append(&mut self, id: u32, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Makes the segment durable: that it exists, how long it is, what is in it.
    ///
    /// # Errors
    /// Any part of what was not durable may be lost, now or at a power cut.
    fn sync(&mut self, id: u32) -> Result<(), Self::Error>;

    /// Cuts the segment to `bytes`.
    ///
    /// # Errors
    /// It may have been cut or not.
    fn truncate(&mut self, id: u32, bytes: u32) -> Result<(), Self::Error>;

    /// Removes the segment, durably. One that does not exist is no error.
    ///
    /// # Errors
    /// It may be gone, and may come back at a power cut.
    fn remove(&mut self, id: u32) -> Result<(), Self::Error>;
}

impl<M: Media> Media for &mut M {
    type Error = M::Error;

    fn find(&mut self, from: u32) -> Result<Option<u32>, Self::Error> {
        (**self).find(from)
    }

    fn len(&mut self, id: u32) -> Result<Option<u32>, Self::Error> {
        (**self).len(id)
    }

    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, Self::Error> {
        (**self).read_at(id, offset, into)
    }

    fn create(&mut self, id: u32) -> Result<(), Self::Error> {
        (**self).create(id)
    }

    fn append(&mut self, id: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        (**self).append(id, bytes)
    }

    fn sync(&mut self, id: u32) -> Result<(), Self::Error> {
        (**self).sync(id)
    }

    fn truncate(&mut self, id: u32, bytes: u32) -> Result<(), Self::Error> {
        (**self).truncate(id, bytes)
    }

    fn remove(&mut self, id: u32) -> Result<(), Self::Error> {
        (**self).remove(id)
    }
}
