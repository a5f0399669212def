//! The main job: frames in; detections, triggers, durable events and redacted pictures out.
//!
//! ```text
//!   capture thread        caller's thread                          recorder thread              a thread a sink
//!   Source ─▶ frames ─▶ Detector ─▶ rules and pins ─▶ outbox ─▶ log (durable) ─▶ redact ─▶ pictures ─▶ print, ...
//!      ▲                                ▲                                           │
//!      │                                └── dead-man thread: deadlines              │
//!      └──────────────────────────── pool of frames ◀───────────────────────────────┘
//! ```
//!
//! * Every queue is bounded and every wait has a deadline.
//! * A live source never waits: the newest frame wins, and what was dropped is counted. A replay is
//!   read at the pace of the detector, and nothing of it is dropped.
//! * The pin changes on the detector's thread, before anything is logged, stored or printed.
//! * Without a frame for `stall_ms` the pin is safe, whatever the other threads do: see [`deadman`].
//! * Frames circulate in bounded memory: after the first ones no picture buffer is made.
//! * When the pipeline ends, for whatever reason, every output takes its safe level first.
//! * A thread that panics ends the run, in order and with a record of it where that is possible.

mod actuate;
mod capture;
pub mod deadman;
mod inputs;
mod liveness;
mod outbox;
pub mod pool;
mod record;
mod recycle;
mod report;
mod source_state;
mod stamp;
mod tell;
mod watcher;

#[cfg(test)]
mod deadman_tests;
#[cfg(test)]
mod inputs_tests;
#[cfg(test)]
mod liveness_tests;
#[cfg(test)]
mod privacy_tests;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use actuate::{Firing, RuleRunner};
pub use deadman::DeadMan;
pub use record::{Recorder, RecorderError};
pub use report::{Observer, PipelineError, RecordReport, Report, RuleReport, Seen};

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use lapwing_firmware::event::Event;
use lapwing_firmware::linux::Watchdogs;

use crate::pins::Input;
use crate::privacy::Regions;
use crate::queue::{self, Queue};
use capture::Capture;
use inputs::Inputs;
use lapwing_camera::clock::{Clock, Mono};
use lapwing_camera::frame::Frame;
use lapwing_camera::{Source, SourceError};
use lapwing_vision::detect::{DETECTIONS_MAX, DetectOptions, Detection, Detector};
use liveness::Liveness;
use outbox::Outbox;
use pool::Pool;
use recycle::Recycle;
use source_state::SourceState;
use stamp::WallClock;
use watcher::{Around, Counts, Looker, Watcher};

/// Frames that exist: one being captured, one waiting, one being looked at, and those that the recorder has.
const FRAMES: usize = 3 + RECORDING_MAX;
/// Frames that wait for the detector.
const WAITING_MAX: usize = 1;
/// Frames that the recorder has, waiting or being recorded.
const RECORDING_MAX: usize = 3;
/// Messages that wait for the recorder, with or without a frame.
const MESSAGES_MAX: usize = 256;
/// Longest sleep of a thread that lets time pass.
const TICK: Duration = Duration::from_millis(20);
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
    pub times: lapwing_vision::detect::StageTimes,
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

/// Everything the main job needs.
pub struct Pipeline<'a> {
    /// Where frames come from.
    pub source: Box<dyn Source>,
    /// What looks at them.
    pub detector: Detector,
    /// How detections are chosen.
    pub options: DetectOptions,
    /// Detections below this score serve to hide and for nothing else.
    pub shown_score_min: f32,
    /// What acts, with the lines that it drives.
    pub rules: Arc<DeadMan>,
    /// What arms and fires rules, by the indices that the rules know.
    pub inputs: Vec<Input>,
    /// What bites unless frames are looked at.
    pub watchdogs: Watchdogs,
    /// What remembers.
    pub recorder: Recorder,
    /// The time.
    pub clock: &'a dyn Clock,
    /// A live frame that is older than this when it has been looked at is stale, in microseconds.
    pub stale_us: u64,
    /// Stop after this many frames.
    pub frames_max: Option<u64>,
}

/// Ends the other threads when the detector's ends.
struct Ending<'a> {
    shared: &'a Shared,
    captured: &'a Queue<Captured>,
    messages: &'a Queue<Message>,
    rules: &'a DeadMan,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.captured.close();
        self.messages.close();
        self.rules.wake();
    }
}

