//! V4L2 cameras: USB cameras, HDMI grabbers, and what v4l2loopback passes on.
//!
//! | file | noun | |
//! |---|---|---|
//! | [`source`] | the camera as a source: states, faults, the way back | |
//! | [`queue`] | the capture queue: whose each buffer is, the newest picture | |
//! | [`buffer`] | memory that is the kernel's or ours, by type | `unsafe`: mmap |
//! | [`shape`] | what was granted, checked | |
//! | [`driver`] | what the queue asks of a driver | |
//! | [`kernel`] | the driver that the kernel is | `unsafe`: ioctl |
//! | [`controls`] | exposure, gain, white balance, focus | |
//! | [`choose`] | which format to ask for | |
//! | [`fourcc`] | names of formats, and their colours | |
//! | [`mod@find`] | which devices are cameras | |
//! | [`options`] | what the operator asks for | |

pub mod buffer;
pub mod choose;
pub mod controls;
pub mod driver;
pub mod find;
pub mod fourcc;
pub mod kernel;
pub mod options;
pub mod queue;
pub mod shape;
pub mod source;

#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod source_tests;

pub use find::{Found, Verdict, find};
pub use fourcc::FourCc;
pub use options::CameraOptions;
pub use source::{Camera, DeviceFile, V4lCamera};

/// What to do with a camera whose device gives a sensor's mosaic only (a Raspberry Pi's CSI camera does).
pub const BAYER_CURE: &str = "its picture is made outside the kernel: install firmware/image/csi-camera (rpicam-vid \
    feeds /dev/video40 through v4l2loopback) and use v4l:/dev/video40";
