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
mod capture;
pub mod queue;
mod record;
mod report;

#[cfg(test)]
mod privacy_tests;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use actuate::{Firing, RuleRunner};
pub use record::{Recorder, RecorderError};
pub use report::{Observer, RecordReport, Report, RuleReport, Seen};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lapwing_firmware::event::{Event, EventKind};

use crate::camera::{Pacing, Source, SourceError};
use crate::clock::{Clock, WALL_VALID_FROM_US};
use crate::detect::{DETECTIONS_MAX, DetectError, DetectOptions, Detection, Detector};
use crate::frame::Frame;
use crate::privacy::{Cover, Regions};
use queue::{Pop, Queue, Refused};

/// Frames that exist: one being captured, one waiting, one being looked at, two being recorded.
const FRAMES: usize = 5;
/// Frames that wait for the detector.
const WAITING_MAX: usize = 1;
/// Frames that wait for the recorder.
const RECORDING_MAX: usize = 1;
/// Messages that wait for the recorder, with or without a frame.
const MESSAGES_MAX: usize = 256;
/// Longest wait before the rules are told the time.
const TICK: Duration = Duration::from_millis(20);
/// Most events of one frame: a hold that ended and a firing for each rule, one for a source that is back, and one for
/// dropped frames.
pub const EVENTS_PER_FRAME_MAX: usize = 2 * crate::rules::RULES_MAX + 2;

/// What one frame brings to the recorder.
pub(crate) type Events = heapless::Vec<Event, EVENTS_PER_FRAME_MAX>;

/// What the capture thread hands over.
pub(crate) enum Captured {
    /// A frame, and when it was taken, in the clock's microseconds.
    Frame(Frame, u64),
    /// One input could not be used; the source goes on.
    Broken(SourceError),
    /// The source is gone and may come back.
    Lost(SourceError),
}

/// What the detector's thread hands to the recorder.
pub(crate) struct Message {
    pub events: Events,
    pub about: About,
}

pub(crate) enum About {
    /// A frame with what was seen in it.
    Frame(Box<SeenFrame>),
    /// A failure to be told to the user.
    Trouble(String),
    /// Events alone.
    Nothing,
}

