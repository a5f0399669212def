//! What a run says to its watchdogs, and what it notices of the wall clock.
//!
//! A watchdog is fed when something came from the capture thread and was dealt with: a frame that was looked at, or a
//! fault of the source that was told. Time alone feeds nobody, so a detector that hangs, a driver that never returns or
//! a camera that is silent for the watchdog's timeout has lapwing started anew.

use lapwing_firmware::event::{Event, EventKind};

use super::stamp::stamp;
use super::{Events, Watcher};

/// The wall clock may drift against the monotonic one this far between two looks without having been set, in
/// microseconds.
const JUMP_US: i64 = 1_000_000;

impl Watcher<'_> {
    /// The run begins.
    pub(super) fn up(&mut self) {
        let told = self.dogs.ready("watching");
        self.dog_trouble(told.err());
    }

    /// Something was dealt with.
    pub(super) fn alive(&mut self) {
        let fed = self.dogs.progress(self.clock.mono_us());
        self.dog_trouble(fed.err());
    }

    /// The run ends in order.
    pub(super) fn down(&mut self) {
        let told = std::mem::take(&mut self.dogs).dismiss();
        self.dog_trouble(told.err());
    }

    /// Told once: it would be told with every frame.
    fn dog_trouble(&mut self, error: Option<lapwing_firmware::linux::watchdog::WatchdogError>) {
        if let Some(error) = error
            && !std::mem::replace(&mut self.dog_told, true)
        {
            self.trouble(Events::new(), error.to_string());
        }
    }

    /// An event for the wall clock that was set since the last call, by a person, by NTP, or at the first fix.
    pub(super) fn clock_set(&mut self) -> Option<Event> {
        let mono_us = i64::try_from(self.clock.mono_us()).unwrap_or(i64::MAX);
        let offset_us = self.clock.wall_us().saturating_sub(mono_us);
        let jump_us = offset_us.saturating_sub(self.wall_offset_us.replace(offset_us)?);
        if jump_us.abs() < JUMP_US {
            return None;
        }
        let flags = if jump_us < 0 { Event::BACKWARDS } else { 0 };
        let value = u32::try_from(jump_us.unsigned_abs() / 1_000_000).unwrap_or(u32::MAX);
        Some(stamp(Event { kind: EventKind::ClockSet, flags, value, ..Event::default() }, self.clock))
    }
}
