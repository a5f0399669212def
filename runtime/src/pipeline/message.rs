//! What the threads of a run hand each other, and how much of it there may be.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use lapwing_camera::SourceError;
use lapwing_camera::clock::Mono;
use lapwing_camera::frame::Frame;
use lapwing_firmware::event::Event;
use lapwing_vision::detect::{DETECTIONS_MAX, Detection, StageTimes};

use crate::privacy::Regions;

/// Frames that exist: one being captured, one waiting, one being looked at, and those that the recorder has.
pub(super) const FRAMES: usize = 3 + RECORDING_MAX;
/// Frames that wait for the detector.
pub(super) const WAITING_MAX: usize = 1;
/// Frames that the recorder has, waiting or being recorded.
pub(super) const RECORDING_MAX: usize = 3;
/// Messages that wait for the recorder, with or without a frame.
pub(super) const MESSAGES_MAX: usize = 256;
/// Longest sleep of a thread that lets time pass.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// Most events of one frame: a hold that ended and a firing for each rule, one for a source that is back, one for
/// dropped frames, and one for a clock that was set.
pub const EVENTS_PER_FRAME_MAX: usize = 2 * crate::rules::RULES_MAX + 3;

/// What one frame brings to the recorder.
pub(crate) type Events = heapless::Vec<Event, EVENTS_PER_FRAME_MAX>;

/// What the capture thread hands over.
pub(crate) enum Captured {
    /// A frame, and when it was taken.
    Frame(Frame, Mono),
    /// One input could not be used; the source goes on.
    Broken(SourceError),
    /// The source is gone and may come back; since when.
    Lost(SourceError, Mono),
}

/// What the detector's thread hands to the recorder.
pub(crate) struct Message {
    pub events: Events,
    pub about: About,
}

pub(crate) enum About {
    /// A frame with what was seen in it. The box goes back and is used again.
    Frame(Box<SeenFrame>),
    /// A failure to be told to the user.
    Trouble(String),
    /// Events alone.
    Nothing,
}

#[derive(Default)]
pub(crate) struct SeenFrame {
    pub frame: Frame,
    /// Best first.
    pub detections: heapless::Vec<Detection, DETECTIONS_MAX>,
    /// How many of them reach the threshold that people and rules see; the others only hide.
    pub shown: usize,
    /// What is to be hidden, of them and of the frames before.
    pub regions: Regions,
    pub times: StageTimes,
    pub fired: bool,
    /// Its age when it had been looked at, in microseconds, if that is past its deadline.
    pub stale_us: Option<u64>,
}

/// Counters that the threads share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub stop: AtomicBool,
    pub frames_dropped: AtomicU64,
    pub frames_damaged: AtomicU64,
    pub broken: AtomicU64,
    /// Frames that the recorder has.
    pub recording: AtomicUsize,
}
