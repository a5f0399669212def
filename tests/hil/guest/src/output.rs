//! Pictures into a V4L2 output: one buffer after the other, all holding the same picture.
//!
//! The crate v4l streams to outputs one buffer at a time, and the kernel's test driver wants two before it
//! begins; so the four calls are made here.

use std::io;
use std::os::raw::{c_int, c_void};
use std::sync::Arc;

use v4l::device::Handle;
use v4l::prelude::Device;
use v4l::v4l_sys::{v4l2_buffer, v4l2_requestbuffers};
use v4l::v4l2::{ioctl, mmap, munmap, vidioc};

/// Buffers that go round.
const BUFFERS: u32 = 4;
const OUTPUT: u32 = 2; // V4L2_BUF_TYPE_VIDEO_OUTPUT
const MMAP: u32 = 1; // V4L2_MEMORY_MMAP
const FIELD_NONE: u32 = 1; // V4L2_FIELD_NONE
const READ_WRITE: c_int = 3; // PROT_READ | PROT_WRITE
const SHARED: c_int = 1; // MAP_SHARED
const POLLOUT: i16 = 4;

/// An output that streams.
pub struct Output {
    handle: Arc<Handle>,
    bytes: u32,
}

impl Output {
    /// Fills every buffer with `picture` and begins.
    ///
    /// # Errors
    /// The driver's.
    pub fn start(device: &Device, picture: &[u8]) -> io::Result<Output> {
        let output = Output { handle: device.handle(), bytes: u32::try_from(picture.len()).map_err(io::Error::other)? };
        let fd = output.handle.fd();
        // SAFETY: all fields of this plain structure of the kernel's may be zero.
        let mut wanted: v4l2_requestbuffers = unsafe { std::mem::zeroed() };
        (wanted.count, wanted.type_, wanted.memory) = (BUFFERS, OUTPUT, MMAP);
        // SAFETY: the structure is the one that this call reads and writes, and it outlives the call.
        unsafe { ioctl(fd, vidioc::VIDIOC_REQBUFS, (&raw mut wanted).cast()) }?;
        for index in 0..wanted.count {
            let mut buffer = output.buffer(index);
            output.call(vidioc::VIDIOC_QUERYBUF, &mut buffer)?;
            if buffer.length < output.bytes {
                return Err(io::Error::other(format!(
                    "a buffer holds {} bytes, a picture has {}",
                    buffer.length, output.bytes
                )));
            }
            // SAFETY: QUERYBUF has set the union's `offset`, as it does for mapped buffers.
            let offset = unsafe { buffer.m.offset };
            let length = buffer.length as usize;
            // SAFETY: a new shared mapping of the driver's buffer; no other memory is touched.
            let place = unsafe { mmap(std::ptr::null_mut(), length, READ_WRITE, SHARED, fd, i64::from(offset)) }?;
            // SAFETY: the mapping is at least as long as the picture (checked above), ours alone until the buffer is
            // queued, and does not overlap it; it is not used after it is unmapped.
            unsafe {
                std::ptr::copy_nonoverlapping(picture.as_ptr(), place.cast::<u8>(), picture.len());
                munmap(place, length)?;
            }
            let mut buffer = output.buffer(index);
            output.call(vidioc::VIDIOC_QBUF, &mut buffer)?;
        }
        let mut kind = OUTPUT;
        // SAFETY: this call reads one number.
        unsafe { ioctl(fd, vidioc::VIDIOC_STREAMON, (&raw mut kind).cast()) }?;
        Ok(output)
    }

    /// Waits until a buffer was shown, and shows it again.
    ///
    /// # Errors
    /// The driver's.
    pub fn again(&self) -> io::Result<()> {
        self.handle.poll(POLLOUT, -1)?;
        let mut buffer = self.buffer(0);
        self.call(vidioc::VIDIOC_DQBUF, &mut buffer)?;
        let mut buffer = self.buffer(buffer.index);
        self.call(vidioc::VIDIOC_QBUF, &mut buffer)
    }

    fn buffer(&self, index: u32) -> v4l2_buffer {
        // SAFETY: all fields of this plain structure of the kernel's may be zero.
        let mut buffer: v4l2_buffer = unsafe { std::mem::zeroed() };
        (buffer.index, buffer.type_, buffer.memory) = (index, OUTPUT, MMAP);
        (buffer.bytesused, buffer.field) = (self.bytes, FIELD_NONE);
        buffer
    }

    fn call(&self, request: vidioc::_IOC_TYPE, buffer: &mut v4l2_buffer) -> io::Result<()> {
        let place: *mut c_void = std::ptr::from_mut(buffer).cast();
        // SAFETY: the requests given to this function read and write one v4l2_buffer, which outlives the call.
        unsafe { ioctl(self.handle.fd(), request, place) }
    }
}
