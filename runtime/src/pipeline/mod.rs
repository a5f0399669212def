//! The main job: frames in; detections, triggers, durable events and redacted pictures out.
//!
//! ```text
//!   capture thread          caller's thread                       recorder thread
//!   Source ─▶ frames ─▶ Detector ─▶ rules ─▶ pins ─▶ seen ─▶ log (durable) ─▶ redact ─▶ pictures
//!      ▲                                                                              │
//!      └────────────────────────── free frames ◀──────────────────────────────────────┘
//! ```
//!
//! * Every queue is bounded and every wait has a deadline.
//! * A live source never waits: the newest frame wins, and what was dropped is counted. A replay is
//!   read at the pace of the detector, and nothing of it is dropped.
//! * The pin changes on the detector's thread, before anything is logged, stored or printed.
//! * Frames circulate: after the first ones no picture buffer is made.
//! * When the pipeline ends, for whatever reason, every output takes its safe level first.

mod actuate;
mod alive;
mod away;
mod back;
mod capture;
mod hear;
pub mod queue;
mod record;
mod report;
mod stamp;

#[cfg(test)]
mod alive_tests;
#[cfg(test)]
mod hear_tests;
#[cfg(test)]
mod privacy_tests;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use actuate::{Firing, RuleRunner};
pub use record::{Recorder, RecorderError};
pub use report::{Observer, RecordReport, Report, RuleReport, Seen};

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::Watchdogs;

use crate::pins::Input;
use crate::privacy::{Cover, Regions};
use away::Away;
use back::Back;
use hear::Ear;
use lapwing_camera::clock::Clock;
use lapwing_camera::frame::Frame;
use lapwing_camera::{Pacing, Source, SourceError};
use lapwing_vision::detect::{DETECTIONS_MAX, DetectError, DetectOptions, Detection, Detector};
use queue::{Pop, Queue, Refused};
use stamp::{about_frame, stamp};

/// Frames that exist: one being captured, one waiting, one being looked at, and those that the recorder has.
const FRAMES: usize = 3 + RECORDING_MAX;
/// Frames that wait for the detector.
const WAITING_MAX: usize = 1;
/// Frames that the recorder has, waiting or being recorded.
const RECORDING_MAX: usize = 3;
/// Messages that wait for the recorder, with or without a frame.
const MESSAGES_MAX: usize = 256;
/// Longest wait before the rules are told the time.
const TICK: Duration = Duration::from_millis(20);
/// Most events of one frame: a hold that ended and a firing for each rule, one for a source that is back, one for
/// dropped frames, and one for a clock that was set.
pub const EVENTS_PER_FRAME_MAX: usize = 2 * crate::rules::RULES_MAX + 3;

/// What one frame brings to the recorder.
pub(crate) type Events = heapless::Vec<Event, EVENTS_PER_FRAME_MAX>;

/// What the capture thread hands over.
pub(crate) enum Captured {
    /// A frame, and when it was taken, in the clock's microseconds.
    Frame(Frame, u64),
    /// One input could not be used; the source goes on.
    Broken(SourceError),
    /// The source is gone and may come back; since when, in the clock's microseconds.
    Lost(SourceError, u64),
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
    /// What acts.
    pub rules: Vec<RuleRunner>,
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

/// Ends the other threads when the detector's ends, by a panic too.
struct Ending<'a> {
    shared: &'a Shared,
    captured: &'a Queue<Captured>,
    messages: &'a Queue<Message>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.captured.close();
        self.messages.close();
    }
}

impl Pipeline<'_> {
    /// Runs until the source ends, `frames_max` is reached or `stop` is set.
    pub fn run(mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Report {
        let shared = Shared::default();
        let captured = Queue::new(WAITING_MAX);
        let free = Queue::new(FRAMES);
        for _ in 0..FRAMES {
            let _ = free.push_newest(Frame::new()); // has room: the queue holds FRAMES
        }
        let boxes = Queue::new(RECORDING_MAX + 1);
        for _ in 0..=RECORDING_MAX {
            let _ = boxes.push_newest(Box::default()); // has room
        }
        let messages = Queue::new(MESSAGES_MAX);
        let pacing = self.source.pacing();
        let cover = self.recorder.cover(pacing);
        let (source, recorder, clock) = (self.source, self.recorder, self.clock);
        let classes = self.detector.manifest().classes.names.clone();
        std::thread::scope(|scope| {
            let (shared, captured, free, messages) = (&shared, &captured, &free, &messages);
            let back = Back { free, boxes: &boxes, shared };
            scope.spawn(move || capture::run(source, pacing, captured, free, clock, shared));
            let recording = scope.spawn(move || recorder.run(messages, back, observer, &classes, clock, pacing));
            let ending = Ending { shared, captured, messages };
            let mut watcher = Watcher {
                detector: self.detector,
                options: self.options,
                shown_score_min: self.shown_score_min,
                stop,
                rules: std::mem::take(&mut self.rules),
                ears: std::mem::take(&mut self.inputs).into_iter().map(Ear::from).collect(),
                cover,
                clock,
                pacing,
                messages,
                back,
                shared,
                dogs: self.watchdogs,
                dog_told: false,
                wall_offset_us: None,
                frames: 0,
                dropped_told: 0,
                stale_us: self.stale_us,
                stale: 0,
                frames_max: self.frames_max,
                lost: 0,
                untold: 0,
                source_lost: 0,
                source_away: None,
                first_detection_us: None,
                failed: 0,
                last_us: 0,
            };
            watcher.run(captured);
            let summary = watcher.finish();
            drop(ending);
            let record =
                recording.join().unwrap_or_else(|_| RecordReport { panicked: true, ..RecordReport::default() });
            Report { record, ..summary }
        })
    }
}

