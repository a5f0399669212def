//! Debouncing by time, for boards whose kernel does not do it, or that have none.
//!
//! A contact that closes bounces for some milliseconds. A level counts once it has stood for the whole period;
//! anything shorter never happened.
//!
//! ```
//! use lapwing_firmware::trigger::{Debouncer, Edge};
//! let mut button = Debouncer::new(20_000, false); // 20 ms, low at first
//! assert_eq!(button.update(0, true), None);
//! assert_eq!(button.update(5_000, false), None); // it bounced: the period begins anew
//! assert_eq!(button.update(6_000, true), None);
//! assert_eq!(button.update(26_000, true), Some(Edge::Rising));
//! ```
//!
//! It promises: edges alternate; an edge is told at the first look at which its level has been seen, without a look
//! that saw the other one in between, for the period; a clock that goes backwards is taken to stand still. It sees what
//! it is shown: a pulse between two looks is none.

use embedded_hal::digital::InputPin;

use super::Edge;

/// Makes a clean level of one that bounces.
#[derive(Debug, Clone, Copy)]
pub struct Debouncer {
    period_us: u32,
    level: bool,
    /// Since when the other level has stood.
    other_since_us: Option<u64>,
    now_us: u64,
}

impl Debouncer {
    /// A level counts once it has stood for `period_us`; until then it is `level`.
    pub fn new(period_us: u32, level: bool) -> Debouncer {
        Debouncer { period_us, level, other_since_us: None, now_us: 0 }
    }

    /// The level that counts.
    pub fn level(&self) -> bool {
        self.level
    }

    /// At `now_us` the line had `level`. `Some(edge)` if it counts from now on.
    pub fn update(&mut self, now_us: u64, level: bool) -> Option<Edge> {
        self.now_us = self.now_us.max(now_us);
        if level == self.level {
            self.other_since_us = None;
            return None;
        }
        let since_us = *self.other_since_us.get_or_insert(self.now_us);
        if self.now_us - since_us < u64::from(self.period_us) {
            return None;
        }
        self.level = level;
        self.other_since_us = None;
        Some(if level { Edge::Rising } else { Edge::Falling })
    }
}

/// A pin with a debouncer: call [`poll`](DebouncedPin::poll) several times a period.
#[derive(Debug)]
pub struct DebouncedPin<P> {
    pin: P,
    debouncer: Debouncer,
}

impl<P: InputPin> DebouncedPin<P> {
    /// Reads the pin's level as the first one that counts.
    ///
    /// # Errors
    /// The pin's own.
    pub fn new(mut pin: P, period_us: u32) -> Result<DebouncedPin<P>, P::Error> {
        let level = pin.is_high()?;
        Ok(DebouncedPin { pin, debouncer: Debouncer::new(period_us, level) })
    }

    /// Looks at the pin.
    ///
    /// # Errors
    /// The pin's own; the level that counts stays.
    pub fn poll(&mut self, now_us: u64) -> Result<Option<Edge>, P::Error> {
        let level = self.pin.is_high()?;
        Ok(self.debouncer.update(now_us, level))
    }

    /// The level that counts.
    pub fn level(&self) -> bool {
        self.debouncer.level()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::digital::{ErrorKind, ErrorType};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The same by its definition: the looks behind the last one that saw the level that counts span the period.
    fn twin(period_us: u32, looks: &[(u64, bool)]) -> Vec<Option<Edge>> {
        let mut level = false;
        let mut from = 0; // of the looks that may count
        let mut edges = Vec::new();
        for (at, &(now_us, _)) in looks.iter().enumerate() {
            let same = looks[from..=at].iter().rposition(|(_, seen)| *seen == level).map_or(from, |i| from + i + 1);
            let stood = looks.get(same).filter(|_| same <= at).is_some_and(|(s, _)| now_us - s >= u64::from(period_us));
            edges.push(stood.then(|| {
                level = !level;
                from = at + 1;
                if level { Edge::Rising } else { Edge::Falling }
            }));
        }
        edges
    }

    proptest! {
        #[test]
        fn it_is_its_definition(period_us in 0u32..2000, steps in prop::collection::vec((0u64..700, any::<bool>()), 0..80)) {
            let mut now_us = 0;
            let looks: Vec<(u64, bool)> = steps.into_iter().map(|(step, level)| { now_us += step; (now_us, level) }).collect();
            let mut debouncer = Debouncer::new(period_us, false);
            let edges: Vec<Option<Edge>> = looks.iter().map(|(at, level)| debouncer.update(*at, *level)).collect();
            prop_assert_eq!(edges, twin(period_us, &looks));
        }

        /// Whatever the clock does, edges alternate and none comes sooner after the last than the period.
        #[test]
        fn edges_alternate_and_keep_their_distance(period_us in 1u32..2000, looks in prop::collection::vec((0u64..20_000, any::<bool>()), 0..200)) {
            let mut debouncer = Debouncer::new(period_us, false);
            let (mut now_us, mut last, mut last_us) = (0, Edge::Falling, None::<u64>);
            for (at, level) in looks {
                now_us = at.max(now_us);
                if let Some(edge) = debouncer.update(at, level) {
                    prop_assert_ne!(edge, last);
                    prop_assert!(last_us.is_none_or(|before| now_us - before >= u64::from(period_us)));
                    (last, last_us) = (edge, Some(now_us));
                    prop_assert_eq!(debouncer.level(), edge == Edge::Rising);
                }
            }
        }
    }

    /// A pin that shows what it is told to, and fails.
    struct Shown(Vec<Result<bool, ErrorKind>>);

    impl ErrorType for Shown {
        type Error = ErrorKind;
    }

    impl InputPin for Shown {
        fn is_high(&mut self) -> Result<bool, ErrorKind> {
            self.0.pop().unwrap_or(Err(ErrorKind::Other))
        }

        fn is_low(&mut self) -> Result<bool, ErrorKind> {
            self.is_high().map(|high| !high)
        }
    }

    #[test]
    fn a_pin_is_polled_and_its_failure_changes_nothing() {
        let shown = [Err(ErrorKind::Other), Ok(true), Err(ErrorKind::Other), Ok(true), Ok(false)];
        let mut pin = DebouncedPin::new(Shown(shown.to_vec()), 10).unwrap();
        assert_eq!(pin.poll(0), Ok(None));
        assert_eq!(pin.poll(5), Err(ErrorKind::Other));
        assert_eq!(pin.poll(10), Ok(Some(Edge::Rising)));
        assert_eq!(pin.poll(20), Err(ErrorKind::Other));
        assert!(pin.level());
    }
}
