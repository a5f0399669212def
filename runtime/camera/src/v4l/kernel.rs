//! The kernel's side of a camera: V4L2's system calls on a device of the crate `v4l`.
//!
//! From `v4l` come the open device, the call itself, the numbers of the calls and the structures. Its own readings of
//! those structures are left alone: they panic on a name that is not UTF-8 and on a colour space that is newer than they
//! are, they have no `ycbcr_enc` and no second plane, and a camera's words are not to be trusted that far. Here every
//! number is taken as it comes, and the queue decides what to make of it.
//!
//! Nothing here waits except [`Driver::wait`]: the file is opened with `O_NONBLOCK`. What a driver does inside a call is
//! its own affair; a USB camera's may take seconds when the cable is bad.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_setfd};
use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc::{self, _IOC_TYPE};

use super::controls::{Controls, Span};
use super::driver::{Driver, Filling, Granted, MEMORY_PLANES_MAX, PlaneOffset, PlaneOffsets, Ready, Wish};
use super::fourcc::FourCc;

/// A call that a signal interrupts is made again at most so many times.
const INTERRUPTIONS_MAX: usize = 16;
/// The most formats, sizes and rates that are listed.
pub const LISTED_MAX: u32 = 64;

const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;
const CAPTURE_MPLANE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
const MMAP: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;

/// The number of a call with the structure that it reads and writes.
struct Request<T>(_IOC_TYPE, PhantomData<fn(&mut T)>);

impl<T> Request<T> {
    /// Does not compile unless the structure's size is the one in the number.
    const fn new(number: _IOC_TYPE) -> Request<T> {
        assert!((number as u32 >> 16) as usize & 0x3fff == size_of::<T>());
        Request(number, PhantomData)
    }
}

const QUERYCAP: Request<sys::v4l2_capability> = Request::new(vidioc::VIDIOC_QUERYCAP);
const ENUM_FMT: Request<sys::v4l2_fmtdesc> = Request::new(vidioc::VIDIOC_ENUM_FMT);
const ENUM_SIZES: Request<sys::v4l2_frmsizeenum> = Request::new(vidioc::VIDIOC_ENUM_FRAMESIZES);
const ENUM_INTERVALS: Request<sys::v4l2_frmivalenum> = Request::new(vidioc::VIDIOC_ENUM_FRAMEINTERVALS);
const S_FMT: Request<sys::v4l2_format> = Request::new(vidioc::VIDIOC_S_FMT);
const G_PARM: Request<sys::v4l2_streamparm> = Request::new(vidioc::VIDIOC_G_PARM);
const S_PARM: Request<sys::v4l2_streamparm> = Request::new(vidioc::VIDIOC_S_PARM);
const REQBUFS: Request<sys::v4l2_requestbuffers> = Request::new(vidioc::VIDIOC_REQBUFS);
const QUERYBUF: Request<sys::v4l2_buffer> = Request::new(vidioc::VIDIOC_QUERYBUF);
const QBUF: Request<sys::v4l2_buffer> = Request::new(vidioc::VIDIOC_QBUF);
const DQBUF: Request<sys::v4l2_buffer> = Request::new(vidioc::VIDIOC_DQBUF);
const QUERYCTRL: Request<sys::v4l2_queryctrl> = Request::new(vidioc::VIDIOC_QUERYCTRL);
const G_CTRL: Request<sys::v4l2_control> = Request::new(vidioc::VIDIOC_G_CTRL);
const S_CTRL: Request<sys::v4l2_control> = Request::new(vidioc::VIDIOC_S_CTRL);
const STREAMON: Request<std::ffi::c_int> = Request::new(vidioc::VIDIOC_STREAMON);
const STREAMOFF: Request<std::ffi::c_int> = Request::new(vidioc::VIDIOC_STREAMOFF);

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The product's name.
    pub card: String,
    /// The kernel module's name.
    pub driver: String,
    /// Where it is plugged in.
    pub bus: String,
    /// It captures and streams.
    pub captures: bool,
}

/// A size that a device offers, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Width and height.
    Exactly(u32, u32),
    /// From the smallest to the largest width and height.
    Range((u32, u32), (u32, u32)),
}

/// An open video device.
pub struct Kernel {
    /// Owns the file; closing it is its `Drop`.
    device: v4l::Device,
    buffer_type: u32,
    memory_planes: usize,
    identity: Identity,
}

