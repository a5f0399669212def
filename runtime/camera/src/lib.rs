//! Where frames come from: cameras, and replays of pictures and clips that stand in for them.
//!
//! Everything after the camera sees only [`Source`]. A source promises to fill the frame that it is given and no
//! other memory of the caller's, to wait no longer than it was told, and to say by [`Next`] what happened: a damaged
//! input is one [`Next::Broken`] and the source goes on; a camera that was unplugged is [`Next::Lost`] and may come back.
//! A source may not scale, convert what is not its format, or drop a frame without leaving a gap in `seq`.
//!
//! | source | file | pacing |
//! |---|---|---|
//! | pictures, folders, `.tar` | [`pictures`], [`tarball`] | on demand |
//! | `.y4m` | [`y4m`] | on demand |
//! | `.mjpeg`, `.mjpg` | [`mjpeg`] | on demand |
//! | the bundled photographs | [`bundled`] | on demand |
//! | any of these as a live camera | [`paced`] | live |
//! | a camera | [`v4l`] | live |
//!
//! [`spec`] turns the operator's words into one of them.

pub mod bundled;
pub mod clock;
pub mod error;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
mod limits;
pub mod mjpeg;
pub mod paced;
pub mod photos;
mod picture_file;
pub mod pictures;
mod source;
pub mod spec;
mod splitter;
pub mod tarball;
pub mod v4l;
pub mod y4m;

#[cfg(test)]
mod malformed_tests;

pub use bundled::{Bundled, Photo};
pub use error::SourceError;
pub use limits::{LIVE_BYTES_MAX, LIVE_PIXELS_MAX};
pub use mjpeg::{ClipRate, Mjpeg};
pub use paced::Paced;
pub use pictures::Pictures;
pub use source::{Next, Pacing, STILL_PERIOD_US, Source, Tally};
pub use spec::SourceSpec;
pub use y4m::Y4m;
