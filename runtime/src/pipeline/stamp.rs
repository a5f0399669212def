//! What every event carries: the time, and the frame that it is about; and what is noticed of the wall clock.

use lapwing_firmware::event::{Event, EventKind};

use lapwing_camera::clock::{Clock, Mono};
use lapwing_camera::frame::Frame;

/// The wall clock may drift against the monotonic one this far between two looks without having been set, in
/// microseconds.
const JUMP_US: i64 = 1_000_000;

/// Puts the time on an event.
pub(super) fn stamp(event: Event, clock: &dyn Clock) -> Event {
    let (mono, wall) = (clock.mono(), clock.wall());
    let flags = if wall.is_set() { event.flags | Event::WALL_VALID } else { event.flags };
    Event { mono_us: mono.us(), wall_us: wall.us(), flags, ..event }
}

/// Microseconds from `from` to `to` as an event counts them.
pub(super) fn latency_us(from: Mono, to: Mono) -> u32 {
    u32::try_from(to.since_us(from)).unwrap_or(u32::MAX)
}

/// Puts the frame on an event; boxes become fractions of it.
pub(super) fn about_frame(event: Event, frame: &Frame, latency_us: u32) -> Event {
    Event {
        frame_seq: frame.seq,
        latency_us,
        frame_width_px: u16::try_from(frame.width()).unwrap_or(u16::MAX),
        frame_height_px: u16::try_from(frame.height()).unwrap_or(u16::MAX),
        ..event
    }
}

/// Notices that the wall clock was set: by a person, by NTP, or at the first fix.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    /// How far it was ahead of the monotonic clock at the last look, in microseconds.
    ahead_us: Option<i64>,
}

impl WallClock {
    /// An event if it was set since the last call.
    pub(super) fn was_set(&mut self, clock: &dyn Clock) -> Option<Event> {
        let ahead_us = clock.wall().ahead_us(clock.mono());
        let jump_us = ahead_us.saturating_sub(self.ahead_us.replace(ahead_us)?);
        if jump_us.abs() < JUMP_US {
            return None;
        }
        let flags = if jump_us < 0 { Event::BACKWARDS } else { 0 };
        let value = u32::try_from(jump_us.unsigned_abs() / 1_000_000).unwrap_or(u32::MAX);
        Some(stamp(Event { kind: EventKind::ClockSet, flags, value, ..Event::default() }, clock))
    }
}
