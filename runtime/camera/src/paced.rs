//! A replay that behaves like a live camera.
//!
//! [`Paced`] gives the source behind it a frame rate on a [`Clock`]. Frame n is taken n periods after the first call. A
//! reader that comes early waits, but not past its deadline; a reader that comes late gets the newest frame, and the ones
//! before it are dropped: passed over in the replay, counted, and seen as a gap in `seq`. `captured_us` is the clock's
//! time at which the frame was due. With [`Paced::repeat`] the replay begins again when it ends.
//! It never waits for the reader and never holds more than one frame.

use std::time::Duration;

use super::{Next, Pacing, Source, SourceError, Tally};
use crate::clock::Clock;
use crate::frame::Frame;

/// The slowest rate, in frames a second.
pub const FPS_MIN: f64 = 0.001;
/// The fastest rate, in frames a second.
pub const FPS_MAX: f64 = 1000.0;
/// The most frames of the replay that one call passes over; a reader that slept longer finds the replay behind its time,
/// though not the count of drops.
pub const SKIPS_MAX: u64 = 1000;

/// A source at a fixed rate, in real time.
#[derive(Debug)]
pub struct Paced<S, C> {
    source: S,
    clock: C,
    fps: f64,
    repeat: bool,
    /// The clock's time at the first call.
    start_us: Option<u64>,
    /// The first frame that was neither delivered nor dropped.
    next: u64,
    dropped: u64,
}

impl<S: Source, C: Clock> Paced<S, C> {
    /// `source` at `fps` frames a second.
    ///
    /// # Errors
    /// [`SourceError::BadSpec`] for a rate outside [`FPS_MIN`] to [`FPS_MAX`].
    pub fn new(source: S, fps: f64, clock: C) -> Result<Self, SourceError> {
        if !(FPS_MIN..=FPS_MAX).contains(&fps) {
            let why = format!("a rate is {FPS_MIN} to {FPS_MAX} frames a second");
            return Err(SourceError::BadSpec { spec: format!("{fps} frames a second"), why });
        }
        Ok(Self { source, clock, fps, repeat: false, start_us: None, next: 0, dropped: 0 })
    }

    /// Whether the replay begins again when it ends.
    #[must_use]
    pub fn repeat(mut self, repeat: bool) -> Self {
        self.repeat = repeat;
        self
    }

    /// The frames that the reader missed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When frame `number` is due, in microseconds after the start. From the number and not by adding up periods, so
    /// that rounding does not add up either.
    fn due_us(&self, number: u64) -> u64 {
        (number as f64 * 1e6 / self.fps).ceil() as u64
    }

    /// The newest frame that is due at `elapsed_us`.
    fn newest(&self, elapsed_us: u64) -> u64 {
        let guess = (elapsed_us as f64 * self.fps / 1e6) as u64;
        // The float is off by one at most near a boundary.
        if self.due_us(guess) > elapsed_us {
            guess.saturating_sub(1)
        } else if self.due_us(guess + 1) <= elapsed_us {
            guess + 1
        } else {
            guess
        }
    }

    /// One step of the replay, around its end if it repeats. An empty replay ends even so.
    fn step(&mut self, frame: &mut Frame, pass_over: bool) -> Next {
        for turn in 0..2 {
            let step = if pass_over { self.source.skip(frame) } else { self.source.next(frame, Duration::ZERO) };
            match step {
                Next::End if self.repeat && turn == 0 => match self.source.rewind() {
                    Ok(true) => {}
                    Ok(false) => return Next::End,
                    Err(error) => return Next::Lost(error),
                },
                other => return other,
            }
        }
        Next::End
    }
}

impl<S: Source, C: Clock> Source for Paced<S, C> {
    fn next(&mut self, frame: &mut Frame, deadline: Duration) -> Next {
        let mut now_us = self.clock.mono().us();
        let start_us = *self.start_us.get_or_insert(now_us);
        let due_at_us = start_us.saturating_add(self.due_us(self.next));
        if due_at_us > now_us {
            let wait_us = due_at_us - now_us;
            let deadline_us = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
            self.clock.sleep_us(wait_us.min(deadline_us));
            if wait_us > deadline_us {
                return Next::Timeout;
            }
            // A clock that woke too early must not deliver a frame before its time, nor the frame before it again.
            now_us = self.clock.mono().us().max(due_at_us);
        }
        let newest = self.newest(now_us.saturating_sub(start_us)).max(self.next);
        let missed = newest - self.next;
        for _ in 0..missed.min(SKIPS_MAX) {
            match self.step(frame, true) {
                Next::Frame | Next::Broken(_) | Next::Timeout => {}
                ended @ (Next::End | Next::Lost(_)) => return ended,
            }
        }
        self.dropped = self.dropped.saturating_add(missed);
        self.next = newest + 1;
        let step = self.step(frame, false);
        if matches!(step, Next::Frame) {
            frame.seq = newest;
            frame.captured_us = start_us.saturating_add(self.due_us(newest));
        }
        step
    }

    fn pacing(&self) -> Pacing {
        Pacing::Live
    }

