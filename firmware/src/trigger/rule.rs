//! The rule's state machine: when an output goes on, how long it stays, when it may again.
//!
//! ```text
//! Disarmed ⇄ Armed ─match─▶ Confirming ─enough frames─▶ Active ─a frame without, hold over─▶ CoolDown ─over─▶ Armed
//!              ▲              │ a frame without              │
//!              └──────────────┘                              └─ no frame for stall_ms ─▶ Armed, safe
//! ```
//!
//! An active rule is released by what a frame shows and never by time alone: where frames take longer than `hold_ms`,
//! an object that stands still would otherwise fire the rule with every frame.
//!
//! It promises: the output is never wished on outside `Active`; every `Fired` is followed by exactly
//! one `Released`, `Failsafe` or `Disarmed` before the next; without a frame for `stall_ms` the output is wished off;
//! a clock that goes backwards is taken to stand still.

use super::{OutputWish, RuleConfig, RuleError};

/// Where a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not look.
    Disarmed,
    /// It looks.
    Armed,
    /// It has seen `frames` matching frames in a row.
    Confirming {
        /// Matching frames in a row.
        frames: u16,
    },
    /// It has fired.
    Active {
        /// When it fired, in microseconds.
        since_us: u64,
        /// The last match, in microseconds.
        matched_us: u64,
    },
    /// It was active and may not fire yet.
    CoolDown {
        /// When it may again, in microseconds.
        until_us: u64,
    },
}

/// What changed, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The rule became active.
    Fired,
    /// The rule is active no more.
    Released,
    /// The rule was active and frames stopped.
    Failsafe,
    /// The rule looks.
    Armed,
    /// The rule does not look.
    Disarmed,
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What changed, if anything.
    pub transition: Option<Transition>,
    /// What the output should be now.
    pub output: OutputWish,
}

/// A rule's state machine.
#[derive(Debug, Clone)]
pub struct Rule {
    config: RuleConfig,
    state: State,
    now_us: u64,
    frame_us: u64,
    suppressed: u64,
}

impl Rule {
    /// An armed rule.
    ///
    /// # Errors
    /// [`RuleError`] names the field that is wrong.
    pub fn new(config: RuleConfig) -> Result<Rule, RuleError> {
        config.validate()?;
        Ok(Rule { config, state: State::Armed, now_us: 0, frame_us: 0, suppressed: 0 })
    }

    /// Where the rule is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Matching frames and triggers that a cool-down kept from firing.
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// A frame at `now_us` showed `matches` matching objects.
    ///
    /// If frames stalled before this one, the call reports that alone and the frame counts for
    /// nothing: [`tick`](Rule::tick) first to have it count.
    pub fn observe(&mut self, now_us: u64, matches: u16) -> Step {
        let passed = self.pass_time(now_us);
        self.frame_us = self.now_us;
        if passed.is_some() {
            return self.step(passed);
        }
        let matched = matches >= self.config.count_min;
        let transition = match self.state {
            State::Armed | State::Confirming { .. } => self.confirm(matched),
            State::Active { since_us, .. } if matched => {
                self.state = State::Active { since_us, matched_us: self.now_us };
                None
            }
            State::Active { matched_us, .. } if self.now_us - matched_us > us(self.config.hold_ms) => {
                self.leave_active();
                Some(Transition::Released)
            }
            State::CoolDown { .. } if matched => {
                self.suppressed = self.suppressed.saturating_add(1);
                None
            }
            State::Disarmed | State::Active { .. } | State::CoolDown { .. } => None,
        };
        self.step(transition)
    }

    /// When time alone changes this rule's output next, in microseconds; `None` while its output is off. The caller
    /// must [`tick`](Rule::tick) by then.
    pub fn deadline_us(&self) -> Option<u64> {
        let State::Active { since_us, .. } = self.state else { return None };
        let stall_us = self.frame_us.saturating_add(us(self.config.stall_ms));
        let pulse_us = since_us.saturating_add(us(self.config.pulse_ms));
        Some(if self.config.pulse_ms > 0 && self.now_us < pulse_us { stall_us.min(pulse_us) } else { stall_us })
    }

