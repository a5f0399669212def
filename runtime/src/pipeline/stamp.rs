//! What every event carries: the time, and the frame that it is about.

use lapwing_firmware::event::Event;

use lapwing_camera::clock::{Clock, WALL_VALID_FROM_US};
use lapwing_camera::frame::Frame;

/// Puts the time on an event.
pub(super) fn stamp(event: Event, clock: &dyn Clock) -> Event {
    let wall_us = clock.wall_us();
    let flags = if wall_us >= WALL_VALID_FROM_US { event.flags | Event::WALL_VALID } else { event.flags };
    Event { mono_us: clock.mono_us(), wall_us, flags, ..event }
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
