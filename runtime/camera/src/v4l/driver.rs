//! What the capture queue asks of a driver, one method a system call, and the words that both speak.
//!
//! [`Driver`] is the seam between the queue, which holds no `unsafe`, and the kernel: the queue is tested against a
//! simulated driver that lies, fails and disappears at random. A driver may not wait, except in [`Driver::wait`].

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::controls::Controls;
use super::fourcc::FourCc;

/// The most memory planes of a buffer (the kernel's own bound).
pub const MEMORY_PLANES_MAX: usize = 8;
/// The most buffers of a queue.
pub const BUFFERS_MAX: u32 = 32;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The format.
    pub fourcc: FourCc,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second; 0 leaves it to the driver.
    pub fps: u32,
}

/// What was granted: the driver's own words, not yet believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Granted {
    /// The format.
    pub fourcc: FourCc,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Memory planes, 1 to [`MEMORY_PLANES_MAX`].
    pub memory_planes: usize,
    /// Bytes from one row to the next, by memory plane; 0 for compressed formats.
    pub strides: [u32; MEMORY_PLANES_MAX],
    /// `enum v4l2_colorspace`.
    pub colorspace: u32,
    /// `enum v4l2_ycbcr_encoding`; 0 follows from the colour space.
    pub ycbcr_enc: u32,
    /// `enum v4l2_quantization`; 0 follows from format and colour space.
    pub quantization: u32,
    /// Seconds between frames, numerator and denominator; zeros if the driver does not say.
    pub interval: (u32, u32),
}

/// Where one plane of a buffer lies behind the device's file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlaneOffset {
    /// The offset that `mmap` takes.
    pub offset: u64,
    /// Bytes.
    pub length: usize,
}

/// The planes of one buffer.
pub type PlaneOffsets = heapless::Vec<PlaneOffset, MEMORY_PLANES_MAX>;

/// A buffer that the driver gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filling {
    /// Which buffer, in the driver's words.
    pub index: u32,
    /// The driver's number of the frame; wraps.
    pub sequence: u32,
    /// When it was taken, in microseconds of the monotonic clock; `None` if the driver uses another clock.
    pub taken_us: Option<u64>,
    /// The driver says that the contents are damaged.
    pub error: bool,
    /// By memory plane: where its data begins, and where it ends, in bytes.
    pub used: [(u32, u32); MEMORY_PLANES_MAX],
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// A buffer may be taken back.
    Filled,
    /// The time is up.
    Timeout,
    /// The device reports a fault; the next call says which.
    Fault,
}

/// A capture device.
pub trait Driver: Controls + Send {
    /// Sets format, size and rate, and reads back what was granted.
    fn set_format(&mut self, wish: &Wish) -> io::Result<Granted>;
    /// Asks for `count` buffers; says how many there are. 0 frees them.
    fn request_buffers(&mut self, count: u32) -> io::Result<u32>;
    /// Where the planes of buffer `index` lie.
    fn locate(&mut self, index: u32) -> io::Result<PlaneOffsets>;
    /// The file that is mapped.
    fn file(&self) -> BorrowedFd<'_>;
    /// Gives buffer `index` to the driver.
    fn queue(&mut self, index: u32) -> io::Result<()>;
    /// Takes a filled buffer back; [`io::ErrorKind::WouldBlock`] if there is none.
    fn dequeue(&mut self) -> io::Result<Filling>;
    /// Waits at most `at_most` for a filled buffer.
    fn wait(&mut self, at_most: Duration) -> io::Result<Ready>;
    /// Begins to stream.
    fn start(&mut self) -> io::Result<()>;
    /// Ends the stream; every buffer comes back to the caller.
    fn stop(&mut self) -> io::Result<()>;
    /// Now, on the clock of [`Filling::taken_us`].
    fn now_us(&self) -> u64;
}