impl Kernel {
    /// Opens the device at `path`.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::Unsupported`] if it is no video device at all.
    pub fn open(path: &Path) -> io::Result<Kernel> {
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput)); // v4l would panic
        }
        let device = v4l::Device::with_path(path)?;
        let mut kernel = Kernel {
            device,
            buffer_type: CAPTURE,
            memory_planes: 1,
            identity: Identity { card: String::new(), driver: String::new(), bus: String::new(), captures: false },
        };
        fcntl_setfd(kernel.file(), FdFlags::CLOEXEC)?;
        let flags = fcntl_getfl(kernel.file())?;
        fcntl_setfl(kernel.file(), flags | OFlags::NONBLOCK)?;
        let mut capability = sys::v4l2_capability::default();
        kernel.call(&QUERYCAP, &mut capability).map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOTTY.raw_os_error() => {
                io::Error::new(io::ErrorKind::Unsupported, "it is not a video device")
            }
            _ => error,
        })?;
        let has_own = capability.capabilities & sys::V4L2_CAP_DEVICE_CAPS != 0;
        let can = if has_own { capability.device_caps } else { capability.capabilities };
        let single = can & sys::V4L2_CAP_VIDEO_CAPTURE != 0;
        let multi = can & sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE != 0;
        if multi && !single {
            kernel.buffer_type = CAPTURE_MPLANE;
        }
        kernel.identity = Identity {
            card: text(&capability.card),
            driver: text(&capability.driver),
            bus: text(&capability.bus_info),
            captures: (single || multi) && can & sys::V4L2_CAP_STREAMING != 0,
        };
        Ok(kernel)
    }

    /// What the device says of itself.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The formats that it offers, in its order, at most [`LISTED_MAX`].
    #[must_use]
    pub fn formats(&self) -> Vec<FourCc> {
        let mut formats = Vec::new();
        for index in 0..LISTED_MAX {
            let mut found = sys::v4l2_fmtdesc { index, type_: self.buffer_type, ..Default::default() };
            if self.call(&ENUM_FMT, &mut found).is_err() {
                break;
            }
            formats.push(FourCc::from_number(found.pixelformat));
        }
        formats
    }

    /// The sizes of `fourcc` that it offers, in its order, at most [`LISTED_MAX`]; none if it does not say.
    #[must_use]
    pub fn sizes(&self, fourcc: FourCc) -> Vec<Size> {
        let mut sizes = Vec::new();
        for index in 0..LISTED_MAX {
            let mut found = sys::v4l2_frmsizeenum { index, pixel_format: fourcc.number(), ..Default::default() };
            if self.call(&ENUM_SIZES, &mut found).is_err() {
                break;
            }
            if found.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: both members are plain numbers in memory that was zeroed and that the driver filled.
                let size = unsafe { found.__bindgen_anon_1.discrete };
                sizes.push(Size::Exactly(size.width, size.height));
            } else {
                // SAFETY: as above.
                let steps = unsafe { found.__bindgen_anon_1.stepwise };
                sizes.push(Size::Range((steps.min_width, steps.min_height), (steps.max_width, steps.max_height)));
                break; // there is one entry of this kind
            }
        }
        sizes
    }

    /// The highest rate of `fourcc` at this size, in frames a second; `None` if it does not say.
    #[must_use]
    pub fn fps_max(&self, fourcc: FourCc, (width, height): (u32, u32)) -> Option<f64> {
        let mut best: Option<f64> = None;
        for index in 0..LISTED_MAX {
            let mut found =
                sys::v4l2_frmivalenum { index, pixel_format: fourcc.number(), width, height, ..Default::default() };
            if self.call(&ENUM_INTERVALS, &mut found).is_err() {
                break;
            }
            let discrete = found.type_ == sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE;
            // SAFETY: both members are plain numbers in memory that was zeroed and that the driver filled.
            let interval =
                unsafe { if discrete { found.__bindgen_anon_1.discrete } else { found.__bindgen_anon_1.stepwise.min } };
            if interval.numerator > 0 {
                let fps = f64::from(interval.denominator) / f64::from(interval.numerator);
                best = Some(best.map_or(fps, |best| best.max(fps)));
            }
            if !discrete {
                break;
            }
        }
        best
    }

    fn fd(&self) -> RawFd {
        self.device.handle().fd()
    }

    fn is_multi_planar(&self) -> bool {
        self.buffer_type == CAPTURE_MPLANE
    }

    /// Makes a call whose structure holds no pointer that the driver follows.
    fn call<T>(&self, request: &Request<T>, argument: &mut T) -> io::Result<()> {
        for _ in 0..INTERRUPTIONS_MAX {
            // SAFETY: the file is open for as long as `self.device` lives. The kernel reads and writes as many bytes as
            // the number says, which is the size of `T` (see `Request::new`), all of them in `argument`. The structures
            // with pointers that the kernel follows are those of buffers, which `buffer_call` prepares.
            let done = unsafe { v4l::v4l2::ioctl(self.fd(), request.0, ptr::from_mut(argument).cast()) };
            match done {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
        Err(io::Error::from(io::ErrorKind::Interrupted))
    }

    /// Makes a call about buffer `index`; gives the buffer's structure and its planes.
    fn buffer_call(
        &self,
        request: &Request<sys::v4l2_buffer>,
        index: u32,
    ) -> io::Result<(sys::v4l2_buffer, [sys::v4l2_plane; MEMORY_PLANES_MAX])> {
        let mut planes = [sys::v4l2_plane::default(); MEMORY_PLANES_MAX];
        let mut buffer =
            sys::v4l2_buffer { index, type_: self.buffer_type, memory: MMAP, ..sys::v4l2_buffer::default() };
        if self.is_multi_planar() {
            // The kernel follows this pointer to `length` planes; they live until the call is over.
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = if request.0 == QBUF.0 { self.memory_planes as u32 } else { MEMORY_PLANES_MAX as u32 };
        }
        self.call(request, &mut buffer)?;
        Ok((buffer, planes))
    }

    /// Frames a second: asks for `fps` where it may be set, and reads back the seconds between frames.
    fn set_interval(&self, fps: u32) -> (u32, u32) {
        let mut found = sys::v4l2_streamparm { type_: self.buffer_type, ..Default::default() };
        if self.call(&G_PARM, &mut found).is_err() {
            return (0, 0);
        }
        // SAFETY: for a capture type the driver fills `capture`; it is plain numbers in memory that was zeroed.
        let mut capture = unsafe { found.parm.capture };
        if fps > 0 && capture.capability & sys::V4L2_CAP_TIMEPERFRAME != 0 {
            let mut wish = sys::v4l2_streamparm { type_: self.buffer_type, ..Default::default() };
            wish.parm.capture.timeperframe = sys::v4l2_fract { numerator: 1, denominator: fps };
            if self.call(&S_PARM, &mut wish).is_ok() {
                // SAFETY: as above.
                capture = unsafe { wish.parm.capture };
            }
        }
        (capture.timeperframe.numerator, capture.timeperframe.denominator)
    }
}

impl Controls for Kernel {
    fn span(&self, id: u32) -> Option<Span> {
        let mut found = sys::v4l2_queryctrl { id, ..Default::default() };
        self.call(&QUERYCTRL, &mut found).ok()?;
        let fixed = sys::V4L2_CTRL_FLAG_DISABLED | sys::V4L2_CTRL_FLAG_READ_ONLY;
        let settable = found.flags & fixed == 0 && found.minimum <= found.maximum;
        settable.then_some(Span { least: found.minimum, most: found.maximum, step: found.step.max(1) })
    }

    fn control(&self, id: u32) -> io::Result<i32> {
        let mut found = sys::v4l2_control { id, ..Default::default() };
        self.call(&G_CTRL, &mut found)?;
        Ok(found.value)
    }

    fn set_control(&self, id: u32, value: i32) -> io::Result<()> {
        self.call(&S_CTRL, &mut sys::v4l2_control { id, value })
    }
}

impl Driver for Kernel {
    fn set_format(&mut self, wish: &Wish) -> io::Result<Granted> {
        // Everything else is zero: a stride or a size left over from an earlier format would be kept by some drivers.
        let mut format = sys::v4l2_format { type_: self.buffer_type, ..Default::default() };
        let field = sys::v4l2_field_V4L2_FIELD_NONE;
        if self.is_multi_planar() {
            format.fmt.pix_mp = sys::v4l2_pix_format_mplane {
                width: wish.width,
                height: wish.height,
                pixelformat: wish.fourcc.number(),
                field,
                ..Default::default()
            };
        } else {
            format.fmt.pix = sys::v4l2_pix_format {
                width: wish.width,
                height: wish.height,
                pixelformat: wish.fourcc.number(),
                field,
                ..Default::default()
            };
        }
        self.call(&S_FMT, &mut format)?;
        let mut granted = if self.is_multi_planar() {
            // SAFETY: the driver fills this member for a multi-planar type; it is plain numbers.
            let got = unsafe { format.fmt.pix_mp };
            let memory_planes = usize::from(got.num_planes).clamp(1, MEMORY_PLANES_MAX);
            let mut strides = [0; MEMORY_PLANES_MAX];
            for (stride, plane) in strides.iter_mut().zip(got.plane_fmt).take(memory_planes) {
                *stride = plane.bytesperline;
            }
            Granted {
                fourcc: FourCc::from_number(got.pixelformat),
                width: got.width,
                height: got.height,
                memory_planes,
                strides,
                colorspace: got.colorspace,
                // SAFETY: a number whatever name it goes by.
                ycbcr_enc: u32::from(unsafe { got.__bindgen_anon_1.ycbcr_enc }),
                quantization: u32::from(got.quantization),
                interval: (0, 0),
            }
        } else {
            // SAFETY: the driver fills this member for a single-planar type; it is plain numbers.
            let got = unsafe { format.fmt.pix };
            let mut strides = [0; MEMORY_PLANES_MAX];
            strides[0] = got.bytesperline;
            Granted {
                fourcc: FourCc::from_number(got.pixelformat),
                width: got.width,
                height: got.height,
                memory_planes: 1,
                strides,
                colorspace: got.colorspace,
                // SAFETY: a number whatever name it goes by.
                ycbcr_enc: unsafe { got.__bindgen_anon_1.ycbcr_enc },
                quantization: got.quantization,
                interval: (0, 0),
            }
        };
        self.memory_planes = granted.memory_planes;
        granted.interval = self.set_interval(wish.fps);
        Ok(granted)
    }

    fn request_buffers(&mut self, count: u32) -> io::Result<u32> {
        let mut wish = sys::v4l2_requestbuffers { count, type_: self.buffer_type, memory: MMAP, ..Default::default() };
        self.call(&REQBUFS, &mut wish)?;
        Ok(wish.count)
    }

    fn locate(&mut self, index: u32) -> io::Result<PlaneOffsets> {
        let (buffer, planes) = self.buffer_call(&QUERYBUF, index)?;
        let mut places = PlaneOffsets::new();
        if self.is_multi_planar() {
            for plane in planes.iter().take(self.memory_planes) {
                // SAFETY: for mapped memory the driver fills the offset; it is a plain number.
                let offset = u64::from(unsafe { plane.m.mem_offset });
                let _ = places.push(PlaneOffset { offset, length: plane.length as usize }); // no more than the planes there are
            }
        } else {
            // SAFETY: as above.
            let offset = u64::from(unsafe { buffer.m.offset });
            let _ = places.push(PlaneOffset { offset, length: buffer.length as usize });
        }
        Ok(places)
    }

    fn file(&self) -> BorrowedFd<'_> {
        // SAFETY: `self.device` keeps the file open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.fd()) }
    }

    fn queue(&mut self, index: u32) -> io::Result<()> {
        self.buffer_call(&QBUF, index).map(|_| ())
    }

    fn dequeue(&mut self) -> io::Result<Filling> {
        let (buffer, planes) = self.buffer_call(&DQBUF, 0)?;
        let mut used = [(0, 0); MEMORY_PLANES_MAX];
        if self.is_multi_planar() {
            for (used, plane) in used.iter_mut().zip(&planes) {
                *used = (plane.data_offset, plane.bytesused);
            }
        } else {
            used[0] = (0, buffer.bytesused);
        }
        let monotonic = buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK == sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let time = buffer.timestamp;
        // i64 on 64-bit machines, i32 on others: never negative on the monotonic clock
        let us = |value: std::ffi::c_long| u64::try_from(value).unwrap_or(0);
        Ok(Filling {
            index: buffer.index,
            sequence: buffer.sequence,
            taken_us: monotonic.then(|| us(time.tv_sec).saturating_mul(1_000_000).saturating_add(us(time.tv_usec))),
            error: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
            used,
        })
    }

    fn wait(&mut self, at_most: Duration) -> io::Result<Ready> {
        let limit = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        let file = self.file();
        let mut files = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
        match poll(&mut files, Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Ready::Timeout),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let events = files[0].revents();
        if events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Ok(Ready::Fault);
        }
        Ok(if events.contains(PollFlags::IN) { Ready::Filled } else { Ready::Timeout })
    }

    fn start(&mut self) -> io::Result<()> {
        let mut kind = self.buffer_type as std::ffi::c_int;
        self.call(&STREAMON, &mut kind)
    }

    fn stop(&mut self) -> io::Result<()> {
        let mut kind = self.buffer_type as std::ffi::c_int;
        self.call(&STREAMOFF, &mut kind)
    }

    fn now_us(&self) -> u64 {
        monotonic_us()
    }
}

/// Microseconds of the monotonic clock, by which drivers stamp their buffers.
fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000) + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// A name as the kernel writes it: ended by a zero, in whatever encoding.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}
