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
pub mod mjpeg;
pub mod paced;
pub mod photos;
pub mod pictures;
pub mod spec;
mod splitter;
pub mod tarball;
pub mod v4l;
pub mod y4m;

#[cfg(test)]
mod malformed_tests;

pub use bundled::{Bundled, Photo};
pub use error::SourceError;
pub use mjpeg::{ClipRate, Mjpeg};
pub use paced::Paced;
pub use pictures::Pictures;
pub use spec::SourceSpec;
pub use y4m::Y4m;

use std::time::Duration;

use crate::frame::Frame;

/// The time between two pictures of a replay that has no clock of its own, in microseconds of `captured_us`.
pub const STILL_PERIOD_US: u64 = 1_000_000;

/// The most pixels that a picture of a live source may have: 12.6 megapixels. A live run holds several pictures at once.
pub const LIVE_PIXELS_MAX: u64 = 12 << 20;
/// The most bytes of such a picture, as the camera gives it or as RGB.
pub const LIVE_BYTES_MAX: usize = (LIVE_PIXELS_MAX as usize) * crate::frame::CHANNELS;

/// Who sets the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// The reader: every frame is delivered, however long the reader takes.
    OnDemand,
    /// The world: the newest frame wins, and those that the reader missed are gaps in `seq`.
    Live,
}

/// What a call of [`Source::next`] brought.
#[derive(Debug)]
pub enum Next {
    /// The frame is filled.
    Frame,
    /// This input cannot be used and is skipped; the source goes on. The frame's contents are unspecified.
    Broken(SourceError),
    /// Nothing came before the deadline.
    Timeout,
    /// There is nothing more; every further call says the same until [`Source::rewind`].
    End,
    /// The source itself is gone; it may come back (cameras), so ask again later.
    Lost(SourceError),
}

/// What a live source could not deliver since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames for which a newer one was there, or which the driver had no room for.
    pub dropped: u64,
    /// Frames that came damaged.
    pub damaged: u64,
}

/// A stream of frames.
pub trait Source: Send {
    /// Fills `frame` (its buffer is used again), waiting at most `deadline` for the world; reading a file is not
    /// waiting. A frame is numbered by its place in the source, from 0, broken inputs included.
    fn next(&mut self, frame: &mut Frame, deadline: Duration) -> Next;

    /// Who sets the pace.
    fn pacing(&self) -> Pacing;

    /// The source in the operator's words.
    fn describe(&self) -> String;

    /// How many frames there are, if known: for progress bars.
    fn len_hint(&self) -> Option<u64>;

    /// What it could not deliver.
    fn tally(&self) -> Tally {
        Tally::default()
    }

    /// Passes over one frame as cheaply as it can; `scratch` may be overwritten. [`Next::Frame`] means that one was
    /// passed over.
    fn skip(&mut self, scratch: &mut Frame) -> Next {
        self.next(scratch, Duration::ZERO)
    }

    /// Goes back to the first frame. False: this source cannot (a camera).
    ///
    /// # Errors
    /// [`SourceError::Unreadable`] if the file does not let itself be read from the start again.
    fn rewind(&mut self) -> Result<bool, SourceError> {
        Ok(false)
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next(&mut self, frame: &mut Frame, deadline: Duration) -> Next {
        (**self).next(frame, deadline)
    }
    fn pacing(&self) -> Pacing {
        (**self).pacing()
    }
    fn describe(&self) -> String {
        (**self).describe()
    }
    fn len_hint(&self) -> Option<u64> {
        (**self).len_hint()
    }
    fn tally(&self) -> Tally {
        (**self).tally()
    }
    fn skip(&mut self, scratch: &mut Frame) -> Next {
        (**self).skip(scratch)
    }
    fn rewind(&mut self) -> Result<bool, SourceError> {
        (**self).rewind()
    }
}