    fn describe(&self) -> String {
        let again = if self.repeat { ", over and over" } else { "" };
        format!("{} at {} frames a second{again}", self.source.describe(), self.fps)
    }

    fn len_hint(&self) -> Option<u64> {
        if self.repeat { None } else { self.source.len_hint() }
    }

    fn tally(&self) -> Tally {
        Tally { dropped: self.dropped, ..self.source.tally() }
    }

    fn rewind(&mut self) -> Result<bool, SourceError> {
        (self.start_us, self.next) = (None, 0);
        self.source.rewind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Mono, Wall};
    use crate::{Bundled, Photo};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const GREY: &[u8] = include_bytes!("frame/fixtures/grey_32x16.jpg");
    const THREE: &[Photo] = &[("a", GREY), ("b", GREY), ("c", GREY)];

    #[derive(Clone, Default)]
    struct Hand(Arc<AtomicU64>);

    impl Hand {
        fn pass(&self, us: u64) {
            self.0.fetch_add(us, Ordering::Relaxed);
        }
    }

    impl Clock for Hand {
        fn mono(&self) -> Mono {
            Mono::from_us(self.0.load(Ordering::Relaxed))
        }
        fn wall(&self) -> Wall {
            Wall::default()
        }
        fn sleep_us(&self, duration_us: u64) {
            self.pass(duration_us);
        }
    }

    fn live(fps: f64, repeat: bool) -> (Paced<Bundled, Hand>, Hand) {
        let clock = Hand::default();
        clock.pass(5_000_000);
        (Paced::new(Bundled::new(THREE), fps, clock.clone()).unwrap().repeat(repeat), clock)
    }

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn an_early_reader_waits_for_the_frame() {
        let (mut source, clock) = live(10.0, false);
        let mut frame = Frame::new();
        for n in 0..3 {
            assert!(matches!(source.next(&mut frame, LONG), Next::Frame));
            assert_eq!((frame.seq, frame.captured_us), (n, 5_000_000 + n * 100_000));
            assert_eq!(clock.mono().us(), frame.captured_us);
        }
        assert!(matches!(source.next(&mut frame, LONG), Next::End));
        assert_eq!((source.dropped(), source.pacing()), (0, Pacing::Live));
    }

    #[test]
    fn a_wait_ends_at_the_deadline() {
        let (mut source, clock) = live(10.0, false);
        let mut frame = Frame::new();
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Frame));
        assert!(matches!(source.next(&mut frame, Duration::from_millis(40)), Next::Timeout));
        assert_eq!(clock.mono().us(), 5_040_000);
        assert!(matches!(source.next(&mut frame, Duration::ZERO), Next::Timeout));
        assert!(matches!(source.next(&mut frame, Duration::from_millis(60)), Next::Frame));
        assert_eq!(frame.seq, 1);
    }

    #[test]
    fn a_late_reader_gets_the_newest_and_a_gap() {
        let (mut source, clock) = live(10.0, true);
        let mut frame = Frame::new();
        assert!(matches!(source.next(&mut frame, LONG), Next::Frame));
        clock.pass(450_000);
        assert!(matches!(source.next(&mut frame, LONG), Next::Frame));
        // a b c a b: frame 4 is the second photograph of the second round.
        assert_eq!((frame.seq, frame.name(), source.dropped(), source.tally().dropped), (4, "b", 3, 3));
        assert_eq!(frame.captured_us, 5_400_000);
        assert_eq!(source.len_hint(), None);
    }

    #[test]
    fn a_very_late_reader_costs_a_bounded_time() {
        let (mut source, clock) = live(1000.0, true);
        let mut frame = Frame::new();
        assert!(matches!(source.next(&mut frame, LONG), Next::Frame));
        clock.pass(1 << 50);
        assert!(matches!(source.next(&mut frame, LONG), Next::Frame));
        assert_eq!(frame.seq, (1u64 << 50) / 1000);
        assert_eq!(source.dropped(), frame.seq - 1);
    }

    #[test]
    fn without_repeat_a_late_reader_finds_the_end() {
        let (mut source, clock) = live(10.0, false);
        assert!(matches!(source.next(&mut Frame::new(), LONG), Next::Frame));
        clock.pass(2_000_000);
        assert!(matches!(source.next(&mut Frame::new(), LONG), Next::End));
    }

    #[test]
    fn nothing_repeated_is_still_nothing() {
        let mut source = Paced::new(Bundled::new(&[]), 5.0, Hand::default()).unwrap().repeat(true);
        assert!(matches!(source.next(&mut Frame::new(), LONG), Next::End));
    }

    #[test]
    fn odd_rates_do_not_drift() {
        let (mut source, _clock) = live(29.97, true);
        let mut frame = Frame::new();
        for n in 0..3000u64 {
            assert!(matches!(source.next(&mut frame, LONG), Next::Frame));
            assert_eq!(frame.seq, n);
        }
        let want_us = 5e6 + 2999.0 * 1e6 / 29.97;
        assert!((frame.captured_us as f64 - want_us).abs() < 2.0);
    }

    #[test]
    fn silly_rates_are_refused() {
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Paced::new(Bundled::new(THREE), fps, Hand::default()).is_err(), "{fps}");
        }
    }
}
