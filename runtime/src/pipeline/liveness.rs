//! What a run says to its watchdogs.
//!
//! A watchdog is kicked when a frame was really looked at. Neither time, nor a failure that was told, nor a camera that
//! is away kicks one: a detector that hangs or fails, a driver that never returns or a camera that stays silent for the
//! watchdog's timeout has lapwing started anew.

use lapwing_firmware::linux::Watchdogs;
use lapwing_firmware::linux::watchdog::WatchdogError;

use super::outbox::Outbox;
use lapwing_camera::clock::Mono;

/// The watchdogs of a run.
pub(super) struct Liveness<'a> {
    dogs: Watchdogs,
    /// A failure of theirs was told.
    told: bool,
    outbox: &'a Outbox<'a>,
}

impl<'a> Liveness<'a> {
    pub(super) fn new(dogs: Watchdogs, outbox: &'a Outbox<'a>) -> Liveness<'a> {
        Liveness { dogs, told: false, outbox }
    }

    /// The run begins.
    pub(super) fn up(&mut self) {
        let told = self.dogs.ready("watching");
        self.trouble(told.err());
    }

    /// A frame was looked at.
    pub(super) fn looked(&mut self, now: Mono) {
        let kicked = self.dogs.progress(now.us());
        self.trouble(kicked.err());
    }

    /// The run ends in order.
    pub(super) fn down(&mut self) {
        let told = std::mem::take(&mut self.dogs).dismiss();
        self.trouble(told.err());
    }

    /// Told once: it would be told with every frame.
    fn trouble(&mut self, error: Option<WatchdogError>) {
        if let Some(error) = error
            && !std::mem::replace(&mut self.told, true)
        {
            self.outbox.trouble(error.to_string());
        }
    }
}
