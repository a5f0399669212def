//! What a run tells: frame by frame to an observer, and a summary at the end.

use std::path::Path;

use lapwing_firmware::log::Durable;

use crate::name_table::NameTable;
use crate::privacy::{Account, Redacted, Tally};
use crate::sinks::Recorded;
use lapwing_camera::frame::Frame;
use lapwing_vision::detect::{Detection, StageTimes};

/// One frame as the observer is told of it.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Number of the frame, from 1.
    pub seq: u64,
    /// File name or camera.
    pub name: &'a str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What was detected, best first.
    pub detections: &'a [Detection],
    /// Where the time went.
    pub times: StageTimes,
    /// Its age when it had been looked at, in microseconds, if that is past its deadline.
    pub stale_us: Option<u64>,
    /// Class names of the model.
    pub classes: &'a [String],
    /// The stored picture.
    pub picture: Option<&'a Path>,
    /// What was hidden in it, and how.
    pub hidden: Account,
}

/// Is told what happens, on the recorder's thread, after the pin has moved and the log is durable.
pub trait Observer: Send {
    /// A frame was looked at.
    fn seen(&mut self, seen: &Seen<'_>);
    /// An event is durable in the log.
    fn recorded(&mut self, recorded: &Durable<Recorded>, name_table: &NameTable);
    /// A picture was redacted, and stored where that was asked for; a frame to be used again is given for it.
    fn picture(&mut self, picture: Redacted<Frame>) -> Frame {
        picture.recycle()
    }
    /// Something failed and the run goes on.
    fn trouble(&mut self, what: &str);
}

/// The run could not begin.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {name} thread could not be started ({cause}); outputs are safe. Free memory, or raise the limit on threads \
     (`ulimit -u`, TasksMax= of the service)"
)]
pub struct PipelineError {
    /// The thread.
    pub name: &'static str,
    /// The system's words.
    pub cause: std::io::Error,
}

/// What a rule did in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleReport {
    /// The rule's name.
    pub name: String,
    /// Times it fired.
    pub fired: u64,
    /// Times it released.
    pub released: u64,
    /// Times its line could not be driven.
    pub pin_errors: u64,
}

/// What the recorder did in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordReport {
    /// Events that are durable.
    pub events_durable: u64,
    /// Events that could not be made durable.
    pub events_lost: u64,
    /// Times that the log failed or was gone, and went on in a new segment: what was in it before may be lost.
    pub log_errors: u64,
    /// Pictures stored.
    pub pictures: u64,
    /// Pictures that could not be stored.
    pub pictures_failed: u64,
    /// What became of the regions that were hidden in them.
    pub redaction: Account,
    /// How well there was time to hide them.
    pub levels: Tally,
    /// Detections by class index.
    pub detections_by_class: Vec<u64>,
    /// The recorder's thread panicked: nothing above is known.
    pub panicked: bool,
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames looked at.
    pub frames: u64,
    /// Frames of a live source that a newer one replaced, or that the driver had no room for.
    pub frames_dropped: u64,
    /// Frames of a live source that came damaged.
    pub frames_damaged: u64,
    /// Frames of a live source that were past their deadline when they had been looked at.
    pub frames_stale: u64,
    /// Frames of a live source that were looked at while the recorder was busy: neither told nor stored, but their
    /// events are.
    pub frames_untold: u64,
    /// Inputs that could not be used.
    pub broken: u64,
    /// Times the source went away.
    pub source_lost: u64,
    /// Messages that the recorder had no room for.
    pub messages_lost: u64,
    /// When the first detection was made, in the clock's microseconds.
    pub first_detection_us: Option<u64>,
    /// The rules, in the order of the configuration.
    pub rules: Vec<RuleReport>,
    /// The record.
    pub record: RecordReport,
    /// The first thread that panicked, by name; the recorder's is in its own report.
    pub panicked: Option<&'static str>,
}

impl Report {
    /// True if nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.broken == 0
            && self.source_lost == 0
            && self.panicked.is_none()
            && !self.record.panicked
            && self.messages_lost == 0
            && self.record.events_lost == 0
            && self.record.log_errors == 0
            && self.record.pictures_failed == 0
            && self.record.redaction.fill_errors == 0
            && self.record.redaction.look_errors == 0
            && self.rules.iter().all(|r| r.pin_errors == 0)
    }
}
