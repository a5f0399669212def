//! A rule with its line: what is seen becomes a level on a pin.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::trigger::{Output, OutputWish, Rule, RuleError, Step, Transition};

use super::report::RuleReport;
use crate::config::BoundRule;
use crate::pins::{Line, LineError};
use crate::rules::{Sighting, Watch};
use lapwing_vision::detect::Detection;

/// A line that its rule drives, and that somebody else may make safe at any time.
pub(super) type SharedOutput = Arc<Mutex<Output<Line>>>;

/// One rule: what it watches, its state machine, its output.
pub struct RuleRunner {
    index: u16,
    watch: Watch,
    machine: Rule,
    output: SharedOutput,
    /// The line refused the last write, which was told.
    refuses: bool,
    simulated: bool,
    stall_us: u64,
    /// Inputs that arm and fire it.
    armed_by: Option<usize>,
    fired_by: Option<usize>,
    seen: Sighting,
    frame_px: (u32, u32),
    report: RuleReport,
}

/// A rule changed its state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Firing {
    /// What happened.
    pub kind: EventKind,
    rule: u16,
    seen: Sighting,
    frame_px: (u32, u32),
    simulated: bool,
}

impl RuleRunner {
    /// Makes the rule and drives its line to the safe level.
    pub fn new(index: u16, rule: &BoundRule, line: Line) -> Result<RuleRunner, RuleError> {
        let report = RuleReport { name: rule.watch.name.clone(), ..RuleReport::default() };
        let simulated = line.is_simulated();
        let output = Output::new(line, rule.polarity);
        let machine = Rule::new(rule.trigger)?;
        Ok(RuleRunner {
            index,
            watch: rule.watch.clone(),
            machine,
            output: Arc::new(Mutex::new(output)),
            refuses: false,
            simulated,
            stall_us: u64::from(rule.trigger.stall_ms) * 1000,
            armed_by: rule.armed_by,
            fired_by: rule.fired_by,
            seen: Sighting::default(),
            frame_px: (0, 0),
            report,
        })
    }

    /// The rule's name.
    pub fn name(&self) -> &str {
        &self.watch.name
    }

    /// A frame of `age_us` was looked at: decides, and drives the line before it returns. To a rule a frame as old as its
    /// `stall_ms` is none.
    pub fn observe(&mut self, now_us: u64, age_us: u64, detections: &[Detection], px: (u32, u32)) -> Option<Firing> {
        if age_us >= self.stall_us {
            return self.tick(now_us);
        }
        let (width, height) = px;
        self.seen = self.watch.look(detections, width, height);
        self.frame_px = (width, height);
        let step = self.machine.observe(now_us, self.seen.count);
        self.act(step)
    }

    /// Time passed without a frame. That alone turns no line on: one that was made safe stays so until a frame is looked
    /// at.
    pub fn tick(&mut self, now_us: u64) -> Option<Firing> {
        self.seen = Sighting::default();
        let step = self.machine.tick(now_us);
        if step.transition.is_none() && step.output == OutputWish::On && !self.is_on() {
            return None;
        }
        self.act(step)
    }

    /// An input became active or inactive: what the rule was armed or disarmed by, and fired by.
    pub fn hear(&mut self, input: usize, active: bool, now_us: u64) -> [Option<Firing>; 2] {
        let mut firings = [None, None];
        self.seen = Sighting::default();
        if self.armed_by == Some(input) {
            let step = if active { self.machine.arm(now_us) } else { self.machine.disarm(now_us) };
            firings[0] = self.act(step);
        }
        if self.fired_by == Some(input) && active {
            let step = self.machine.trigger(now_us);
            firings[1] = self.act(step);
        }
        firings
    }

    /// The line takes its safe level and the rule ends.
    pub fn stand_down(&mut self, now_us: u64) -> Option<Firing> {
        self.make_safe();
        self.seen = Sighting::default();
        let step = self.machine.disarm(now_us);
        self.act(step)
    }

    /// The line takes its safe level, whatever the rule says; the next frame that is looked at decides anew.
    pub(super) fn make_safe(&mut self) {
        let driven = lock(&self.output).fail_safe();
        self.note(driven.err());
    }

    /// The line, for somebody who may not wait for its rule.
    pub(super) fn output(&self) -> SharedOutput {
        Arc::clone(&self.output)
    }

    /// True unless the line is known to be at its safe level.
    pub(super) fn is_on(&self) -> bool {
        lock(&self.output).driven() != Some(OutputWish::Off)
    }

    /// True if no wire leaves its line.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// When the rule wants to be told the time at the latest, in microseconds; `None`: time changes nothing.
    pub(super) fn deadline_us(&self) -> Option<u64> {
        self.machine.deadline_us()
    }

    /// How long the line may stay on without a frame, in microseconds.
    pub(super) fn stall_us(&self) -> u64 {
        self.stall_us
    }

    /// Counts what a line refused. Told once until it works again: a dead line is tried again with every frame.
    fn note(&mut self, refused: Option<LineError>) {
        let Some(error) = refused else {
            self.refuses = false;
            return;
        };
        self.report.pin_errors += 1;
        if !std::mem::replace(&mut self.refuses, true) {
            log::error!("rule {:?}: {error}; check the wiring and the line's owner", self.watch.name);
        }
    }

    fn act(&mut self, step: Step) -> Option<Firing> {
        // the pin first; everything else afterwards
        let driven = lock(&self.output).set(step.output);
        self.note(driven.err());
        let kind = match step.transition? {
            Transition::Fired => EventKind::Fired,
            Transition::Released => EventKind::Released,
            Transition::Failsafe => EventKind::Failsafe,
            Transition::Armed => EventKind::Armed,
            Transition::Disarmed => EventKind::Disarmed,
        };
        match kind {
            EventKind::Fired => self.report.fired += 1,
            EventKind::Released => self.report.released += 1,
            _ => {}
        }
        Some(Firing { kind, rule: self.index, seen: self.seen, frame_px: self.frame_px, simulated: self.simulated })
    }

    pub(super) fn report(&self) -> RuleReport {
        self.report.clone()
    }
}

/// A panic elsewhere leaves an output as it is: its level and what is known of it change together.
fn lock(output: &SharedOutput) -> MutexGuard<'_, Output<Line>> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Firing {
    /// The event to be recorded; the caller adds time and frame.
    pub fn event(&self) -> Event {
        let mut event = Event { kind: self.kind, rule: self.rule, count: self.seen.count, ..Event::default() };
        if self.simulated {
            event.flags |= Event::SIMULATED_PIN;
        }
        if let Some(best) = self.seen.best {
            event.class = best.class;
            event.score = fraction(best.score);
            let (w, h) = (self.frame_px.0.max(1) as f32, self.frame_px.1.max(1) as f32);
            let b = best.bounds;
            event.bounds = [fraction(b[0] / w), fraction(b[1] / h), fraction(b[2] / w), fraction(b[3] / h)];
        }
        event
    }
}

/// A number in 0..=1 as 0..=65535.
fn fraction(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 65535.0).round() as u16
}
