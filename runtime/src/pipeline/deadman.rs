//! The dead-man: the rules and their lines, and the deadline that no hang can hold.
//!
//! Rules and lines stand behind one lock. Whoever looked at a frame takes it and drives the lines himself, so that
//! between a detection and its pin there is neither a queue nor a thread to be woken. A thread of its own, the
//! *dead-man*, does nothing but let time pass for the rules: it wakes at the next deadline, and takes a line to its safe
//! level when no frame was looked at for `stall_ms`. It waits for nobody: not for the detector, the camera, the
//! recorder, the terminal or a disk. It also stands the rules down as soon as the run is asked to stop.
//!
//! | who | drives | when |
//! |---|---|---|
//! | the detector's thread | on and off | with each frame that it has looked at, with each edge of an input |
//! | the dead-man's thread | off | a pulse or `stall_ms` is over; the run is to stop; somebody suspends the process |
//! | the panic hook ([`DeadMan::make_safe`]) | off | before it does anything else |
//!
//! A replay has no time of its own between frames: there the dead-man lowers a line after `stall_ms` of real time, and
//! leaves the rule as it is, so that what is recorded does not depend on the machine.
//!
//! It may not print or write to a disk: what it has to tell goes to queues that never wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::actuate::{RuleRunner, SharedOutput};
use super::message::{Events, TICK};
use super::outbox::Outbox;
use super::report::RuleReport;
use super::stamp::stamp;
use lapwing_camera::Pacing;
use lapwing_camera::clock::{Clock, Mono};

/// Shortest sleep of the dead-man, however near the deadline.
const NAP_MIN: Duration = Duration::from_micros(200);
/// How often, and how long apart, the panic hook tries for a line that somebody else is driving at this moment.
const TRIES: (u32, Duration) = (50, Duration::from_micros(100));

/// The rules, their lines, and who may drive them.
pub struct DeadMan {
    held: Mutex<Held>,
    woken: Condvar,
    /// The same lines, for whoever may not wait for the rules.
    lines: Vec<SharedOutput>,
    /// Somebody wants the process suspended.
    suspend: Arc<AtomicBool>,
    /// The rules have stood down.
    stood_down: Arc<AtomicBool>,
}

struct Held {
    rules: Vec<RuleRunner>,
    /// Once it is true nothing raises a line any more.
    stood_down: Arc<AtomicBool>,
    /// The last time that a frame was looked at, on the clock and not by the frames of a replay.
    looked: Mono,
}

/// What the dead-man's thread needs to know of the run.
pub(super) struct Run<'a> {
    pub clock: &'a dyn Clock,
    pub pacing: Pacing,
    /// The run is to stop.
    pub stop: &'a AtomicBool,
    /// The run has ended.
    pub ended: &'a AtomicBool,
    pub outbox: &'a Outbox<'a>,
}

impl DeadMan {
    /// Holds `rules`, whose lines are safe.
    pub fn new(rules: Vec<RuleRunner>) -> DeadMan {
        let lines = rules.iter().map(RuleRunner::output).collect();
        let stood_down = Arc::new(AtomicBool::new(false));
        let held = Held { rules, stood_down: Arc::clone(&stood_down), looked: Mono::default() };
        DeadMan { held: Mutex::new(held), woken: Condvar::new(), lines, suspend: Arc::default(), stood_down }
    }

    /// Drives every line to its safe level at once; for the panic hook. It waits for no rule, and for a line only while
    /// another thread is driving it.
    pub fn make_safe(&self) {
        for line in &self.lines {
            for _ in 0..TRIES.0 {
                let taken = match line.try_lock() {
                    Ok(output) => Some(output),
                    Err(TryLockError::Poisoned(output)) => Some(output.into_inner()),
                    Err(TryLockError::WouldBlock) => None,
                };
                if let Some(mut output) = taken {
                    let _ = output.fail_safe(); // counted by the output; nobody can be told here
                    break;
                }
                std::thread::sleep(TRIES.1);
            }
        }
    }

