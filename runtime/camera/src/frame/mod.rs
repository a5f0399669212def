//! The frame: one picture in memory, in the one format that everything after the camera reads.
//!
//! A [`Frame`] is 8-bit RGB, `(h, w, 3)`, tightly packed, with a sequence number, the time it was taken and a name.
//! It promises that `rgb().len() == width * height * 3`, that no frame exceeds [`PIXELS_MAX`], and that
//! a buffer that was large enough once is used again: [`Frame::reset`] allocates only when a frame grows.
//! A camera's frame begins *raw*, in the format that the camera gave it: the network's input is made from it directly
//! (`lapwing_vision::input`), and only a frame that somebody wants to see is turned into RGB ([`Frame::develop`]). Until then
//! `rgb()` is empty.
//! It may not know where it came from (that is the camera's) nor what is in it (that is the detector's).
//!
//! | file | noun |
//! |---|---|
//! | `buffer`, `size` | the frame, and what it may be |
//! | [`picture`] | JPEG and PNG, in and out |
//! | `picture_error` | why one is not read or written |
//! | `pixels` | what a decoder gives, as a frame has it |
//! | `jpeg` | which decoder reads a JPEG, and what of it must be there |
//! | [`outline`] | what a JPEG's headers say |
//! | [`segments`] | where a JPEG ends |
//! | [`printable`] | names that a terminal may be given |
//! | [`raw`] | pictures as cameras give them |
//! | [`yuv`], `colour` | YUV to RGB and back |
//! | [`draw`], [`font`] | boxes and labels |

mod buffer;
mod colour;
pub mod draw;
pub mod font;
mod jpeg;
pub mod outline;
pub mod picture;
mod picture_error;
mod pixels;
pub mod printable;
pub mod raw;
pub mod segments;
mod size;
pub mod yuv;

pub use buffer::{Frame, NAME_BYTES_MAX};
pub use picture_error::PictureError;
pub use raw::{PixelFormat, Raw, RawLayout};
pub use size::{CHANNELS, FrameError, PIXELS_MAX, rgb_bytes};