pub(crate) struct SeenFrame {
    pub frame: Frame,
    /// Best first.
    pub detections: heapless::Vec<Detection, DETECTIONS_MAX>,
    /// How many of them reach the threshold that people and rules see; the others only hide.
    pub shown: usize,
    /// What is to be hidden, of them and of the frames before.
    pub regions: Regions,
    pub times: crate::detect::StageTimes,
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
        let messages = Queue::new(MESSAGES_MAX);
        let pacing = self.source.pacing();
        let cover = self.recorder.cover(pacing);
        let (source, recorder, clock) = (self.source, self.recorder, self.clock);
        let classes = self.detector.manifest().classes.names.clone();
        std::thread::scope(|scope| {
            let (shared, captured, free, messages) = (&shared, &captured, &free, &messages);
            scope.spawn(move || capture::run(source, pacing, captured, free, clock, shared));
            let recording = scope.spawn(move || recorder.run(messages, free, observer, &classes, clock, pacing));
            let ending = Ending { shared, captured, messages };
            let mut watcher = Watcher {
                detector: self.detector,
                options: self.options,
                shown_score_min: self.shown_score_min,
                stop,
                rules: std::mem::take(&mut self.rules),
                cover,
                clock,
                pacing,
                messages,
                free,
                shared,
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

/// The source is gone.
struct Away {
    /// In the clock's microseconds.
    since_us: u64,
    /// What was told last.
    told: String,
}

/// The detector's thread: looks, acts, and hands on.
struct Watcher<'a> {
    detector: Detector,
    options: DetectOptions,
    shown_score_min: f32,
    stop: &'a AtomicBool,
    rules: Vec<RuleRunner>,
    cover: Cover,
    clock: &'a dyn Clock,
    pacing: Pacing,
    messages: &'a Queue<Message>,
    free: &'a Queue<Frame>,
    shared: &'a Shared,
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
        while !self.stopped() && self.frames_max.is_none_or(|max| self.frames < max) {
            match captured.pop(TICK) {
                Pop::Item(Captured::Frame(frame, at_us)) => self.frame(frame, at_us),
                Pop::Item(Captured::Broken(error)) => {
                    self.shared.broken.fetch_add(1, Ordering::Relaxed);
                    self.trouble(Events::new(), error.to_string());
                    self.tick();
                }
                Pop::Item(Captured::Lost(error)) => {
                    self.source_lost(&error);
                    self.tick();
                }
                Pop::Timeout => self.tick(),
                Pop::Closed => break,
            }
        }
        self.stand_down();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Time passes without a frame. A replay has no time of its own between frames.
    fn tick(&mut self) {
        if self.pacing == Pacing::Live {
            let now_us = self.clock.mono_us();
            let mut events = Events::new();
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
            self.give_back(frame);
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
        let stale_us = self.staleness(at_us);
        let mut events = Events::new();
        if let Some(away) = self.source_away.take() {
            let ms = self.clock.mono_us().saturating_sub(away.since_us) / 1000;
            let value = u32::try_from(ms).unwrap_or(u32::MAX);
            let _ = events.push(stamp(Event { kind: EventKind::SourceBack, value, ..Event::default() }, self.clock));
        }
        let mut fired = false;
        for rule in &mut self.rules {
            // a hold that ended before this frame is told on its own; the frame may fire anew
            if let Some(firing) = rule.tick(now_us) {
                let _ = events.push(stamp(firing.event(), self.clock));
            }
            if let Some(firing) = rule.observe(now_us, self.detector.detections(), frame.width(), frame.height()) {
                fired |= firing.kind == EventKind::Fired;
                let latency_us = u32::try_from(self.clock.mono_us().saturating_sub(at_us)).unwrap_or(u32::MAX);
                let mut event = about_frame(stamp(firing.event(), self.clock), &frame, latency_us);
                if stale_us.is_some() {
                    event.flags |= Event::STALE;
                }
                let _ = events.push(event); // two a rule: has room
            }
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

    /// The age of a live frame taken at `at_us`, if it is past its deadline. A replay's frames are never late.
    fn staleness(&mut self, at_us: u64) -> Option<u64> {
        let age_us = self.clock.mono_us().saturating_sub(at_us);
        let stale = self.pacing == Pacing::Live && age_us > self.stale_us;
        self.stale += u64::from(stale);
        stale.then_some(age_us)
    }

    /// The recorder gets the frame, unless it is busy with others and the source is live.
    fn hand_on(&mut self, events: Events, seen: SeenFrame) {
        let room = || self.messages.len() <= RECORDING_MAX;
        if self.pacing == Pacing::Live && !room() {
            self.untold += 1;
            self.give_back(seen.frame);
            if !events.is_empty() {
                self.send(Message { events, about: About::Nothing });
            }
            return;
        }
        while !room() && !self.stopped() {
            std::thread::sleep(Duration::from_micros(500));
        }
        self.send(Message { events, about: About::Frame(Box::new(seen)) });
    }

    fn give_back(&self, frame: Frame) {
        let _ = self.free.push_newest(frame); // the queue holds every frame there is
    }

    fn trouble(&mut self, events: Events, what: String) {
        self.send(Message { events, about: About::Trouble(what) });
    }

    /// A source that stays away is told once, and again when there is another reason for it.
    fn source_lost(&mut self, error: &SourceError) {
        let why = error.to_string();
        let mut events = Events::new();
        if let Some(away) = &mut self.source_away {
            if away.told != why {
                away.told.clone_from(&why);
                self.trouble(events, why);
            }
            return;
        }
        self.source_away = Some(Away { since_us: self.clock.mono_us(), told: why.clone() });
        self.source_lost += 1;
        let _ = events.push(stamp(Event { kind: EventKind::SourceLost, ..Event::default() }, self.clock));
        self.trouble(events, why);
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
            if let About::Frame(seen) = message.about {
                self.give_back(seen.frame);
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

/// Puts the time on an event.
fn stamp(event: Event, clock: &dyn Clock) -> Event {
    let wall_us = clock.wall_us();
    let flags = if wall_us >= WALL_VALID_FROM_US { event.flags | Event::WALL_VALID } else { event.flags };
    Event { mono_us: clock.mono_us(), wall_us, flags, ..event }
}

/// Puts the frame on an event; boxes become fractions of it.
fn about_frame(event: Event, frame: &Frame, latency_us: u32) -> Event {
    Event {
        frame_seq: frame.seq,
        latency_us,
        frame_width_px: u16::try_from(frame.width()).unwrap_or(u16::MAX),
        frame_height_px: u16::try_from(frame.height()).unwrap_or(u16::MAX),
        ..event
    }
}
