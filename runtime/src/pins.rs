//! The output lines that this build can drive.

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use lapwing_firmware::trigger::SimulatedPin;

/// An output line, whatever drives it.
#[derive(Debug)]
pub enum Line {
    /// A line in memory that keeps its last edges.
    Simulated(SimulatedPin),
    /// A line that a test looks at from outside.
    #[cfg(test)]
    Probe(Probe),
}

/// Is told each level that is written, and may refuse it.
#[cfg(test)]
pub struct Probe(pub Box<dyn FnMut(bool) -> Result<(), LineError> + Send>);

#[cfg(test)]
impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// A line could not be driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the output line could not be driven ({0:?})")]
pub struct LineError(pub ErrorKind);

impl Error for LineError {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

impl ErrorType for Line {
    type Error = LineError;
}

impl OutputPin for Line {
    fn set_low(&mut self) -> Result<(), LineError> {
        match self {
            Line::Simulated(pin) => pin.set_low().map_err(|e| LineError(e.kind())),
            #[cfg(test)]
            Line::Probe(probe) => (probe.0)(false),
        }
    }

    fn set_high(&mut self) -> Result<(), LineError> {
        match self {
            Line::Simulated(pin) => pin.set_high().map_err(|e| LineError(e.kind())),
            #[cfg(test)]
            Line::Probe(probe) => (probe.0)(true),
        }
    }
}

impl Line {
    /// True if no wire leaves this line.
    pub fn is_simulated(&self) -> bool {
        matches!(self, Line::Simulated(_))
    }
}