/// The detector's thread: looks, acts, and hands on.
struct Watcher<'a> {
    detector: Detector,
    options: DetectOptions,
    shown_score_min: f32,
    stop: &'a AtomicBool,
    rules: Vec<RuleRunner>,
    ears: Vec<Ear>,
    cover: Cover,
    clock: &'a dyn Clock,
    pacing: Pacing,
    messages: &'a Queue<Message>,
    back: Back<'a>,
    shared: &'a Shared,
    dogs: Watchdogs,
    /// A failure of theirs was told.
    dog_told: bool,
    /// Wall clock less monotonic clock at the last look, in microseconds.
    wall_offset_us: Option<i64>,
    frames: u64,
    dropped_told: u64,
    stale_us: u64,
    /// Frames that were stale.
    stale: u64,
    frames_max: Option<u64>,
    /// Messages that the recorder had no room for.
    lost: u64,
    /// Frames that were looked at while the recorder was busy.
    untold: u64,
    /// Times the source went away.
    source_lost: u64,
    /// Since when it is gone, and what was told of it; `None`: it is there.
    source_away: Option<Away>,
    first_detection_us: Option<u64>,
    /// Frames that the detector failed on.
    failed: u64,
    last_us: u64,
}

impl Watcher<'_> {
    fn run(&mut self, captured: &Queue<Captured>) {
        self.tell_run(EventKind::Started);
        self.hear_levels();
        self.up();
        while !self.stopped() && self.frames_max.is_none_or(|max| self.frames < max) {
            self.hear();
            match captured.pop(TICK) {
                Pop::Item(Captured::Frame(frame, at_us)) => {
                    self.frame(frame, at_us);
                    self.alive();
                }
                Pop::Item(Captured::Broken(error)) => {
                    self.shared.broken.fetch_add(1, Ordering::Relaxed);
                    self.trouble(Events::new(), error.to_string());
                    self.tick();
                    self.alive();
                }
                Pop::Item(Captured::Lost(error, at_us)) => {
                    self.source_lost(&error, at_us);
                    self.tick();
                    self.alive();
                }
                Pop::Timeout => self.tick(),
                Pop::Closed => break,
            }
        }
        self.stand_down();
        self.down();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Time passes without a frame. A replay has no time of its own between frames.
    fn tick(&mut self) {
        if self.pacing == Pacing::Live {
            let now_us = self.clock.mono_us();
            let mut events = Events::new();
            if let Some(event) = self.clock_set() {
                let _ = events.push(event); // the first
            }
            for rule in &mut self.rules {
                if let Some(firing) = rule.tick(now_us) {
                    let _ = events.push(stamp(firing.event(), self.clock)); // one a rule: has room
                }
            }
            if !events.is_empty() {
                self.send(Message { events, about: About::Nothing });
            }
        }
    }

    fn frame(&mut self, frame: Frame, at_us: u64) {
        self.frames += 1;
        if let Err(error) = self.detector.detect(&frame, &self.options) {
            self.failed += 1;
            let what = format!("{}: {error}", frame.name());
            self.back.frame(frame);
            match error {
                DetectError::Input(_) | DetectError::Engine(_) => self.trouble(Events::new(), what),
            }
            return self.tick(); // nobody has looked: to the rules no frame came
        }
        let now_us = match self.pacing {
            Pacing::Live => self.clock.mono_us(),
            Pacing::OnDemand => frame.captured_us,
        };
        self.last_us = now_us;
        // of a live source the frame's own time counts, not when it was handed over
        let from_us = if self.pacing == Pacing::Live { frame.captured_us.min(at_us) } else { at_us };
        let age_us = if self.pacing == Pacing::Live { now_us.saturating_sub(from_us) } else { 0 };
        let px = (frame.width(), frame.height());
        let stale_us = self.staleness(age_us);
        let mut events = Events::new();
        if let Some(event) = self.source_back(at_us) {
            let _ = events.push(event); // has room
        }
        let mut fired = false;
        for rule in &mut self.rules {
            // a hold that ended before this frame is told on its own; the frame may fire anew
            if let Some(firing) = rule.tick(now_us) {
                let _ = events.push(stamp(firing.event(), self.clock));
            }
            if let Some(firing) = rule.observe(now_us, age_us, self.detector.detections(), px) {
                fired |= firing.kind == EventKind::Fired;
                let latency_us = u32::try_from(self.clock.mono_us().saturating_sub(from_us)).unwrap_or(u32::MAX);
                let mut event = about_frame(stamp(firing.event(), self.clock), &frame, latency_us);
                if stale_us.is_some() {
                    event.flags |= Event::STALE;
                }
                let _ = events.push(event); // two a rule: has room
            }
        }
        if let Some(event) = self.clock_set() {
            let _ = events.push(event); // has room
        }
        // told with other events, so that a slow board does not fill its log with drops
        if !events.is_empty() {
            self.tell_dropped(&mut events);
        }
        if self.first_detection_us.is_none() && !self.detector.detections().is_empty() {
            self.first_detection_us = Some(self.clock.mono_us());
        }
        let mut detections = heapless::Vec::new();
        let _ = detections.extend_from_slice(self.detector.detections()); // never more than DETECTIONS_MAX
        let regions = self.cover.regions(now_us, self.detector.detections(), frame.width(), frame.height());
        let shown = detections.iter().take_while(|d: &&Detection| d.score >= self.shown_score_min).count();
        self.hand_on(
            events,
            SeenFrame { frame, detections, shown, regions, times: self.detector.times(), fired, stale_us },
        );
    }

    /// The recorder gets the frame, unless it is busy with others and the source is live.
    fn hand_on(&mut self, events: Events, seen: SeenFrame) {
        let room = || self.shared.recording.load(Ordering::SeqCst) < RECORDING_MAX;
        while self.pacing == Pacing::OnDemand && !room() && !self.stopped() {
            std::thread::sleep(Duration::from_micros(500));
        }
        let mut empty = match self.back.boxes.pop(Duration::ZERO) {
            Pop::Item(empty) if room() => empty,
            unused => {
                if let Pop::Item(unused) = unused {
                    let _ = self.back.boxes.push_newest(unused);
                }
                self.untold += 1;
                self.back.frame(seen.frame);
                if !events.is_empty() {
                    self.send(Message { events, about: About::Nothing });
                }
                return;
            }
        };
        *empty = seen;
        self.shared.recording.fetch_add(1, Ordering::SeqCst);
        self.send(Message { events, about: About::Frame(empty) });
    }

    fn trouble(&mut self, events: Events, what: String) {
        self.send(Message { events, about: About::Trouble(what) });
    }

    fn tell_dropped(&mut self, events: &mut Events) {
        let dropped = self.shared.frames_dropped.load(Ordering::Relaxed);
        if dropped > self.dropped_told {
            let value = u32::try_from(dropped - self.dropped_told).unwrap_or(u32::MAX);
            let _ = events.push(stamp(Event { kind: EventKind::FramesDropped, value, ..Event::default() }, self.clock));
            self.dropped_told = dropped;
        }
    }

    fn tell_run(&mut self, kind: EventKind) {
        let mut events = Events::new();
        let _ = events.push(stamp(Event { kind, ..Event::default() }, self.clock));
        self.send(Message { events, about: About::Nothing });
    }

    /// Never waits for the recorder. When even [`MESSAGES_MAX`] messages wait, the oldest goes and is counted.
    fn send(&mut self, message: Message) {
        let refused = match self.messages.push_newest(message) {
            Ok(evicted) => evicted,
            Err(Refused::Full(back) | Refused::Closed(back)) => Some(back), // the recorder's thread panicked
        };
        if let Some(message) = refused {
            self.lost += 1;
            if let About::Frame(mut seen) = message.about {
                self.back.frame(std::mem::take(&mut seen.frame));
                self.back.recorded(seen);
            }
        }
    }

    /// Safe levels first, then the record of it.
    fn stand_down(&mut self) {
        let mut events = Events::new();
        for rule in &mut self.rules {
            if let Some(firing) = rule.stand_down(self.last_us) {
                let _ = events.push(stamp(firing.event(), self.clock)); // one a rule: has room
            }
        }
        self.tell_dropped(&mut events);
        if !events.is_empty() {
            self.send(Message { events, about: About::Nothing });
        }
        self.tell_run(EventKind::Stopped);
    }

    fn finish(self) -> Report {
        Report {
            frames: self.frames,
            frames_dropped: self.shared.frames_dropped.load(Ordering::Relaxed),
            frames_damaged: self.shared.frames_damaged.load(Ordering::Relaxed),
            broken: self.shared.broken.load(Ordering::Relaxed) + self.failed,
            frames_untold: self.untold,
            frames_stale: self.stale,
            source_lost: self.source_lost,
            messages_lost: self.lost,
            first_detection_us: self.first_detection_us,
            rules: self.rules.into_iter().map(RuleRunner::into_report).collect(),
            ..Report::default()
        }
    }
}