    /// Something other than a frame says that it is time, such as a switch: an armed rule fires at once, an active one
    /// holds on. Where no frame came for `stall_ms`, counted from the start and from arming too, nothing happens: an output
    /// that nobody watches stays safe.
    pub fn trigger(&mut self, now_us: u64) -> Step {
        let passed = self.pass_time(now_us);
        let stalled = self.now_us - self.frame_us >= us(self.config.stall_ms);
        if passed.is_some() || stalled {
            return self.step(passed);
        }
        let transition = match self.state {
            State::Armed | State::Confirming { .. } => {
                self.state = State::Active { since_us: self.now_us, matched_us: self.now_us };
                Some(Transition::Fired)
            }
            State::Active { since_us, .. } => {
                self.state = State::Active { since_us, matched_us: self.now_us };
                None
            }
            State::CoolDown { .. } => {
                self.suppressed = self.suppressed.saturating_add(1);
                None
            }
            State::Disarmed => None,
        };
        self.step(transition)
    }

    /// Time passed without a frame.
    pub fn tick(&mut self, now_us: u64) -> Step {
        let transition = self.pass_time(now_us);
        self.step(transition)
    }

    /// The rule looks from now on.
    pub fn arm(&mut self, now_us: u64) -> Step {
        let passed = self.pass_time(now_us);
        if self.state != State::Disarmed {
            return self.step(passed);
        }
        self.state = State::Armed;
        self.frame_us = self.now_us;
        self.step(Some(Transition::Armed))
    }

    /// The rule does not look any more. An active one reports `Released`, another one `Disarmed`.
    pub fn disarm(&mut self, now_us: u64) -> Step {
        self.now_us = self.now_us.max(now_us);
        let transition = match self.state {
            State::Disarmed => None,
            State::Active { .. } => Some(Transition::Released),
            State::Armed | State::Confirming { .. } | State::CoolDown { .. } => Some(Transition::Disarmed),
        };
        self.state = State::Disarmed;
        self.step(transition)
    }

    fn confirm(&mut self, matched: bool) -> Option<Transition> {
        if !matched {
            self.state = State::Armed;
            return None;
        }
        let frames = match self.state {
            State::Confirming { frames } => frames.saturating_add(1),
            _ => 1,
        };
        if frames < self.config.confirm_frames {
            self.state = State::Confirming { frames };
            return None;
        }
        self.state = State::Active { since_us: self.now_us, matched_us: self.now_us };
        Some(Transition::Fired)
    }

    /// Lets cool-down and stall expire. At most one transition a call: the rule leaves `Active` once.
    fn pass_time(&mut self, now_us: u64) -> Option<Transition> {
        self.now_us = self.now_us.max(now_us);
        let since_frame_us = self.now_us - self.frame_us;
        match self.state {
            State::Active { .. } if since_frame_us >= us(self.config.stall_ms) => {
                self.leave_active();
                Some(Transition::Failsafe)
            }
            State::CoolDown { until_us } if self.now_us >= until_us => {
                self.state = State::Armed;
                None
            }
            State::Confirming { .. } if since_frame_us >= us(self.config.stall_ms) => {
                self.state = State::Armed;
                None
            }
            _ => None,
        }
    }

    fn leave_active(&mut self) {
        let until_us = self.now_us.saturating_add(us(self.config.cooldown_ms));
        self.state = if until_us > self.now_us { State::CoolDown { until_us } } else { State::Armed };
    }

    fn step(&self, transition: Option<Transition>) -> Step {
        let on = match self.state {
            State::Active { since_us, .. } => {
                self.config.pulse_ms == 0 || self.now_us - since_us < us(self.config.pulse_ms)
            }
            _ => false,
        };
        Step { transition, output: if on { OutputWish::On } else { OutputWish::Off } }
    }
}

