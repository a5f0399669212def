//! What inputs do to rules: a switch arms them, a button fires them.
//!
//! Edges are armed before the camera starts and wait in the kernel; the detector's thread takes them between frames, so
//! an edge acts within one detection and [`TICK`](super::message::TICK). An input that cannot be read any more counts as
//! inactive: what it arms is disarmed.

use lapwing_firmware::event::{Event, EventKind};

use super::deadman::DeadMan;
use super::message::Events;
use super::outbox::Outbox;
use super::stamp::{latency_us, stamp};
use crate::pins::Input;
use lapwing_camera::clock::{Clock, Mono};

/// Edges of one input that are taken at once; the others wait for the next frame.
const EDGES_AT_ONCE_MAX: usize = 8;

/// An input and whether it still works.
struct Listened {
    input: Input,
    failed: bool,
}

/// The inputs of a run.
pub(super) struct Inputs<'a> {
    all: Vec<Listened>,
    rules: &'a DeadMan,
    outbox: &'a Outbox<'a>,
    clock: &'a dyn Clock,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(all: Vec<Input>, rules: &'a DeadMan, outbox: &'a Outbox<'a>, clock: &'a dyn Clock) -> Self {
        let all = all.into_iter().map(|input| Listened { input, failed: false }).collect();
        Inputs { all, rules, outbox, clock }
    }

    /// Rules whose input is inactive begin disarmed, at `now` of the rules' time.
    pub(super) fn apply_levels(&mut self, now: Mono) {
        for index in 0..self.all.len() {
            if !self.all[index].input.is_active() {
                self.apply(index, false, (self.clock.mono(), now));
            }
        }
    }

    /// Takes the edges that came since the last call; `now` gives the rules' time.
    pub(super) fn take_edges(&mut self, now: impl Fn() -> Mono) {
        for index in 0..self.all.len() {
            for _ in 0..EDGES_AT_ONCE_MAX {
                let listened = &mut self.all[index];
                if listened.failed {
                    break;
                }
                match listened.input.next_edge() {
                    Ok(Some(edge)) => {
                        self.apply(index, edge.active, (self.clock.at_kernel_us(edge.kernel_us), now()));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        listened.failed = true;
                        self.apply(index, false, (self.clock.mono(), now()));
                        self.outbox.trouble(format!("an input is gone, what it arms is disarmed: {error}"));
                    }
                }
            }
        }
    }

    /// An input became active or inactive at the first of two times; the second is the rules' time.
    fn apply(&mut self, index: usize, active: bool, (edge, now): (Mono, Mono)) {
        self.rules.act(|rules| {
            let mut events = Events::new();
            for rule in rules {
                for firing in rule.hear(index, active, now.us()).into_iter().flatten() {
                    let mut event = stamp(firing.event(), self.clock);
                    if event.kind == EventKind::Fired {
                        event.flags |= Event::EXTERNAL;
                        event.latency_us = latency_us(edge, Mono::from_us(event.mono_us));
                    }
                    let _ = events.push(event); // two a rule: has room
                }
            }
            self.outbox.events(events);
        });
    }
}
