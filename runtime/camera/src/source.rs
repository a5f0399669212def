//! What every source is: frames one after another, and what a call for the next one brings.

use std::time::Duration;

use super::error::SourceError;
use crate::frame::Frame;

/// The time between two pictures of a replay that has no clock of its own, in microseconds of `captured_us`.
pub const STILL_PERIOD_US: u64 = 1_000_000;

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
