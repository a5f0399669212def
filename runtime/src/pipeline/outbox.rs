//! The way to the recorder, for every thread that has something to tell: it never waits.
//!
//! When even [`MESSAGES_MAX`](super::message::MESSAGES_MAX) messages wait, the oldest goes and is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::message::{About, Events, Message, RECORDING_MAX, SeenFrame};
use super::recycle::Recycle;
use crate::queue::{Pop, Queue, Refused};

/// Where messages for the recorder go.
pub(super) struct Outbox<'a> {
    messages: &'a Queue<Message>,
    recycle: Recycle<'a>,
    /// Messages that the recorder had no room for.
    lost: AtomicU64,
    /// Frames that were looked at while the recorder was busy.
    untold: AtomicU64,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(messages: &'a Queue<Message>, recycle: Recycle<'a>) -> Outbox<'a> {
        Outbox { messages, recycle, lost: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    /// Events alone; none is no message.
    pub(super) fn events(&self, events: Events) {
        if !events.is_empty() {
            self.send(Message { events, about: About::Nothing });
        }
    }

    /// A failure to be told to the user.
    pub(super) fn trouble(&self, what: String) {
        self.trouble_with(Events::new(), what);
    }

    /// A failure with the events that record it.
    pub(super) fn trouble_with(&self, events: Events, what: String) {
        self.send(Message { events, about: About::Trouble(what) });
    }

    /// True if the recorder takes another frame.
    pub(super) fn has_room(&self) -> bool {
        self.recycle.shared.recording.load(Ordering::SeqCst) < RECORDING_MAX
    }

    /// True if nobody records any more.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// The recorder gets the frame, unless it is busy with others: then the frame goes back, and is counted.
    pub(super) fn frame(&self, seen: SeenFrame) {
        let mut empty = match self.recycle.boxes.pop(Duration::ZERO) {
            Pop::Item(empty) if self.has_room() => empty,
            unused => {
                if let Pop::Item(unused) = unused {
                    let _ = self.recycle.boxes.push_newest(unused); // the queue holds every box there is
                }
                self.untold.fetch_add(1, Ordering::Relaxed);
                self.recycle.frame(seen.frame);
                return;
            }
        };
        *empty = seen;
        self.recycle.shared.recording.fetch_add(1, Ordering::SeqCst);
        self.send(Message { events: Events::new(), about: About::Frame(empty) });
    }

    /// Messages lost, and frames that were not told.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.lost.load(Ordering::Relaxed), self.untold.load(Ordering::Relaxed))
    }

    fn send(&self, message: Message) {
        let refused = match self.messages.push_newest(message) {
            Ok(evicted) => evicted,
            Err(Refused::Full(back) | Refused::Closed(back)) => Some(back), // the recorder is gone
        };
        if let Some(message) = refused {
            self.lost.fetch_add(1, Ordering::Relaxed);
            if let About::Frame(mut seen) = message.about {
                self.recycle.frame(std::mem::take(&mut seen.frame));
                self.recycle.recorded(seen);
            }
        }
    }
}
