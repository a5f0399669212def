//! The detector's thread: looks at frames, has the rules act on them, and hands them on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapwing_firmware::event::{Event, EventKind};

use super::deadman::DeadMan;
use super::inputs::Inputs;
use super::liveness::Liveness;
use super::message::{Captured, Events, SeenFrame, Shared, TICK};
use super::outbox::Outbox;
use super::recycle::Recycle;
use super::source_state::SourceState;
use super::stamp::{WallClock, about_frame, latency_us, stamp};
use crate::privacy::Cover;
use crate::queue::{Pop, Queue};
use lapwing_camera::Pacing;
use lapwing_camera::clock::{Clock, Mono};
use lapwing_camera::frame::Frame;
use lapwing_vision::detect::{DetectOptions, Detection, Detector};

/// What looks at a frame, and what follows from it for privacy.
pub(super) struct Looker {
    pub detector: Detector,
    pub options: DetectOptions,
    /// Detections below this score serve to hide and for nothing else.
    pub shown_score_min: f32,
    pub cover: Cover,
}

/// What this thread shares with the others.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub clock: &'a dyn Clock,
    pub pacing: Pacing,
    pub stop: &'a AtomicBool,
    pub rules: &'a DeadMan,
    pub outbox: &'a Outbox<'a>,
    pub recycle: Recycle<'a>,
    pub shared: &'a Shared,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Frames that were taken up.
    pub frames: u64,
    /// Frames that the detector failed on.
    pub failed: u64,
    pub first_detection: Option<Mono>,
}

/// The detector's thread.
pub(super) struct Watcher<'a> {
    pub around: Around<'a>,
    pub looker: Looker,
    pub inputs: Inputs<'a>,
    pub liveness: Liveness<'a>,
    pub source: SourceState<'a>,
    pub wall_clock: WallClock,
    pub counts: Counts,
    /// The rules' time of the last frame that was looked at.
    pub last: Mono,
}

