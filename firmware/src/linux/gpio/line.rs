//! A line: its address, what is known of it, and who holds ours.

use std::fmt;
use std::path::PathBuf;
use std::string::String;

/// The name that other programs see as the holder of our lines.
pub const CONSUMER: &str = "lapwing";

/// A line on a chip, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineId {
    /// Its number on the chip.
    Number(u32),
    /// Its name, such as `GPIO17`.
    Name(String),
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineId::Number(number) => write!(f, "{number}"),
            LineId::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// Where a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineAddress {
    /// The chip: `/dev/gpiochip0`, `gpiochip0`, or its label; `None` looks for a line's name on every chip.
    pub chip: Option<String>,
    /// The line.
    pub line: LineId,
}

impl fmt::Display for LineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chip {
            Some(chip) => write!(f, "line {} of {chip}", self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineInfo {
    /// Its chip's device.
    pub chip: PathBuf,
    /// Its number on the chip.
    pub number: u32,
    /// Its name; empty if it has none.
    pub name: String,
    /// True if somebody holds it.
    pub used: bool,
    /// Who holds it, where the kernel knows.
    pub consumer: String,
    /// True if it is driven.
    pub output: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn address(chip: Option<&str>, line: LineId) -> LineAddress {
        LineAddress { chip: chip.map(str::to_string), line }
    }

    #[test]
    fn addresses_are_told_as_they_are_written() {
        assert_eq!(address(Some("gpiochip0"), LineId::Number(17)).to_string(), "line 17 of gpiochip0");
        assert_eq!(address(None, LineId::Name("GPIO17".into())).to_string(), "line \"GPIO17\"");
    }
}
