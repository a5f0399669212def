//! Whoever is told of a run: a terminal, and what is built on this trait later.
//!
//! A [`Sink`] works on a thread of its own behind a bounded queue (see [`fan_out`](super::fan_out)), so it may take its
//! time and fail without anybody waiting for it: what it has no room for is dropped and counted. It is told of an event
//! only as [`Durable`] and gets a picture only as [`Redacted`]:
//!
//! ```compile_fail
//! use lapwing_runtime::{frame::Frame, sinks::Sink};
//! fn leak(sink: &mut dyn Sink, raw: &Frame) {
//!     let _ = sink.picture(raw);
//! }
//! ```

use std::sync::Arc;

use lapwing_firmware::event::Event;
use lapwing_firmware::log::Durable;

use crate::name_table::NameTable;
use crate::privacy::{Account, Redacted};
use lapwing_camera::frame::Frame;
use lapwing_vision::detect::{DETECTIONS_MAX, Detection, StageTimes};

/// An event under its number in the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recorded {
    /// Its number.
    pub seq: u64,
    /// The event.
    pub event: Event,
}

/// A frame that was looked at, without its pixels. Its buffers are used again.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// Number of the frame, from 1.
    pub seq: u64,
    /// File name or camera.
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What was detected, best first.
    pub detections: heapless::Vec<Detection, DETECTIONS_MAX>,
    /// Where the time went.
    pub times: StageTimes,
    /// Its age when it had been looked at, in microseconds, if that is past its deadline.
    pub stale_us: Option<u64>,
    /// The name of the stored picture's file; empty if none was stored.
    pub picture: String,
    /// What was hidden in it, and how.
    pub hidden: Account,
}

/// The names behind the numbers of a run.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Of the model's classes, by index.
    pub classes: Vec<String>,
    /// Of rules and classes in events.
    pub name_table: NameTable,
}

/// Which of a process's two voices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What it found.
    Out,
    /// What went wrong.
    Err,
}

/// What a sink wants to be told. Nothing else is queued for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Events.
    pub events: bool,
    /// Frames that were looked at.
    pub frames: bool,
    /// Redacted pictures.
    pub pictures: bool,
    /// Failures.
    pub troubles: bool,
    /// What the program itself says to this stream.
    pub words: Option<Stream>,
}

/// A sink could not pass something on; it is told the next thing all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

impl From<std::io::Error> for SinkError {
    fn from(error: std::io::Error) -> SinkError {
        SinkError(error.to_string())
    }
}

/// Is told what happens, on a thread of its own, after the pin has moved and the log is durable. What is not wanted is
/// not told, so only what a sink wants needs a function of its own.
pub trait Sink: Send {
    /// What it is, for people.
    fn name(&self) -> &'static str;

    /// What it wants. Asked once.
    fn wants(&self) -> Wants;

    /// The run begins. Words and troubles may have come before.
    fn begin(&mut self, _names: &Arc<Names>) {}

    /// An event is durable in the log.
    ///
    /// # Errors
    /// It could not be passed on.
    fn event(&mut self, _recorded: &Durable<Recorded>) -> Result<(), SinkError> {
        Ok(())
    }

    /// A frame was looked at.
    ///
    /// # Errors
    /// It could not be passed on.
    fn frame(&mut self, _looked: &Looked) -> Result<(), SinkError> {
        Ok(())
    }

    /// A picture was redacted.
    ///
    /// # Errors
    /// It could not be passed on.
    fn picture(&mut self, _picture: &Redacted<Frame>) -> Result<(), SinkError> {
        Ok(())
    }

    /// Something failed and the run goes on.
    ///
    /// # Errors
    /// It could not be passed on.
    fn trouble(&mut self, _what: &str) -> Result<(), SinkError> {
        Ok(())
    }

    /// A line of the program's own.
    ///
    /// # Errors
    /// It could not be passed on.
    fn words(&mut self, _line: &str) -> Result<(), SinkError> {
        Ok(())
    }
}