fn us(ms: u32) -> u64 {
    u64::from(ms) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const MS: u64 = 1000;

    fn rule(config: RuleConfig) -> Rule {
        Rule::new(config).unwrap()
    }

    #[test]
    fn it_confirms_fires_holds_and_cools_down() {
        let mut r = rule(RuleConfig {
            confirm_frames: 2,
            hold_ms: 100,
            cooldown_ms: 200,
            stall_ms: 1000,
            ..RuleConfig::default()
        });
        assert_eq!(r.observe(0, 1).transition, None);
        assert_eq!(r.observe(10 * MS, 1), Step { transition: Some(Transition::Fired), output: OutputWish::On });
        assert_eq!(r.observe(110 * MS, 0), Step { transition: None, output: OutputWish::On });
        assert_eq!(r.observe(111 * MS, 0), Step { transition: Some(Transition::Released), output: OutputWish::Off });
        r.observe(150 * MS, 1);
        r.observe(310 * MS, 1);
        assert_eq!(r.suppressed(), 2);
        r.observe(311 * MS, 1);
        assert_eq!(r.observe(320 * MS, 1).transition, Some(Transition::Fired));
    }

    #[test]
    fn a_hold_shorter_than_a_frame_takes_fires_once_for_one_who_stands_still() {
        let mut r = rule(RuleConfig { hold_ms: 50, stall_ms: 2000, ..RuleConfig::default() });
        let mut fired = 0;
        for frame in 0..300 {
            let now_us = frame * 400 * MS;
            for later_us in [0, 20 * MS, 200 * MS] {
                assert_eq!(r.tick(now_us.saturating_sub(400 * MS) + later_us).transition, None, "frame {frame}");
            }
            let step = r.observe(now_us, 1);
            fired += u32::from(step.transition == Some(Transition::Fired));
            assert_eq!(step.output, OutputWish::On);
        }
        assert_eq!(fired, 1);
        assert_eq!(
            r.observe(300 * 400 * MS, 0),
            Step { transition: Some(Transition::Released), output: OutputWish::Off }
        );
    }

    #[test]
    fn time_alone_ends_no_hold_and_its_deadline_is_told() {
        let mut r = rule(RuleConfig { hold_ms: 100, pulse_ms: 30, stall_ms: 1000, ..RuleConfig::default() });
        assert_eq!(r.deadline_us(), None);
        r.observe(10 * MS, 1);
        assert_eq!(r.deadline_us(), Some(40 * MS), "the pulse's end");
        r.tick(40 * MS);
        assert_eq!(r.deadline_us(), Some(1010 * MS), "the stall");
        assert_eq!(r.tick(1009 * MS).transition, None);
        assert_eq!(r.tick(1010 * MS).transition, Some(Transition::Failsafe));
        assert_eq!(r.deadline_us(), None);
    }

    #[test]
    fn one_frame_without_begins_the_confirmation_anew() {
        let mut r = rule(RuleConfig { confirm_frames: 3, ..RuleConfig::default() });
        for (at, matches) in [(0, 1), (1, 1), (2, 0), (3, 1), (4, 1)] {
            assert_eq!(r.observe(at, matches).transition, None);
        }
        assert_eq!(r.observe(5, 1).transition, Some(Transition::Fired));
    }

    #[test]
    fn a_pulse_ends_while_the_rule_is_active() {
        let mut r = rule(RuleConfig { pulse_ms: 50, hold_ms: 1000, ..RuleConfig::default() });
        assert_eq!(r.observe(0, 1).output, OutputWish::On);
        assert_eq!(r.tick(49 * MS).output, OutputWish::On);
        assert_eq!(r.tick(50 * MS), Step { transition: None, output: OutputWish::Off });
        assert!(matches!(r.state(), State::Active { .. }));
    }

    #[test]
    fn a_stall_takes_the_safe_level() {
        let mut r = rule(RuleConfig { hold_ms: 60_000, stall_ms: 500, ..RuleConfig::default() });
        r.observe(0, 1);
        assert_eq!(r.tick(499 * MS).output, OutputWish::On);
        assert_eq!(r.tick(500 * MS), Step { transition: Some(Transition::Failsafe), output: OutputWish::Off });
        assert_eq!(r.tick(501 * MS).transition, None);
    }

    #[test]
    fn disarming_releases() {
        let mut r = rule(RuleConfig::default());
        r.observe(0, 1);
        assert_eq!(r.disarm(1), Step { transition: Some(Transition::Released), output: OutputWish::Off });
        assert_eq!(r.observe(2, 9), Step { transition: None, output: OutputWish::Off });
        assert_eq!(r.arm(3).transition, Some(Transition::Armed));
        assert_eq!(r.observe(4, 1).transition, Some(Transition::Fired));
    }

    #[test]
    fn a_trigger_fires_what_is_armed_and_watched() {
        let mut r = rule(RuleConfig { confirm_frames: 9, cooldown_ms: 100, ..RuleConfig::default() });
        r.observe(0, 0);
        assert_eq!(r.trigger(MS).transition, Some(Transition::Fired));
        assert_eq!(r.trigger(700 * MS), Step { transition: None, output: OutputWish::On });
        assert_eq!(r.observe(1500 * MS, 0).output, OutputWish::On, "the second one held it");
        assert_eq!(r.observe(1501 * MS, 0).transition, Some(Transition::Released));
        assert_eq!((r.trigger(1550 * MS).transition, r.suppressed()), (None, 1));
        assert_eq!(r.trigger(3501 * MS).transition, None, "no frame for stall_ms");
        r.observe(3502 * MS, 0);
        assert_eq!(r.trigger(3503 * MS).transition, Some(Transition::Fired));
        r.disarm(3504 * MS);
        assert_eq!(r.trigger(3505 * MS).transition, None);
    }

    #[derive(Debug, Clone, Copy)]
    enum Call {
        Observe(u16),
        Trigger,
        Tick,
        Arm,
        Disarm,
    }

    fn call() -> impl Strategy<Value = (u64, bool, Call)> {
        let kind = prop_oneof![
            6 => (0u16..4).prop_map(Call::Observe),
            4 => Just(Call::Tick),
            1 => Just(Call::Trigger),
            1 => Just(Call::Arm),
            1 => Just(Call::Disarm),
        ];
        (0u64..400, prop::bool::weighted(0.05), kind)
    }

    proptest! {
        /// Whatever is called in whatever order, with a clock that sometimes goes back.
        #[test]
        fn the_promises_hold(
            count_min in 1u16..3, confirm_frames in 1u16..4, hold_ms in 0u32..300, cooldown_ms in 0u32..500,
            pulse_ms in prop_oneof![Just(0u32), 1u32..200], stall_ms in 1u32..400,
            calls in prop::collection::vec(call(), 1..120),
        ) {
            let config = RuleConfig { count_min, confirm_frames, hold_ms, cooldown_ms, pulse_ms, stall_ms };
            let mut r = rule(config);
            let (mut clock_us, mut now_us) = (0u64, 0u64);
            let mut active = false;
            let mut fired_us = 0;
            let mut left_us: Option<u64> = None;
            let mut in_a_row = 0u16;
            let mut frame_us = 0u64;
            let mut trail = Vec::new();
            for (ms, back, call) in calls {
                clock_us = if back { clock_us.saturating_sub(ms * MS) } else { clock_us + ms * MS };
                now_us = now_us.max(clock_us);
                let armed = r.state() != State::Disarmed;
                let due = r.deadline_us().is_some_and(|at_us| now_us >= at_us);
                let step = match call {
                    Call::Observe(matches) => {
                        in_a_row = if matches >= count_min && armed { in_a_row + 1 } else { 0 };
                        r.observe(clock_us, matches)
                    }
                    Call::Trigger => r.trigger(clock_us),
                    Call::Tick => r.tick(clock_us),
                    Call::Arm => r.arm(clock_us),
                    Call::Disarm => r.disarm(clock_us),
                };
                trail.push((clock_us / MS, call, step, r.state()));
                match step.transition {
                    Some(Transition::Fired) => {
                        prop_assert!(!active, "fired twice: {trail:?}");
                        let confirmed = in_a_row >= confirm_frames || matches!(call, Call::Trigger);
                        prop_assert!(confirmed, "fired unconfirmed: {trail:?}");
                        if let Some(left) = left_us {
                            prop_assert!(now_us >= left, "fired before the cool-down began");
                        }
                        active = true;
                        fired_us = now_us;
                    }
                    Some(left @ (Transition::Released | Transition::Failsafe)) => {
                        prop_assert!(active, "released while not active: {trail:?}");
                        let by_a_frame = matches!(call, Call::Observe(matches) if matches < count_min);
                        let released = left == Transition::Released;
                        prop_assert!(!released || by_a_frame || matches!(call, Call::Disarm), "{trail:?}");
                        prop_assert!(released || due, "no stall: {trail:?}");
                        active = false;
                        left_us = Some(now_us);
                    }
                    Some(Transition::Disarmed) => prop_assert!(!active),
                    Some(Transition::Armed) | None => {}
                }
                prop_assert_eq!(active, matches!(r.state(), State::Active { .. }), "{:?}", trail);
                if matches!(call, Call::Observe(_)) || step.transition == Some(Transition::Armed) {
                    frame_us = now_us;
                }
                prop_assert!(r.deadline_us().is_none_or(|at_us| at_us > now_us), "late: {trail:?}");
                if step.output == OutputWish::On {
                    prop_assert!(now_us - frame_us < us(stall_ms), "on without frames: {trail:?}");
                    prop_assert!(active, "on while not active: {trail:?}");
                    prop_assert!(pulse_ms == 0 || now_us - fired_us < us(pulse_ms), "the pulse is too long: {trail:?}");
                }
            }
        }
    }
}
