//! The rule's state machine: when an output goes on, how long it stays, when it may again.
//!
//! ```text
//! Disarmed ⇄ Armed ─match─▶ Confirming ─enough frames─▶ Active ─hold over─▶ CoolDown ─over─▶ Armed
//!              ▲              │ a frame without              │
//!              └──────────────┘                              └─ no frame for stall_ms ─▶ Armed, safe
//! ```
//!
//! It promises: the output is never wished on outside `Active`; every `Fired` is followed by exactly
//! one `Released`, `Failsafe` or `Disarmed` before the next; a clock that goes backwards is taken
//! to stand still.

use core::fmt;

use super::OutputWish;

pub use crate::limits::TIME_MS_MAX;

/// When a rule fires and releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleConfig {
    /// Objects that must match in a frame; at least 1.
    pub count_min: u16,
    /// Consecutive frames in which they must; at least 1.
    pub confirm_frames: u16,
    /// The rule stays active this long after the last match, in milliseconds.
    pub hold_ms: u32,
    /// After it was active it cannot fire for this long, in milliseconds.
    pub cooldown_ms: u32,
    /// 0: the output is on while the rule is active; else at most this long, in milliseconds.
    pub pulse_ms: u32,
    /// Without a frame for this long the output takes its safe level, in milliseconds; at least 1.
    pub stall_ms: u32,
}

impl Default for RuleConfig {
    fn default() -> Self {
        RuleConfig { count_min: 1, confirm_frames: 1, hold_ms: 800, cooldown_ms: 0, pulse_ms: 0, stall_ms: 2000 }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// The named field must be at least 1.
    Zero(&'static str),
    /// The named field exceeds [`TIME_MS_MAX`].
    TooLong(&'static str, u32),
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::Zero(field) => write!(f, "{field} is 0: give at least 1"),
            RuleError::TooLong(field, value) => write!(f, "{field} is {value}: give at most {TIME_MS_MAX} (a day)"),
        }
    }
}

impl core::error::Error for RuleError {}

impl RuleConfig {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`RuleError`] names the field.
    pub fn validate(&self) -> Result<(), RuleError> {
        for (field, value) in [("count_min", self.count_min), ("confirm_frames", self.confirm_frames)] {
            if value == 0 {
                return Err(RuleError::Zero(field));
            }
        }
        if self.stall_ms == 0 {
            return Err(RuleError::Zero("stall_ms"));
        }
        let times = [
            ("hold_ms", self.hold_ms),
            ("cooldown_ms", self.cooldown_ms),
            ("pulse_ms", self.pulse_ms),
            ("stall_ms", self.stall_ms),
        ];
        times.into_iter().find(|(_, value)| *value > TIME_MS_MAX).map_or(Ok(()), |(f, v)| Err(RuleError::TooLong(f, v)))
    }
}

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
    /// If a hold ended before this frame, the call reports that alone and the frame counts for
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
            State::CoolDown { .. } if matched => {
                self.suppressed = self.suppressed.saturating_add(1);
                None
            }
            State::Disarmed | State::Active { .. } | State::CoolDown { .. } => None,
        };
        self.step(transition)
    }

    /// Something other than a frame says that it is time, such as a switch: an armed rule fires at once, an active one
    /// holds on. Where no frame came for `stall_ms` nothing happens: an output that nobody watches stays safe.
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

    /// Lets hold, cool-down and stall expire. At most one transition a call: the rule leaves `Active` once.
    fn pass_time(&mut self, now_us: u64) -> Option<Transition> {
        self.now_us = self.now_us.max(now_us);
        let since_frame_us = self.now_us - self.frame_us;
        match self.state {
            State::Active { matched_us, .. } if self.now_us - matched_us > us(self.config.hold_ms) => {
                // the cool-down counts from the moment the hold ended, not from the call that noticed
                let ended_us = matched_us.saturating_add(us(self.config.hold_ms));
                let stalled = since_frame_us >= us(self.config.stall_ms);
                self.leave_active(ended_us);
                Some(if stalled { Transition::Failsafe } else { Transition::Released })
            }
            State::Active { .. } if since_frame_us >= us(self.config.stall_ms) => {
                self.leave_active(self.now_us);
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

    fn leave_active(&mut self, ended_us: u64) {
        let until_us = ended_us.saturating_add(us(self.config.cooldown_ms));
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
        r.observe(160 * MS, 1);
        assert_eq!(r.suppressed(), 2);
        r.observe(310 * MS, 1);
        assert_eq!(r.observe(320 * MS, 1).transition, Some(Transition::Fired));
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
        assert_eq!(r.tick(1500 * MS).output, OutputWish::On, "the second one held it");
        assert_eq!(r.tick(1501 * MS).transition, Some(Transition::Released));
        assert_eq!((r.trigger(1550 * MS).transition, r.suppressed()), (None, 1));
        assert_eq!(r.trigger(2000 * MS).transition, None, "no frame for stall_ms");
        r.observe(2001 * MS, 0);
        assert_eq!(r.trigger(2002 * MS).transition, Some(Transition::Fired));
        r.disarm(2003 * MS);
        assert_eq!(r.trigger(2004 * MS).transition, None);
    }

    #[test]
    fn bad_configurations_are_named() {
        let good = RuleConfig::default();
        assert_eq!(RuleConfig { count_min: 0, ..good }.validate(), Err(RuleError::Zero("count_min")));
        assert_eq!(RuleConfig { stall_ms: 0, ..good }.validate(), Err(RuleError::Zero("stall_ms")));
        assert_eq!(RuleConfig { hold_ms: u32::MAX, ..good }.validate(), Err(RuleError::TooLong("hold_ms", u32::MAX)));
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
            let mut trail = Vec::new();
            for (ms, back, call) in calls {
                clock_us = if back { clock_us.saturating_sub(ms * MS) } else { clock_us + ms * MS };
                now_us = now_us.max(clock_us);
                let armed = r.state() != State::Disarmed;
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
                    Some(Transition::Released | Transition::Failsafe) => {
                        prop_assert!(active, "released while not active: {trail:?}");
                        active = false;
                        left_us = Some(now_us);
                    }
                    Some(Transition::Disarmed) => prop_assert!(!active),
                    Some(Transition::Armed) | None => {}
                }
                prop_assert_eq!(active, matches!(r.state(), State::Active { .. }), "{:?}", trail);
                if step.output == OutputWish::On {
                    prop_assert!(active, "on while not active: {trail:?}");
                    prop_assert!(pulse_ms == 0 || now_us - fired_us < us(pulse_ms), "the pulse is too long: {trail:?}");
                }
            }
        }
    }
}
