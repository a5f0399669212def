//! The watchdog's food is progress: nobody feeds it because time has passed.
//!
//! A [`Dog`] resets the board, or has the process restarted, unless it is fed in time. [`Feeder`] passes it the
//! progress of the program, at most a few times per timeout, and nothing else: a program that only waits starves it.
//!
//! ```
//! use lapwing_firmware::watchdog::{Dog, Feeder};
//! struct Counts(u32);
//! impl Dog for Counts {
//!     type Error = core::convert::Infallible;
//!     fn feed(&mut self) -> Result<(), Self::Error> {
//!         self.0 += 1;
//!         Ok(())
//!     }
//! }
//! let mut feeder = Feeder::new(Counts(0), 4_000_000); // bites after 4 s
//! for frame in 0..100 {
//!     feeder.progress(frame * 40_000).unwrap(); // 25 frames a second
//! }
//! assert_eq!(feeder.dog().0, 4); // fed once a second
//! ```

/// What bites unless it is fed.
pub trait Dog {
    /// Why it could not be fed.
    type Error;

    /// Feeds it once.
    ///
    /// # Errors
    /// It is not there any more.
    fn feed(&mut self) -> Result<(), Self::Error>;
}

/// Times that a dog is fed, at most, until it would bite.
pub const KICKS_MAX: u64 = 4;

/// Feeds a dog by progress.
#[derive(Debug)]
pub struct Feeder<D> {
    dog: D,
    pause_us: u64,
    fed_us: Option<u64>,
}

impl<D: Dog> Feeder<D> {
    /// A dog that bites after `timeout_us` without food.
    pub fn new(dog: D, timeout_us: u64) -> Feeder<D> {
        Feeder { dog, pause_us: timeout_us / KICKS_MAX, fed_us: None }
    }

    /// Something was achieved at `now_us`. A dog that was fed a moment ago is left alone.
    ///
    /// # Errors
    /// The dog's own; the next progress tries again.
    pub fn progress(&mut self, now_us: u64) -> Result<(), D::Error> {
        // a clock that went backwards must not starve it
        if self.fed_us.is_some_and(|fed_us| now_us >= fed_us && now_us - fed_us < self.pause_us) {
            return Ok(());
        }
        self.dog.feed()?;
        self.fed_us = Some(now_us);
        Ok(())
    }

    /// The dog.
    pub fn dog(&self) -> &D {
        &self.dog
    }

    /// The dog, no longer fed.
    pub fn into_dog(self) -> D {
        self.dog
    }

    /// The dog, to say something else to it.
    pub fn dog_mut(&mut self) -> &mut D {
        &mut self.dog
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Eats, and refuses some kicks.
    struct Picky {
        kicks: u32,
        refuse: u32,
    }

    impl Dog for Picky {
        type Error = &'static str;

        fn feed(&mut self) -> Result<(), &'static str> {
            if self.refuse > 0 {
                self.refuse -= 1;
                return Err("no");
            }
            self.kicks += 1;
            Ok(())
        }
    }

    #[test]
    fn a_refused_meal_is_offered_again_at_the_next_progress() {
        let mut feeder = Feeder::new(Picky { kicks: 0, refuse: 1 }, 4_000);
        assert_eq!(feeder.progress(0), Err("no"));
        assert_eq!(feeder.progress(1), Ok(()));
        assert_eq!(feeder.progress(2), Ok(()));
        assert_eq!(feeder.dog().kicks, 1);
    }

    proptest! {
        /// Progress in time keeps it quiet; it is fed by nothing else and never more often than [`KICKS_MAX`] a timeout.
        #[test]
        fn steady_progress_never_starves_it(timeout_us in 4u64..1_000_000, steps in prop::collection::vec(any::<u16>(), 1..200)) {
            let mut feeder = Feeder::new(Picky { kicks: 0, refuse: 0 }, timeout_us);
            let (mut now_us, mut fed_us, mut kicks) = (0, 0, 0);
            for step in steps {
                now_us += u64::from(step) % (timeout_us - timeout_us / KICKS_MAX).max(1); // never later than this
                feeder.progress(now_us).unwrap();
                if feeder.dog().kicks > kicks {
                    prop_assert!(kicks == 0 || now_us - fed_us >= timeout_us / KICKS_MAX);
                    (kicks, fed_us) = (feeder.dog().kicks, now_us);
                }
                prop_assert!(now_us - fed_us < timeout_us, "starved at {now_us}, fed at {fed_us}");
            }
        }
    }
}
