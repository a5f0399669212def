//! A rule with its line: what is seen becomes a level on a pin.

use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::trigger::{Output, Rule, RuleError, Step, Transition};

use super::report::RuleReport;
use crate::config::BoundRule;
use crate::pins::Line;
use crate::rules::{Sighting, Watch};
use lapwing_vision::detect::Detection;

/// One rule: what it watches, its state machine, its output.
pub struct RuleRunner {
    index: u16,
    watch: Watch,
    machine: Rule,
    output: Output<Line>,
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
        let output = Output::new(line, rule.polarity);
        let machine = Rule::new(rule.trigger)?;
        Ok(RuleRunner {
            index,
            watch: rule.watch.clone(),
            machine,
            output,
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

    /// Time passed without a frame.
    pub fn tick(&mut self, now_us: u64) -> Option<Firing> {
        self.seen = Sighting::default();
        let step = self.machine.tick(now_us);
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
        if let Err(error) = self.output.fail_safe() {
            self.report.pin_errors += 1;
            log::error!("rule {:?}: {error}; check the wiring and the line's owner", self.watch.name);
        }
        self.seen = Sighting::default();
        let step = self.machine.disarm(now_us);
        self.act(step)
    }

    fn act(&mut self, step: Step) -> Option<Firing> {
        // the pin first; everything else afterwards
        if let Err(error) = self.output.set(step.output) {
            self.report.pin_errors += 1;
            log::error!("rule {:?}: {error}; check the wiring and the line's owner", self.watch.name);
        }
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
        let simulated = self.output.pin().is_simulated();
        Some(Firing { kind, rule: self.index, seen: self.seen, frame_px: self.frame_px, simulated })
    }

    pub(super) fn into_report(self) -> RuleReport {
        self.report
    }
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