impl Watcher<'_> {
    /// Works until the source ends, `frames_max` is reached, the run is to stop, or nobody records any more.
    pub(super) fn run(&mut self, captured: &Queue<Captured>, frames_max: Option<u64>) {
        self.tell_run(EventKind::Started);
        self.look_at_the_clock(); // what is set from now on is told
        self.inputs.apply_levels(self.around.clock.mono());
        self.liveness.up();
        while !self.is_over() && frames_max.is_none_or(|max| self.counts.frames < max) {
            let (around, last) = (self.around, self.last);
            self.inputs.take_edges(|| around.now(last));
            match captured.pop(TICK) {
                Pop::Item(Captured::Frame(frame, at)) => self.frame(frame, at),
                Pop::Item(Captured::Broken(error)) => {
                    self.around.shared.broken.fetch_add(1, Ordering::Relaxed);
                    self.around.outbox.trouble(error.to_string());
                    self.around.let_time_pass();
                }
                Pop::Item(Captured::Lost(error, at)) => {
                    self.source.is_lost(&error, at);
                    self.around.let_time_pass();
                }
                Pop::Timeout => {}
                Pop::Closed => break,
            }
            self.look_at_the_clock();
        }
    }

    /// Safe levels first, then the record of it.
    pub(super) fn end(&mut self) {
        let Around { clock, outbox, rules, .. } = self.around;
        rules.stand_down(self.last.us(), clock, outbox);
        let mut events = Events::new();
        self.source.add_dropped(&mut events);
        outbox.events(events);
        self.tell_run(EventKind::Stopped);
        self.liveness.down();
    }

    fn is_over(&self) -> bool {
        self.around.stop.load(Ordering::SeqCst) || self.around.outbox.is_closed()
    }

    fn look_at_the_clock(&mut self) {
        if let Some(event) = self.wall_clock.was_set(self.around.clock) {
            let mut events = Events::new();
            let _ = events.push(event); // the first
            self.around.outbox.events(events);
        }
    }

    fn frame(&mut self, frame: Frame, at: Mono) {
        let Around { clock, outbox, .. } = self.around;
        self.counts.frames += 1;
        self.source.is_there(at);
        if let Err(error) = self.looker.detector.detect(&frame, &self.looker.options) {
            // nobody has looked: to rules and watchdogs no frame came, and nothing of it is kept
            self.counts.failed += 1;
            let what = format!("{}: {error}", frame.name());
            self.around.recycle.frame(frame);
            return outbox.trouble(what);
        }
        let now = self.around.now(Mono::from_us(frame.captured_us));
        self.last = now;
        // of a live source the frame's own time counts, not when it was handed over
        let live = self.around.pacing == Pacing::Live;
        let from = if live { Mono::from_us(frame.captured_us).min(at) } else { at };
        let age_us = if live { now.since_us(from) } else { 0 };
        let stale_us = self.source.staleness(age_us);
        let fired = self.act(&frame, (now, from, age_us), stale_us.is_some());
        self.liveness.looked(clock.mono());
        let detections = self.looker.detector.detections();
        if self.counts.first_detection.is_none() && !detections.is_empty() {
            self.counts.first_detection = Some(clock.mono());
        }
        let mut kept = heapless::Vec::new();
        let _ = kept.extend_from_slice(detections); // never more than DETECTIONS_MAX
        let shown = kept.iter().take_while(|d: &&Detection| d.score >= self.looker.shown_score_min).count();
        let regions = self.looker.cover.regions(now.us(), detections, frame.width(), frame.height());
        let times = self.looker.detector.times();
        self.hand_on(SeenFrame { frame, detections: kept, shown, regions, times, fired, stale_us });
    }

    /// The rules decide on what the detector saw, and drive their lines; then that is told. True if one fired.
    fn act(&mut self, frame: &Frame, (now, from, age_us): (Mono, Mono, u64), stale: bool) -> bool {
        let Around { clock, outbox, rules, .. } = self.around;
        let (detections, px) = (self.looker.detector.detections(), (frame.width(), frame.height()));
        let mut fired = false;
        rules.looked(clock.mono(), |rules| {
            let mut events = Events::new();
            for rule in rules {
                // frames that stalled before this one are told on their own; the frame may fire anew
                if let Some(firing) = rule.tick(now.us()) {
                    let _ = events.push(stamp(firing.event(), clock)); // two a rule: has room
                }
                if let Some(firing) = rule.observe(now.us(), age_us, detections, px) {
                    fired |= firing.kind == EventKind::Fired;
                    let event = stamp(firing.event(), clock);
                    let latency_us = latency_us(from, Mono::from_us(event.mono_us));
                    let mut event = about_frame(event, frame, latency_us);
                    if stale {
                        event.flags |= Event::STALE;
                    }
                    let _ = events.push(event); // two a rule: has room
                }
            }
            if !events.is_empty() {
                self.source.add_dropped(&mut events);
            }
            outbox.events(events);
        });
        fired
    }

    /// The recorder gets the frame; of a replay it gets every one.
    fn hand_on(&mut self, seen: SeenFrame) {
        let outbox = self.around.outbox;
        while self.around.pacing == Pacing::OnDemand && !outbox.has_room() && !self.is_over() {
            std::thread::sleep(Duration::from_micros(500));
        }
        outbox.frame(seen);
    }

    fn tell_run(&mut self, kind: EventKind) {
        let mut events = Events::new();
        let _ = events.push(stamp(Event { kind, ..Event::default() }, self.around.clock)); // the first
        self.around.outbox.events(events);
    }
}

impl Around<'_> {
    /// Failures without a pause pass time too, and are faster than the dead-man sleeps.
    fn let_time_pass(&self) {
        if self.pacing == Pacing::Live {
            self.rules.let_time_pass(self.clock, self.outbox);
        }
    }

    /// The rules' time: of a live source the clock's, of a replay that of its frames.
    fn now(&self, frame: Mono) -> Mono {
        match self.pacing {
            Pacing::Live => self.clock.mono(),
            Pacing::OnDemand => frame,
        }
    }
}
