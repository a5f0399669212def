//! The capture thread: fills free frames from the source.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::queue::{Pop, Queue, Refused};
use super::{Captured, Shared};
use lapwing_camera::clock::Clock;
use lapwing_camera::frame::Frame;
use lapwing_camera::{Next, Pacing, Source, Tally};

/// Longest wait for a frame before the stop flag is looked at again.
const WAIT: Duration = Duration::from_millis(100);
/// First and longest pause before a lost source is asked again; each is twice the one before.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// So many frames in a row, and the next loss is taken for a new one: a source that comes and goes is not asked, and
/// does not fill the log, ten times a second.
const STEADY_FRAMES: u32 = 50;

/// Runs until the source ends or the pipeline stops; then closes `captured`.
pub(super) fn run(
    mut source: Box<dyn Source>,
    pacing: Pacing,
    captured: &Queue<Captured>,
    free: &Queue<Frame>,
    clock: &dyn Clock,
    shared: &Shared,
) {
    let _ending = Ending(captured);
    let mut spare: Option<Frame> = None;
    let mut seq = 0u64;
    let mut pause = BACKOFF.0;
    let mut steady = 0u32;
    let mut told = Tally::default();
    while !shared.stop.load(Ordering::SeqCst) {
        let Some(mut frame) = spare.take().or_else(|| take_free(captured, free, pacing, shared)) else { continue };
        let next = source.next(&mut frame, WAIT);
        told = publish(source.tally(), told, shared);
        let handed_over = match next {
            Next::Frame => {
                steady = steady.saturating_add(1);
                if steady >= STEADY_FRAMES {
                    pause = BACKOFF.0;
                }
                seq += 1;
                frame.seq = seq;
                let taken_us = clock.mono_us().saturating_sub(frame.age_us);
                if frame.age_us > 0 {
                    frame.captured_us = taken_us; // on one clock with everything else
                }
                hand_over(Captured::Frame(frame, taken_us), captured, free, pacing, shared)
            }
            Next::Timeout => {
                spare = Some(frame);
                Ok(())
            }
            Next::Broken(error) => {
                spare = Some(frame);
                hand_over(Captured::Broken(error), captured, free, Pacing::OnDemand, shared)
            }
            Next::Lost(error) => {
                spare = Some(frame);
                let told = hand_over(Captured::Lost(error, clock.mono_us()), captured, free, Pacing::OnDemand, shared);
                sleep_unless_stopped(pause, shared);
                steady = 0;
                pause = (pause * 2).min(BACKOFF.1);
                told
            }
            Next::End => break,
        };
        if handed_over.is_err() {
            break;
        }
    }
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

/// A free frame; a live source that finds none takes back the one that waits, and counts it.
fn take_free(captured: &Queue<Captured>, free: &Queue<Frame>, pacing: Pacing, shared: &Shared) -> Option<Frame> {
    let wait = if pacing == Pacing::Live { Duration::ZERO } else { WAIT };
    if let Pop::Item(frame) = free.pop(wait) {
        return Some(frame);
    }
    if pacing == Pacing::Live {
        match captured.pop(Duration::ZERO) {
            Pop::Item(Captured::Frame(frame, _)) => {
                shared.frames_dropped.fetch_add(1, Ordering::Relaxed);
                return Some(frame);
            }
            Pop::Item(message) => {
                let _ = captured.push_newest(message); // back where it was: there is room
            }
            Pop::Timeout | Pop::Closed => {}
        }
        return match free.pop(WAIT) {
            Pop::Item(frame) => Some(frame),
            Pop::Timeout | Pop::Closed => None,
        };
    }
    None
}

/// The pipeline has stopped.
struct Stopped;

fn hand_over(
    item: Captured,
    captured: &Queue<Captured>,
    free: &Queue<Frame>,
    pacing: Pacing,
    shared: &Shared,
) -> Result<(), Stopped> {
    let mut item = item;
    if pacing == Pacing::Live {
        // a frame goes for a newer one; a failure is told first
        match captured.push_over(item, |waiting| matches!(waiting, Captured::Frame(..))) {
            Ok(evicted) => {
                if let Some(Captured::Frame(frame, _)) = evicted {
                    shared.frames_dropped.fetch_add(1, Ordering::Relaxed);
                    let _ = free.push_newest(frame); // the queue holds every frame there is
                }
                return Ok(());
            }
            Err(Refused::Full(back)) => item = back,
            Err(Refused::Closed(_)) => return Err(Stopped),
        }
    }
    loop {
        match captured.push(item, WAIT) {
            Ok(()) => return Ok(()),
            Err(Refused::Full(back)) if !shared.stop.load(Ordering::SeqCst) => item = back,
            Err(_) => return Err(Stopped),
        }
    }
}

fn sleep_unless_stopped(pause: Duration, shared: &Shared) {
    let mut left = pause;
    while !left.is_zero() && !shared.stop.load(Ordering::SeqCst) {
        let nap = left.min(WAIT);
        std::thread::sleep(nap);
        left -= nap;
    }
}
