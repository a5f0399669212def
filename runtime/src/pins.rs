//! The lines that rules drive and hear, whatever is behind them.
//!
//! When an output is safe, and what wiring that needs, is said in [`lapwing_firmware::linux::gpio::output`].

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use lapwing_firmware::linux::gpio::{GpioError, InputEdge, InputLine, InputOptions, LineAddress, OutputLine};
use lapwing_firmware::trigger::{Polarity, SimulatedPin};

/// An output line, whatever drives it.
#[derive(Debug)]
pub enum Line {
    /// A line in memory that keeps its last edges.
    Simulated(SimulatedPin),
    /// A line of this board.
    Gpio(OutputLine),
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
            Line::Gpio(line) => line.set_low().map_err(|e| LineError(e.kind())),
            #[cfg(test)]
            Line::Probe(probe) => (probe.0)(false),
        }
    }

    fn set_high(&mut self) -> Result<(), LineError> {
        match self {
            Line::Simulated(pin) => pin.set_high().map_err(|e| LineError(e.kind())),
            Line::Gpio(line) => line.set_high().map_err(|e| LineError(e.kind())),
            #[cfg(test)]
            Line::Probe(probe) => (probe.0)(true),
        }
    }
}

impl Line {
    /// Takes the line at its safe level; without an address, one in memory.
    ///
    /// # Errors
    /// There is no such line, it is held, or this user may not have it.
    pub fn open(address: Option<&LineAddress>, polarity: Polarity) -> Result<Line, GpioError> {
        Ok(match address {
            Some(address) => Line::Gpio(OutputLine::take(address, polarity == Polarity::ActiveLow)?),
            None => Line::Simulated(SimulatedPin::default()),
        })
    }

    /// True if no wire leaves this line.
    pub fn is_simulated(&self) -> bool {
        matches!(self, Line::Simulated(_))
    }
}

/// An input line, whatever is behind it.
#[derive(Debug)]
pub enum Input {
    /// A line of this board.
    Gpio(Box<InputLine>),
    /// Edges that a test makes.
    #[cfg(test)]
    Script(Script),
}

/// An input by a script.
#[cfg(test)]
pub struct Script {
    /// Its level at the start.
    pub active: bool,
    /// The next edge, if there is one by now.
    pub next: Box<dyn FnMut() -> Result<Option<InputEdge>, GpioError> + Send>,
}

#[cfg(test)]
impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Input {
    /// Takes the line and arms its edges: from now on none is missed.
    ///
    /// # Errors
    /// There is no such line, it is held, or this user may not have it.
    pub fn open(address: &LineAddress, options: InputOptions) -> Result<Input, GpioError> {
        Ok(Input::Gpio(Box::new(InputLine::take(address, options)?)))
    }

    /// True if it was active when it was last asked.
    pub fn is_active(&self) -> bool {
        match self {
            Input::Gpio(line) => line.is_active(),
            #[cfg(test)]
            Input::Script(script) => script.active,
        }
    }

    /// The oldest edge that was not told yet. Does not wait.
    ///
    /// # Errors
    /// The chip is gone.
    pub fn next_edge(&mut self) -> Result<Option<InputEdge>, GpioError> {
        match self {
            Input::Gpio(line) => line.next(),
            #[cfg(test)]
            Input::Script(script) => (script.next)(),
        }
    }
}
