//! The capture thread: fills free frames from the source.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::message::{Captured, Shared};
use super::pool::{Pool, is_large};
use crate::queue::{Pop, Queue, Refused};
use lapwing_camera::clock::Clock;
use lapwing_camera::frame::Frame;
use lapwing_camera::{LIVE_BYTES_MAX, Next, Pacing, Source, SourceError, Tally};

/// Longest wait for a frame before the stop flag is looked at again.
const WAIT: Duration = Duration::from_millis(100);
/// How often a source that is away is asked: so often that one which comes back is used at once.
const AWAY: Duration = Duration::from_millis(150);
/// First and longest pause after a source that came and went again; each is twice the one before.
const FLAPPING: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// So many frames in a row, and the next loss is taken for a new one: a source that comes and goes does not fill the log
/// ten times a second.
const STEADY_FRAMES: u32 = 50;

/// How long a lost source is left alone.
#[derive(Debug)]
struct Pauses {
    next: Duration,
    /// Frames since the last loss.
    frames: u32,
    lost: bool,
}

impl Pauses {
    fn new() -> Pauses {
        Pauses { next: FLAPPING.0, frames: 0, lost: false }
    }

    fn frame(&mut self) {
        self.lost = false;
        self.frames = self.frames.saturating_add(1);
        if self.frames >= STEADY_FRAMES {
            self.next = FLAPPING.0;
        }
    }

    /// The pause after a loss.
    fn loss(&mut self) -> Duration {
        if std::mem::replace(&mut self.lost, true) {
            return AWAY;
        }
        self.frames = 0;
        let pause = self.next;
        self.next = (pause * 2).min(FLAPPING.1);
        pause
    }
}

/// What the capture thread works with.
#[derive(Clone, Copy)]
pub(super) struct Capture<'a> {
    pub pacing: Pacing,
    pub captured: &'a Queue<Captured>,
    pub pool: &'a Pool,
    pub clock: &'a dyn Clock,
    pub shared: &'a Shared,
}

impl Capture<'_> {
    /// Runs until the source ends or the pipeline stops; then closes `captured`.
    pub(super) fn run(&self, mut source: Box<dyn Source>) {
        let Capture { captured, clock, shared, .. } = *self;
        let _ending = Ending(captured);
        let mut spare: Option<Frame> = None;
        let mut seq = 0u64;
        let mut pauses = Pauses::new();
        let mut told = Tally::default();
        while !self.is_over() {
            let Some(mut frame) = spare.take().or_else(|| self.free_frame()) else { continue };
            let next = source.next(&mut frame, WAIT);
            told = publish(source.tally(), told, shared);
            let handed_over = match next {
                Next::Frame if self.pacing == Pacing::Live && is_too_large(&frame) => {
                    let px = (frame.width(), frame.height());
                    let error = SourceError::live_picture_too_large(&source.describe(), px);
                    spare = Some(Frame::new()); // its memory is given back
                    self.lost(error, &mut pauses)
                }
                Next::Frame => {
                    pauses.frame();
                    seq += 1;
                    frame.seq = seq;
                    let taken = clock.mono().before_us(frame.age_us);
                    if frame.age_us > 0 {
                        frame.captured_us = taken.us(); // on one clock with everything else
                    }
                    self.pool.leaves(&frame);
                    self.hand_over(Captured::Frame(frame, taken), self.pacing)
                }
                Next::Timeout => {
                    spare = Some(frame);
                    Ok(())
                }
                Next::Broken(error) => {
                    spare = Some(frame);
                    self.hand_over(Captured::Broken(error), Pacing::OnDemand)
                }
                Next::Lost(error) => {
                    spare = Some(frame);
                    self.lost(error, &mut pauses)
                }
                Next::End => break,
            };
            if handed_over.is_err() {
                break;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }

    fn lost(&self, error: SourceError, pauses: &mut Pauses) -> Result<(), Stopped> {
        let told = self.hand_over(Captured::Lost(error, self.clock.mono()), Pacing::OnDemand);
        self.sleep(pauses.loss());
        told
    }

    /// A free frame; a live source that finds none takes back the one that waits, and counts it.
    fn free_frame(&self) -> Option<Frame> {
        if self.pacing == Pacing::OnDemand {
            if self.pool.is_stretched() {
                std::thread::sleep(Duration::from_millis(2)); // one large picture at a time
                return None;
            }
            return self.pool.take(WAIT);
        }
        if let Some(frame) = self.pool.take(Duration::ZERO) {
            return Some(frame);
        }
        match self.captured.pop(Duration::ZERO) {
            Pop::Item(Captured::Frame(frame, _)) => {
                self.shared.frames_dropped.fetch_add(1, Ordering::Relaxed);
                return Some(frame); // it was not large: a live source has none
            }
            Pop::Item(message) => {
                let _ = self.captured.push_newest(message); // back where it was: there is room
            }
            Pop::Timeout | Pop::Closed => {}
        }
        self.pool.take(WAIT)
    }

    fn hand_over(&self, item: Captured, pacing: Pacing) -> Result<(), Stopped> {
        let mut item = item;
        if pacing == Pacing::Live {
            // a frame goes for a newer one; a failure is told first
            match self.captured.push_over(item, |waiting| matches!(waiting, Captured::Frame(..))) {
                Ok(evicted) => {
                    if let Some(Captured::Frame(frame, _)) = evicted {
                        self.shared.frames_dropped.fetch_add(1, Ordering::Relaxed);
                        self.pool.give(frame);
                    }
                    return Ok(());
                }
                Err(Refused::Full(back)) => item = back,
                Err(Refused::Closed(_)) => return Err(Stopped),
            }
        }
        loop {
            match self.captured.push(item, WAIT) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(back)) if !self.is_over() => item = back,
                Err(_) => return Err(Stopped),
            }
        }
    }

    fn sleep(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() && !self.is_over() {
            let nap = left.min(WAIT);
            std::thread::sleep(nap);
            left -= nap;
        }
    }
}

fn is_too_large(frame: &Frame) -> bool {
    is_large(frame) || frame.bytes() > LIVE_BYTES_MAX
}

/// Adds what the source has counted since `told`; gives what it has counted by now.
fn publish(now: Tally, told: Tally, shared: &Shared) -> Tally {
    if now != told {
        shared.frames_dropped.fetch_add(now.dropped.saturating_sub(told.dropped), Ordering::Relaxed);
        shared.frames_damaged.fetch_add(now.damaged.saturating_sub(told.damaged), Ordering::Relaxed);
    }
    now
}

/// Closes the queue when the capture thread ends, by a panic too.
struct Ending<'a>(&'a Queue<Captured>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The pipeline has stopped.
struct Stopped;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_away_is_asked_often_and_one_that_flaps_less_often() {
        let mut pauses = Pauses::new();
        assert_eq!(pauses.loss(), FLAPPING.0);
        for _ in 0..100 {
            assert_eq!(pauses.loss(), AWAY, "however long it is away");
        }
        let flaps: Vec<u128> = (0..5)
            .map(|_| {
                pauses.frame();
                pauses.loss().as_millis()
            })
            .collect();
        assert_eq!(flaps, [200, 400, 800, 1000, 1000]);
        (0..STEADY_FRAMES).for_each(|_| pauses.frame());
        assert_eq!(pauses.loss(), FLAPPING.0);
    }
}
