//! The medium under a log: numbered segments that can be made, written and removed.
//!
//! Small enough for a folder of files and for NOR flash. Two states of a medium are told apart everywhere in this
//! crate: what is *visible* (a reader sees it now) and what is *durable* (a reader sees it after a power cut at any
//! later moment).
//!
//! | operation | visible after `Ok` | durable after |
//! |---|---|---|
//! | [`Media::create`] | the segment, with its header | `Ok` of the next [`Media::sync`] of it |
//! | [`Media::write`] | the bytes | `Ok` of the next [`Media::sync`] of it |
//! | [`Media::remove`] | the segment is gone | the same `Ok` |
//!
//! After an error any part of the operation may have happened, visibly or not. In particular, after
//! an error of [`Media::sync`] a later `Ok` says nothing about bytes written before the error: the
//! log never relies on it.
//!
//! What a write may harm beside itself is the medium's to say: [`Media::IN_BLOCKS`].

use core::fmt::{Debug, Display};

/// An error of a medium. Its `Display` tells the operator what to do.
pub trait MediaError: Debug + Display {
    /// The medium has no room: removing a segment may help.
    fn is_full(&self) -> bool;

    /// The segments are no longer where a later reader looks for them: the log must be begun anew.
    fn is_gone(&self) -> bool {
        false
    }
}

/// Numbered segments. One writer at a time; the implementation sees to that.
pub trait Media {
    /// What can go wrong.
    type Error: MediaError;

    /// A write may harm the whole block of [`BLOCK_BYTES`](crate::limits::BLOCK_BYTES) that it touches. Segments are then
    /// made at their full size and written block by block, anywhere in them; else one write behind the other.
    const IN_BLOCKS: bool;

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

    /// Makes a segment that begins with `head`. In blocks it is `bytes` long, the rest is filled by
    /// [`fill_blank`](super::fill_blank), and it appears whole or not at all, at a power cut too.
    ///
    /// # Errors
    /// It exists, there is no room for it, or the medium refuses.
    fn create(&mut self, id: u32, head: &[u8], bytes: u32) -> Result<(), Self::Error>;

    /// Writes all of `bytes` at `offset`: in blocks whole blocks, else right behind what was written before.
    ///
    /// # Errors
    /// Any part of `bytes` may have been written.
    fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Makes the segment durable: that it exists, how long it is, what is in it.
    ///
    /// # Errors
    /// Any part of what was not durable may be lost, now or at a power cut; or the segment is gone from where a later
    /// reader looks for it.
    fn sync(&mut self, id: u32) -> Result<(), Self::Error>;

    /// Removes the segment, durably. One that does not exist is no error.
    ///
    /// # Errors
    /// It may be gone, and may come back at a power cut.
    fn remove(&mut self, id: u32) -> Result<(), Self::Error>;

    /// After an error that [is_gone](MediaError::is_gone): makes the place for segments anew, if it can.
    ///
    /// # Errors
    /// It cannot.
    fn renew(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl<M: Media> Media for &mut M {
    type Error = M::Error;
    const IN_BLOCKS: bool = M::IN_BLOCKS;

    fn find(&mut self, from: u32) -> Result<Option<u32>, Self::Error> {
        (**self).find(from)
    }

    fn len(&mut self, id: u32) -> Result<Option<u32>, Self::Error> {
        (**self).len(id)
    }

    fn read_at(&mut self, id: u32, offset: u32, into: &mut [u8]) -> Result<usize, Self::Error> {
        (**self).read_at(id, offset, into)
    }

    fn create(&mut self, id: u32, head: &[u8], bytes: u32) -> Result<(), Self::Error> {
        (**self).create(id, head, bytes)
    }

    fn write(&mut self, id: u32, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        (**self).write(id, offset, bytes)
    }

    fn sync(&mut self, id: u32) -> Result<(), Self::Error> {
        (**self).sync(id)
    }

    fn remove(&mut self, id: u32) -> Result<(), Self::Error> {
        (**self).remove(id)
    }

    fn renew(&mut self) -> Result<(), Self::Error> {
        (**self).renew()
    }
}
