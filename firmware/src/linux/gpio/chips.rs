//! The chips of this board: what they are, their lines, and the line that an address means.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

use super::error::GpioError;
use super::line::{LineAddress, LineId, LineInfo};

/// Chips that are looked at.
pub const CHIPS_MAX: usize = 64;
/// Lines of a chip that are looked at.
pub const LINES_MAX: u32 = 4096;

/// A chip of this board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipInfo {
    /// Its device.
    pub path: PathBuf,
    /// What it is, such as `pinctrl-bcm2711`.
    pub label: String,
    /// Its lines.
    pub lines: u32,
}

/// Devices of the chips of this board, sorted; empty where there is none.
pub fn chip_paths() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gpiochip")))
        .take(CHIPS_MAX)
        .collect();
    paths.sort();
    paths
}

/// What a chip is.
///
/// # Errors
/// There is no such chip, this user may not open it, or the kernel is too old.
pub fn chip_info(path: &Path) -> Result<ChipInfo, GpioError> {
    let info = open(path)?.info().map_err(|e| GpioError::refused(path, "ask for its name", &e))?;
    Ok(ChipInfo { path: path.into(), label: info.label, lines: info.num_lines.min(LINES_MAX) })
}

/// What a line is, by its number.
///
/// # Errors
/// As [`chip_info`], and where the chip has no such line.
pub fn line_info(path: &Path, number: u32) -> Result<LineInfo, GpioError> {
    let chip = chip_info(path)?;
    if number >= chip.lines {
        return Err(GpioError::NoLine { chip: path.into(), line: LineId::Number(number), lines: chip.lines });
    }
    let info = open(path)?.line_info(number).map_err(|e| GpioError::refused(path, "ask for a line", &e))?;
    Ok(LineInfo {
        chip: path.into(),
        number,
        name: info.name,
        used: info.used,
        consumer: info.consumer,
        output: info.direction == gpiocdev::line::Direction::Output,
    })
}

/// Finds a line.
///
/// # Errors
/// [`GpioError`] says what is missing and what there is instead.
pub fn find(address: &LineAddress) -> Result<LineInfo, GpioError> {
    let chips = match &address.chip {
        Some(word) => std::vec![find_chip(word)?],
        None => chip_paths(),
    };
    if chips.is_empty() {
        return Err(GpioError::NoChips);
    }
    let name = match &address.line {
        LineId::Number(number) => match chips.as_slice() {
            [chip] => return line_info(chip, *number),
            _ => return Err(GpioError::ChipNeeded { line: *number, known: known_chips() }),
        },
        LineId::Name(name) => name,
    };
    for chip in &chips {
        for number in 0..chip_info(chip)?.lines {
            let info = line_info(chip, number)?;
            if info.name == *name {
                return Ok(info);
            }
        }
    }
    match address.chip {
        Some(_) => {
            let chip = chips.into_iter().next().unwrap_or_default();
            let lines = chip_info(&chip)?.lines;
            Err(GpioError::NoLine { chip, line: address.line.clone(), lines })
        }
        None => Err(GpioError::NoSuchName { name: name.clone() }),
    }
}

/// The device of a chip by its path, its name or its label.
fn find_chip(word: &str) -> Result<PathBuf, GpioError> {
    let named = Path::new("/dev").join(word); // a path from the root replaces /dev
    if named.exists() {
        return Ok(named);
    }
    let labelled = chip_paths().into_iter().find(|path| chip_info(path).is_ok_and(|chip| chip.label == word));
    labelled.ok_or_else(|| match known_chips() {
        known if known.is_empty() => GpioError::NoChips,
        known => GpioError::NoChip { chip: word.to_string(), known },
    })
}

/// The chips for a message: `gpiochip0 [pinctrl-bcm2711], gpiochip1 [raspberrypi-exp-gpio]`.
fn known_chips() -> String {
    let mut known = String::new();
    for path in chip_paths() {
        let label = chip_info(&path).map_or_else(|_| "not readable".to_string(), |chip| chip.label);
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        known += &std::format!("{}{name} [{label}]", if known.is_empty() { "" } else { ", " });
    }
    known
}

/// Opens a chip; a plain open first, whose error is the clearest.
fn open(path: &Path) -> Result<gpiocdev::Chip, GpioError> {
    File::options().read(true).write(true).open(path).map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied => GpioError::Denied { chip: path.into() },
        ErrorKind::NotFound => GpioError::NoChip { chip: path.display().to_string(), known: known_chips() },
        _ => GpioError::refused(path, "open", &e),
    })?;
    gpiocdev::Chip::from_path(path).map_err(|e| GpioError::refused(path, "open", &e))
}

/// A line that nobody holds.
pub(super) fn find_free(address: &LineAddress) -> Result<LineInfo, GpioError> {
    let info = find(address)?;
    if info.used {
        return Err(GpioError::Busy(info));
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(chip: Option<&str>, line: LineId) -> LineAddress {
        LineAddress { chip: chip.map(str::to_string), line }
    }

    #[test]
    fn a_chip_that_is_not_there_is_named_with_a_cure() {
        let missing = find(&address(Some("gpiochip4711"), LineId::Number(1))).unwrap_err();
        let said = missing.to_string();
        assert!(said.contains("gpiochip4711") || said.contains("no GPIO chip"), "{said}");
        assert!(said.contains("doctor") || said.contains("simulated"), "{said}");
    }

    #[test]
    fn what_is_no_chip_is_refused() {
        let said = find(&address(Some("/dev/null"), LineId::Number(1))).unwrap_err().to_string();
        assert!(said.contains("/dev/null"), "{said}");
    }
}
