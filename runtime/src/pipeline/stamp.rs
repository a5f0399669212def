//! What every event carries: the time, and the frame that it is about; and what is noticed of the wall clock.

use lapwing_firmware::event::{Event, EventKind};

use lapwing_camera::clock::{Clock, Mono};
use lapwing_camera::frame::Frame;

/// The wall clock may drift against the monotonic one this far between two looks without having been set, in
/// microseconds.
const JUMP_US: i64 = 1_000_000;
/// Looks at the clocks until one agrees with that before it; none of them counts otherwise.
const LOOKS_MAX: usize = 5;

/// Two looks at the clocks between which none was set.
fn agree(a_us: i64, b_us: i64) -> bool {
    a_us.saturating_sub(b_us).abs() < JUMP_US
}

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
        let ahead_us = self.agreed(clock)?;
        let before_us = self.ahead_us.replace(ahead_us)?;
        if agree(ahead_us, before_us) {
            return None;
        }
        let jump_us = ahead_us.saturating_sub(before_us);
        let flags = if jump_us < 0 { Event::BACKWARDS } else { 0 };
        let value = u32::try_from(jump_us.unsigned_abs() / 1_000_000).unwrap_or(u32::MAX);
        Some(stamp(Event { kind: EventKind::ClockSet, flags, value, ..Event::default() }, clock))
    }

    /// How far the wall clock is ahead; `None` if no look agrees with that before it, or with that of the last call.
    ///
    /// The two clocks are read one after the other, and much time may pass between them (another process has the
    /// processor, the machine sleeps): so what looks like a jump is looked at again, and counts if it is still there.
    fn agreed(&self, clock: &dyn Clock) -> Option<i64> {
        let look = || clock.wall().ahead_us(clock.mono());
        let mut last_us = None;
        for _ in 0..LOOKS_MAX {
            let now_us = look();
            if [self.ahead_us, last_us].into_iter().flatten().any(|us| agree(now_us, us)) {
                return Some(now_us);
            }
            last_us = Some(now_us);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use lapwing_camera::clock::{WALL_VALID_FROM_US, Wall};

    /// A clock on which some time passes behind every reading of the wall clock whose number is in `slow`: more each time.
    #[derive(Default)]
    struct Preempted {
        now_us: AtomicU64,
        reads: AtomicU64,
        slow: std::ops::Range<u64>,
    }

    impl Clock for Preempted {
        fn mono(&self) -> Mono {
            Mono::from_us(self.now_us.load(Ordering::Relaxed))
        }

        fn wall(&self) -> Wall {
            let read = self.reads.fetch_add(1, Ordering::Relaxed);
            let passed = if self.slow.contains(&read) { 2_000_000 * read } else { 0 };
            Wall::from_us(WALL_VALID_FROM_US + self.now_us.fetch_add(passed, Ordering::Relaxed) as i64)
        }

        fn sleep_us(&self, _: u64) {}
    }

    #[test]
    fn who_is_held_up_between_two_clocks_saw_none_of_them_set() {
        for slow in [0..0, 1..2, 1..4, 3..5, 1..100, 0..1, 0..3] {
            let clock = Preempted { slow: slow.clone(), ..Preempted::default() };
            let mut wall = WallClock::default();
            for look in 0..6 {
                assert_eq!(wall.was_set(&clock), None, "{slow:?} {look}");
            }
        }
    }
}
