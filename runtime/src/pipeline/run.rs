//! The threads of a run: how they begin, and how they end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use lapwing_firmware::linux::Watchdogs;

use super::capture::Capture;
use super::deadman::{self, DeadMan};
use super::inputs::Inputs;
use super::liveness::Liveness;
use super::message::{Captured, FRAMES, MESSAGES_MAX, Message, RECORDING_MAX, Shared, WAITING_MAX};
use super::outbox::Outbox;
use super::pool::Pool;
use super::record::Recorder;
use super::recycle::Recycle;
use super::report::{Observer, PipelineError, RecordReport, Report};
use super::source_state::SourceState;
use super::stamp::WallClock;
use super::watcher::{Around, Counts, Looker, Watcher};
use crate::pins::Input;
use crate::queue::Queue;
use lapwing_camera::Source;
use lapwing_camera::clock::{Clock, Mono};
use lapwing_vision::detect::{DetectOptions, Detector};

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
            let dead_man = spawn(scope, "dead-man", move || {
                let died = catch_unwind(AssertUnwindSafe(|| rules.watch(&dead_man)));
                if let Err(panic) = died {
                    // nobody holds the deadline any more: no line may be on, whoever holds the rules, and the run ends
                    rules.make_safe();
                    rules.stand_down(dead_man.clock.mono().us(), dead_man.clock, dead_man.outbox);
                    dead_man.stop.store(true, Ordering::SeqCst);
                    std::panic::resume_unwind(panic);
                }
            })?;
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
