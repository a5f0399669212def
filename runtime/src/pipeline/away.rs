//! A source that goes and comes back, and frames that come too late.

use lapwing_firmware::event::{Event, EventKind};

use super::stamp::stamp;
use super::{Events, Watcher};
use lapwing_camera::SourceError;

/// The source is gone.
pub(super) struct Away {
    /// Since when, in the clock's microseconds.
    since_us: u64,
    /// What was told last.
    told: String,
}

impl Watcher<'_> {
    /// A source that stays away is told once, and again when there is another reason for it.
    pub(super) fn source_lost(&mut self, error: &SourceError, at_us: u64) {
        let why = error.to_string();
        let mut events = Events::new();
        if let Some(away) = &mut self.source_away {
            if away.told != why {
                away.told.clone_from(&why);
                self.trouble(events, why);
            }
            return;
        }
        self.source_away = Some(Away { since_us: at_us, told: why.clone() });
        self.source_lost += 1;
        let _ = events.push(stamp(Event { kind: EventKind::SourceLost, ..Event::default() }, self.clock));
        self.trouble(events, why);
    }

    /// A frame taken at `at_us` came: the event of a source that was away, with the milliseconds that it was.
    pub(super) fn source_back(&mut self, at_us: u64) -> Option<Event> {
        let away = self.source_away.take()?;
        let ms = at_us.saturating_sub(away.since_us) / 1000;
        let value = u32::try_from(ms).unwrap_or(u32::MAX);
        Some(stamp(Event { kind: EventKind::SourceBack, value, ..Event::default() }, self.clock))
    }

    /// The age of a frame, if it is past its deadline; a replay's frames have none.
    pub(super) fn staleness(&mut self, age_us: u64) -> Option<u64> {
        let stale = age_us > self.stale_us;
        self.stale += u64::from(stale);
        stale.then_some(age_us)
    }
}
