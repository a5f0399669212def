//! A capture buffer: memory that is the kernel's or ours, by type.
//!
//! | type | who may touch the memory | how it comes about |
//! |---|---|---|
//! | [`Buffer<Idle>`] | nobody | it was mapped, or the stream was stopped |
//! | [`Buffer<Queued>`] | the driver writes | `VIDIOC_QBUF` |
//! | [`Buffer<Filled>`] | we read | `VIDIOC_DQBUF` said its index |
//!
//! Having a `Buffer<Filled>` means that the driver has given this memory back and will not write to it: bytes can be
//! read from no other state. Only the queue changes states, each time together with the system call that moves the
//! ownership. Dropping a buffer in any state unmaps it.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::driver::{MEMORY_PLANES_MAX, PlaneOffset, PlaneOffsets};

/// The most bytes of one plane: 64 Mpx in four bytes.
pub const PLANE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Mapped, and owned by neither side.
#[derive(Debug)]
pub struct Idle;
/// With the driver.
#[derive(Debug)]
pub struct Queued;
/// With us, and full.
#[derive(Debug)]
pub struct Filled;

/// One plane's memory.
#[derive(Debug)]
struct Mapping {
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is memory of this process that no thread's state hangs on; `Mapping` is its only owner, hands out
// no reference that outlives a borrow of itself, and never writes.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, place: PlaneOffset) -> io::Result<Mapping> {
        if place.length == 0 || place.length > PLANE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the driver has a plane of {} bytes", place.length),
            ));
        }
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing. It is read-only and shared: what
        // the driver writes is read only through `Buffer<Filled>`, when the driver has given it back.
        let at = unsafe { mmap(ptr::null_mut(), place.length, ProtFlags::READ, MapFlags::SHARED, file, place.offset) }?;
        let at = NonNull::new(at.cast::<u8>()).ok_or_else(|| io::Error::other("memory was mapped at address 0"))?;
        Ok(Mapping { at, length: place.length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `at` and `length` are those of a mapping that this value made and nobody else unmaps; `&mut self` says
        // that no slice of it is borrowed.
        if let Err(error) = unsafe { munmap(self.at.as_ptr().cast(), self.length) } {
            log::error!("a camera buffer of {} bytes stays mapped: {error}", self.length);
        }
    }
}

/// A buffer in state `S`; see the module.
#[derive(Debug)]
pub struct Buffer<S> {
    index: u32,
    planes: heapless::Vec<Mapping, MEMORY_PLANES_MAX>,
    state: PhantomData<S>,
}

impl<S> Buffer<S> {
    /// The driver's number for it.
    pub fn index(&self) -> u32 {
        self.index
    }

    fn become_state<T>(self) -> Buffer<T> {
        Buffer { index: self.index, planes: self.planes, state: PhantomData }
    }
}

impl Buffer<Idle> {
    /// Maps the planes of buffer `index` of `file`.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidData`] for a plane without bytes or above [`PLANE_BYTES_MAX`].
    pub(super) fn map(index: u32, file: BorrowedFd<'_>, places: &PlaneOffsets) -> io::Result<Buffer<Idle>> {
        let mut planes = heapless::Vec::new();
        for place in places {
            let _ = planes.push(Mapping::new(file, *place)?); // of the same capacity as `places`
        }
        Ok(Buffer { index, planes, state: PhantomData })
    }

    /// `VIDIOC_QBUF` succeeded.
    pub(super) fn queued(self) -> Buffer<Queued> {
        self.become_state()
    }
}

impl Buffer<Queued> {
    /// `VIDIOC_DQBUF` gave this index.
    pub(super) fn filled(self) -> Buffer<Filled> {
        self.become_state()
    }
}

impl Buffer<Filled> {
    /// The memory of `plane`; empty for a plane that the buffer does not have.
    pub fn plane(&self, plane: usize) -> &[u8] {
        self.planes.get(plane).map_or(&[], |mapping| {
            // SAFETY: `at` points to `length` mapped bytes for as long as `mapping` lives, which the borrow of `self`
            // covers. The driver has given the buffer back (see the module), so that nobody writes to it.
            unsafe { std::slice::from_raw_parts(mapping.at.as_ptr(), mapping.length) }
        })
    }

    /// Read and done with.
    pub(super) fn idle(self) -> Buffer<Idle> {
        self.become_state()
    }
}