/// The first thread that panicked.
#[derive(Debug, Default)]
struct Panics(Option<&'static str>);

impl Panics {
    fn note(&mut self, name: &'static str, ended: &std::thread::Result<()>) {
        if ended.is_err() {
            self.0.get_or_insert(name);
        }
    }
}

impl Pipeline<'_> {
    /// Runs until the source ends, `frames_max` is reached, `stop` is set, or a thread panics.
    ///
    /// # Errors
    /// The system has no thread for it; every output is then safe.
    pub fn run(self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Report, PipelineError> {
        let shared = Shared::default();
        let captured = Queue::new(WAITING_MAX);
        let pool = Pool::new(FRAMES);
        let boxes = Queue::new(RECORDING_MAX + 1);
        for _ in 0..=RECORDING_MAX {
            let _ = boxes.push_newest(Box::default()); // has room
        }
        let messages = Queue::new(MESSAGES_MAX);
        let recycle = Recycle { pool: &pool, boxes: &boxes, shared: &shared };
        let outbox = Outbox::new(&messages, recycle);
        let (rules, clock, pacing) = (&*self.rules, self.clock, self.source.pacing());
        let (source, recorder) = (self.source, self.recorder);
        let classes = self.detector.manifest().classes.names.clone();
        let around = Around { clock, pacing, stop, rules, outbox: &outbox, recycle, shared: &shared };
        let looker = Looker {
            detector: self.detector,
            options: self.options,
            shown_score_min: self.shown_score_min,
            cover: recorder.cover(),
        };
        let mut watcher = Watcher {
            around,
            looker,
            inputs: Inputs::new(self.inputs, rules, &outbox, clock),
            liveness: Liveness::new(self.watchdogs, &outbox),
            source: SourceState::new(clock, &outbox, &shared, self.stale_us),
            wall_clock: WallClock::default(),
            counts: Counts::default(),
            last: Mono::default(),
        };
        std::thread::scope(|scope| {
            let ending = Ending { shared: &shared, captured: &captured, messages: &messages, rules };
            let dead_man = deadman::Run { clock, pacing, stop, ended: &shared.stop, outbox: &outbox };
            let dead_man = spawn(scope, "dead-man", move || rules.watch(&dead_man))?;
            let capture = Capture { pacing, captured: &captured, pool: &pool, clock, shared: &shared };
            let record = || recorder.run(&messages, recycle, observer, &classes, clock, pacing);
            let recording = spawn(scope, "recorder", record)?;
            let capturing = spawn(scope, "camera", move || capture.run(source))?;
            let mut panics = Panics::default();
            let frames_max = self.frames_max;
            panics.note("detector", &catch_unwind(AssertUnwindSafe(|| watcher.run(&captured, frames_max))));
            panics.note("detector", &catch_unwind(AssertUnwindSafe(|| watcher.end())));
            let summary = summary(&watcher);
            drop(ending);
            panics.note("camera", &capturing.join());
            panics.note("dead-man", &dead_man.join());
            let record =
                recording.join().unwrap_or_else(|_| RecordReport { panicked: true, ..RecordReport::default() });
            Ok(Report { record, panicked: panics.0, ..summary })
        })
    }
}

/// A thread of the run, by name.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, PipelineError> {
    let spawned: io::Result<_> = Builder::new().name(name.into()).spawn_scoped(scope, work);
    spawned.map_err(|cause| PipelineError { name, cause })
}

fn summary(watcher: &Watcher<'_>) -> Report {
    let Around { outbox, shared, rules, .. } = watcher.around;
    let (messages_lost, frames_untold) = outbox.counts();
    let (source_lost, frames_stale) = watcher.source.counts();
    Report {
        frames: watcher.counts.frames,
        frames_dropped: shared.frames_dropped.load(Ordering::Relaxed),
        frames_damaged: shared.frames_damaged.load(Ordering::Relaxed),
        broken: shared.broken.load(Ordering::Relaxed) + watcher.counts.failed,
        frames_untold,
        frames_stale,
        source_lost,
        messages_lost,
        first_detection_us: watcher.counts.first_detection.map(Mono::us),
        rules: rules.reports(),
        ..Report::default()
    }
}