    /// Setting this flag has every line made safe and then the process suspended, as Ctrl-Z asks for.
    pub fn suspend_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.suspend)
    }

    /// This flag says that every line was made safe for good: from then on the process may end at any time.
    pub fn stood_down_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stood_down)
    }

    /// Has `act` decide on a frame that was looked at, at `now` on the clock. False if the rules have stood down.
    pub(super) fn looked(&self, now: Mono, act: impl FnOnce(&mut [RuleRunner])) -> bool {
        let mut held = self.lock();
        held.looked = now;
        self.decide(held, act)
    }

    /// Has `act` decide on something other than a frame. False if the rules have stood down.
    pub(super) fn act(&self, act: impl FnOnce(&mut [RuleRunner])) -> bool {
        self.decide(self.lock(), act)
    }

    fn decide(&self, mut held: MutexGuard<'_, Held>, act: impl FnOnce(&mut [RuleRunner])) -> bool {
        let open = !held.stood_down.load(Ordering::SeqCst);
        if open {
            act(&mut held.rules);
            self.woken.notify_one(); // there may be an earlier deadline
        }
        open
    }

    /// Lets the time pass until now, as the dead-man's thread does by itself.
    pub(super) fn let_time_pass(&self, clock: &dyn Clock, outbox: &Outbox<'_>) {
        self.lock().pass_time(clock.mono(), clock, outbox);
    }

    /// Every line takes its safe level for good, then that is told. Once is enough; more does no harm.
    pub(super) fn stand_down(&self, now_us: u64, clock: &dyn Clock, outbox: &Outbox<'_>) {
        self.lock().stand_down(now_us, clock, outbox);
    }

    /// What the rules did.
    pub(super) fn reports(&self) -> Vec<RuleReport> {
        self.lock().rules.iter().map(RuleRunner::report).collect()
    }

    /// The dead-man's thread: until the run has ended.
    pub(super) fn watch(&self, run: &Run<'_>) {
        while !run.ended.load(Ordering::SeqCst) {
            let mut held = self.lock();
            if run.stop.load(Ordering::SeqCst) {
                held.stand_down(run.clock.mono().us(), run.clock, run.outbox);
            }
            if self.suspend.swap(false, Ordering::SeqCst) {
                held.rules.iter_mut().for_each(RuleRunner::make_safe);
                let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP); // goes on with SIGCONT
            }
            let now = run.clock.mono(); // hours may have passed
            let wait = match run.pacing {
                Pacing::Live => held.pass_time(now, run.clock, run.outbox),
                Pacing::OnDemand => held.pass_real_time(now, run),
            };
            let wait = wait.unwrap_or(TICK).clamp(NAP_MIN, TICK);
            let waited = self.woken.wait_timeout(held, wait).unwrap_or_else(PoisonError::into_inner);
            drop(waited);
        }
    }

    /// Wakes the dead-man, so that it sees that the run has ended.
    pub(super) fn wake(&self) {
        self.woken.notify_all();
    }

    /// A panic leaves the rules between two of their steps, each of which is whole.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn stand_down(&mut self, now_us: u64, clock: &dyn Clock, outbox: &Outbox<'_>) {
        if self.stood_down.load(Ordering::SeqCst) {
            return;
        }
        // every line before anything is told
        self.rules.iter_mut().for_each(RuleRunner::make_safe);
        self.stood_down.store(true, Ordering::SeqCst);
        let mut events = Events::new();
        for rule in &mut self.rules {
            if let Some(firing) = rule.stand_down(now_us) {
                let _ = events.push(stamp(firing.event(), clock)); // one a rule: has room
            }
        }
        outbox.events(events);
    }

    /// Of a live source: pulses end, stalls take the safe level. Time until the next of these.
    fn pass_time(&mut self, now: Mono, clock: &dyn Clock, outbox: &Outbox<'_>) -> Option<Duration> {
        let mut events = Events::new();
        for rule in &mut self.rules {
            if let Some(firing) = rule.tick(now.us()) {
                let _ = events.push(stamp(firing.event(), clock)); // one a rule: has room
            }
        }
        outbox.events(events);
        let next_us = self.rules.iter().filter_map(RuleRunner::deadline_us).min()?;
        Some(Duration::from_micros(next_us.saturating_sub(now.us())))
    }

    /// Of a replay: lines that nobody renewed for `stall_ms` take the safe level. Time until the next of these.
    fn pass_real_time(&mut self, now: Mono, run: &Run<'_>) -> Option<Duration> {
        let since_us = now.since_us(self.looked);
        let mut next_us: Option<u64> = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.is_on()) {
            let left_us = rule.stall_us().saturating_sub(since_us);
            if left_us > 0 {
                next_us = Some(next_us.map_or(left_us, |next_us| next_us.min(left_us)));
                continue;
            }
            rule.make_safe();
            if !rule.is_simulated() {
                let stall_ms = rule.stall_us() / 1000;
                let (name, safe) = (rule.name(), "its output took its safe level");
                run.outbox.trouble(format!("rule {name:?}: no frame was looked at for {stall_ms} ms: {safe}"));
            }
        }
        next_us.map(Duration::from_micros)
    }
}
