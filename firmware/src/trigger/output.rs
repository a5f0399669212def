//! An output line with a safe level.
//!
//! The safe level is "off". It is driven when the output is made, on [`Output::fail_safe`], and when
//! the output is dropped. A line that refuses is tried again at the next call.

use embedded_hal::digital::OutputPin;

/// What an output should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputWish {
    /// The thing on the line works.
    On,
    /// It does not; the safe level.
    Off,
}

/// Which level means on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Polarity {
    /// High is on, low is safe.
    #[default]
    ActiveHigh,
    /// Low is on, high is safe.
    ActiveLow,
}

/// The line changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// From low to high.
    Rising,
    /// From high to low.
    Falling,
}

/// A line and what it was last driven to.
#[derive(Debug)]
pub struct Output<P: OutputPin> {
    pin: P,
    polarity: Polarity,
    /// `None` until the line has taken a level.
    driven: Option<OutputWish>,
    errors: u32,
}

impl<P: OutputPin> Output<P> {
    /// Drives the safe level. If the line refuses, the next call tries again.
    pub fn new(pin: P, polarity: Polarity) -> Output<P> {
        let mut output = Output { pin, polarity, driven: None, errors: 0 };
        let _ = output.fail_safe(); // counted, and tried again by every set()
        output
    }

    /// Drives `wish`; writes only on a change. `Ok(Some(edge))` if the line moved.
    ///
    /// # Errors
    /// The line's own; it is counted, and the next call tries again.
    pub fn set(&mut self, wish: OutputWish) -> Result<Option<Edge>, P::Error> {
        if self.driven == Some(wish) {
            return Ok(None);
        }
        let high = (wish == OutputWish::On) == (self.polarity == Polarity::ActiveHigh);
        let written = if high { self.pin.set_high() } else { self.pin.set_low() };
        match written {
            Ok(()) => {
                self.driven = Some(wish);
                Ok(Some(if high { Edge::Rising } else { Edge::Falling }))
            }
            Err(error) => {
                self.driven = None; // nobody knows what the line is now
                self.errors = self.errors.saturating_add(1);
                Err(error)
            }
        }
    }

    /// Drives the safe level, whatever was driven before.
    ///
    /// # Errors
    /// The line's own; it is counted.
    pub fn fail_safe(&mut self) -> Result<(), P::Error> {
        self.driven = None;
        self.set(OutputWish::Off).map(|_| ())
    }

    /// What the line was last driven to; `None` if it refused.
    pub fn driven(&self) -> Option<OutputWish> {
        self.driven
    }

    /// Times the line refused.
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// The line.
    pub fn pin(&self) -> &P {
        &self.pin
    }
}

impl<P: OutputPin> Drop for Output<P> {
    fn drop(&mut self) {
        let _ = self.fail_safe(); // nobody is left to tell
    }
}

#[cfg(test)]
mod tests {
    use super::super::SimulatedPin;
    use super::*;
    use std::vec::Vec;

    fn levels(output: &Output<SimulatedPin>) -> Vec<bool> {
        output.pin().edges().copied().collect()
    }

    #[test]
    fn safe_first_and_written_only_on_a_change() {
        let mut output = Output::new(SimulatedPin::default(), Polarity::ActiveHigh);
        assert_eq!(output.set(OutputWish::Off), Ok(None));
        assert_eq!(output.set(OutputWish::On), Ok(Some(Edge::Rising)));
        assert_eq!(output.set(OutputWish::On), Ok(None));
        output.fail_safe().unwrap();
        assert_eq!(levels(&output), [false, true, false]);
    }

    #[test]
    fn active_low_is_safe_when_high() {
        let mut output = Output::new(SimulatedPin::default(), Polarity::ActiveLow);
        assert_eq!(output.set(OutputWish::On), Ok(Some(Edge::Falling)));
        assert_eq!(levels(&output), [true, false]);
    }

    #[test]
    fn a_line_that_refuses_is_tried_again() {
        let mut pin = SimulatedPin::default();
        pin.fail_write(1); // the second: the first is the safe level
        let mut output = Output::new(pin, Polarity::ActiveHigh);
        assert!(output.set(OutputWish::On).is_err());
        assert_eq!((output.driven(), output.errors()), (None, 1));
        assert_eq!(output.set(OutputWish::On), Ok(Some(Edge::Rising)));
    }

    #[test]
    fn dropping_is_safe() {
        let mut pin = SimulatedPin::default();
        drop(Output { pin: &mut pin, polarity: Polarity::ActiveHigh, driven: Some(OutputWish::On), errors: 0 });
        assert_eq!(pin.edges().last(), Some(&false));
    }
}
