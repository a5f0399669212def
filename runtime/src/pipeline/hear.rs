//! What inputs do to rules: a switch arms them, a button fires them.
//!
//! Edges are armed before the camera starts and wait in the kernel; the detector's thread takes them between frames, so
//! an edge acts within one detection and [`TICK`](super::TICK). An input that cannot be read any more counts as
//! inactive: what it arms is disarmed.

use lapwing_firmware::event::{Event, EventKind};

use super::stamp::stamp;
use super::{About, Events, Message, Watcher};
use crate::pins::Input;
use lapwing_camera::Pacing;

/// Edges of one input that are taken at once; the others wait for the next frame.
const EDGES_AT_ONCE_MAX: usize = 8;

/// An input and whether it still works.
pub(super) struct Ear {
    input: Input,
    failed: bool,
}

impl From<Input> for Ear {
    fn from(input: Input) -> Ear {
        Ear { input, failed: false }
    }
}

impl Watcher<'_> {
    /// Rules whose input is inactive begin disarmed.
    pub(super) fn hear_levels(&mut self) {
        for index in 0..self.ears.len() {
            if !self.ears[index].input.is_active() {
                let now_us = self.clock.mono_us();
                self.act_on(index, false, now_us);
            }
        }
    }

    /// Takes the edges that came since the last call.
    pub(super) fn hear(&mut self) {
        for index in 0..self.ears.len() {
            for _ in 0..EDGES_AT_ONCE_MAX {
                let ear = &mut self.ears[index];
                if ear.failed {
                    break;
                }
                match ear.input.next_edge() {
                    Ok(Some(edge)) => self.act_on(index, edge.active, self.clock.at_kernel_us(edge.kernel_us)),
                    Ok(None) => break,
                    Err(error) => {
                        ear.failed = true;
                        let now_us = self.clock.mono_us();
                        self.act_on(index, false, now_us);
                        self.trouble(Events::new(), format!("an input is gone, what it arms is disarmed: {error}"));
                    }
                }
            }
        }
    }

    /// An input became active or inactive at `edge_us`.
    fn act_on(&mut self, index: usize, active: bool, edge_us: u64) {
        let now_us = match self.pacing {
            Pacing::Live => self.clock.mono_us(),
            Pacing::OnDemand => self.last_us,
        };
        let mut events = Events::new();
        for rule in &mut self.rules {
            for firing in rule.hear(index, active, now_us).into_iter().flatten() {
                let mut event = stamp(firing.event(), self.clock);
                if event.kind == EventKind::Fired {
                    event.flags |= Event::EXTERNAL;
                    event.latency_us = u32::try_from(event.mono_us.saturating_sub(edge_us)).unwrap_or(u32::MAX);
                }
                let _ = events.push(event); // two a rule: has room
            }
        }
        if !events.is_empty() {
            self.send(Message { events, about: About::Nothing });
        }
    }
}
