//! A line in memory: its level, its last edges, and how many edges were forgotten.
//!
//! For boards without wires and for tests: it can be told to refuse a write.

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use heapless::Deque;

pub use crate::limits::EDGES_MAX;

/// A line in memory.
#[derive(Debug, Default)]
pub struct SimulatedPin {
    level: Option<bool>,
    edges: Deque<bool, EDGES_MAX>,
    forgotten: u64,
    writes: u64,
    fail_at: Option<u64>,
}

/// The line was told to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedError;

impl Error for SimulatedError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl SimulatedPin {
    /// The level; `None` before the first write.
    pub fn level(&self) -> Option<bool> {
        self.level
    }

    /// The last levels that the line changed to, oldest first.
    pub fn edges(&self) -> impl Iterator<Item = &bool> {
        self.edges.iter()
    }

    /// Edges older than those remembered.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Write number `write`, from 0, will be refused.
    pub fn fail_write(&mut self, write: u64) {
        self.fail_at = Some(write);
    }

    fn write(&mut self, level: bool) -> Result<(), SimulatedError> {
        let write = self.writes;
        self.writes += 1;
        if self.fail_at == Some(write) {
            return Err(SimulatedError);
        }
        if self.level != Some(level) {
            self.level = Some(level);
            if self.edges.is_full() {
                self.edges.pop_front();
                self.forgotten += 1;
            }
            let _ = self.edges.push_back(level); // there is room
        }
        Ok(())
    }
}

impl ErrorType for SimulatedPin {
    type Error = SimulatedError;
}

impl OutputPin for SimulatedPin {
    fn set_low(&mut self) -> Result<(), SimulatedError> {
        self.write(false)
    }

    fn set_high(&mut self) -> Result<(), SimulatedError> {
        self.write(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_bounded_and_counted() {
        let mut pin = SimulatedPin::default();
        for _ in 0..EDGES_MAX {
            pin.set_high().unwrap();
            pin.set_high().unwrap();
            pin.set_low().unwrap();
        }
        assert_eq!(pin.edges().count(), EDGES_MAX);
        assert_eq!(pin.forgotten(), EDGES_MAX as u64);
        assert_eq!(pin.level(), Some(false));
    }
}
