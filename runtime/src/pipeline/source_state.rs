//! A source that goes and comes back, frames that come too late, and frames that were dropped.

use std::sync::atomic::Ordering;

use lapwing_firmware::event::{Event, EventKind};

use super::message::{Events, Shared};
use super::outbox::Outbox;
use super::stamp::stamp;
use lapwing_camera::SourceError;
use lapwing_camera::clock::{Clock, Mono};

/// The source is gone.
struct Away {
    since: Mono,
    /// What was told last.
    told: String,
}

/// What is known of the source.
pub(super) struct SourceState<'a> {
    clock: &'a dyn Clock,
    outbox: &'a Outbox<'a>,
    shared: &'a Shared,
    /// A frame that is older when it has been looked at is stale, in microseconds.
    stale_us: u64,
    /// `None`: it is there.
    away: Option<Away>,
    /// Times it went away.
    lost: u64,
    /// Frames that were stale.
    stale: u64,
    dropped_told: u64,
}

impl<'a> SourceState<'a> {
    pub(super) fn new(clock: &'a dyn Clock, outbox: &'a Outbox<'a>, shared: &'a Shared, stale_us: u64) -> Self {
        SourceState { clock, outbox, shared, stale_us, away: None, lost: 0, stale: 0, dropped_told: 0 }
    }

    /// A source that stays away is told once, and again when there is another reason for it.
    pub(super) fn is_lost(&mut self, error: &SourceError, at: Mono) {
        let why = error.to_string();
        if let Some(away) = &mut self.away {
            if away.told != why {
                away.told.clone_from(&why);
                self.outbox.trouble(why);
            }
            return;
        }
        self.away = Some(Away { since: at, told: why.clone() });
        self.lost += 1;
        let mut events = Events::new();
        let _ = events.push(stamp(Event { kind: EventKind::SourceLost, ..Event::default() }, self.clock)); // the first
        self.outbox.trouble_with(events, why);
    }

    /// A frame came, taken at `at`: a source that was away is back, and the milliseconds that it was away are told before
    /// anybody looks at the frame.
    pub(super) fn is_there(&mut self, at: Mono) {
        let Some(away) = self.away.take() else { return };
        let value = u32::try_from(at.since_us(away.since) / 1000).unwrap_or(u32::MAX);
        let mut events = Events::new();
        let _ = events.push(stamp(Event { kind: EventKind::SourceBack, value, ..Event::default() }, self.clock)); // the first
        self.outbox.events(events);
    }

    /// The age of a frame, if it is past its deadline; a replay's frames have none.
    pub(super) fn staleness(&mut self, age_us: u64) -> Option<u64> {
        let stale = age_us > self.stale_us;
        self.stale += u64::from(stale);
        stale.then_some(age_us)
    }

    /// Adds an event for the frames dropped since the last call. Told with other events, so that a slow board does not
    /// fill its log with drops.
    pub(super) fn add_dropped(&mut self, events: &mut Events) {
        let dropped = self.shared.frames_dropped.load(Ordering::Relaxed);
        if dropped > self.dropped_told {
            let value = u32::try_from(dropped - self.dropped_told).unwrap_or(u32::MAX);
            let event = Event { kind: EventKind::FramesDropped, value, ..Event::default() };
            let _ = events.push(stamp(event, self.clock)); // has room
            self.dropped_told = dropped;
        }
    }

    /// Times the source went away, and frames that were stale.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.lost, self.stale)
    }
}
