//! What can go wrong with a line, told to the person who wires the board.

use std::fmt;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};

use super::line::{CONSUMER, LineId, LineInfo};

/// A line cannot be had or used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpioError {
    /// This machine has no GPIO chip.
    NoChips,
    /// There is no such chip.
    NoChip {
        /// As it was written.
        chip: String,
        /// What there is.
        known: String,
    },
    /// A line's number says nothing without its chip.
    ChipNeeded {
        /// The line.
        line: u32,
        /// The chips there are.
        known: String,
    },
    /// The chip has no such line.
    NoLine {
        /// The chip.
        chip: PathBuf,
        /// The line.
        line: LineId,
        /// Lines that it has.
        lines: u32,
    },
    /// No chip has a line of this name.
    NoSuchName {
        /// The name.
        name: String,
    },
    /// This user may not open the chip.
    Denied {
        /// The chip.
        chip: PathBuf,
    },
    /// Somebody holds the line.
    Busy(LineInfo),
    /// The kernel refused.
    Refused {
        /// The chip.
        chip: PathBuf,
        /// What was asked.
        what: &'static str,
        /// The system's words.
        why: String,
    },
}

impl GpioError {
    pub(super) fn refused(chip: &Path, what: &'static str, why: &dyn fmt::Display) -> GpioError {
        GpioError::Refused { chip: chip.into(), what, why: why.to_string() }
    }
}

impl fmt::Display for GpioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpioError::NoChips => f.write_str(
                "this machine has no GPIO chip (/dev/gpiochip*): load its driver, or use pin = \"simulated\"",
            ),
            GpioError::NoChip { chip, known } => {
                write!(f, "there is no chip {chip:?}; here are: {known}; `lapwing doctor` lists their lines")
            }
            GpioError::ChipNeeded { line, known } => {
                write!(f, "line {line} of which chip? Add chip = \"...\"; here are: {known}")
            }
            GpioError::NoLine { chip, line, lines } => {
                let chip = chip.display();
                write!(f, "{chip} has no line {line}; it has lines 0 to {}", lines.saturating_sub(1))?;
                f.write_str("; `lapwing doctor` lists them")
            }
            GpioError::NoSuchName { name } => {
                write!(
                    f,
                    "no chip has a line named {name:?}; `lapwing doctor` lists the lines, or give chip and number"
                )
            }
            GpioError::Denied { chip } => write!(
                f,
                "{}: permission denied; add this user to the group that owns it (`sudo usermod -aG gpio $USER`, then log in again), or run as root",
                chip.display()
            ),
            GpioError::Busy(line) => {
                let LineInfo { chip, number, consumer, .. } = line;
                let chip = chip.display();
                let holder = if consumer.is_empty() { "somebody".to_string() } else { std::format!("{consumer:?}") };
                write!(f, "line {number} of {chip} is held by {holder}: {}", cure(consumer, *number))
            }
            GpioError::Refused { chip, what, why } => {
                let chip = chip.display();
                write!(f, "{chip}: could not {what}: {why}; Linux 5.10 or newer with GPIO_CDEV is needed; see dmesg")
            }
        }
    }
}

/// What frees a line, by its holder.
fn cure(consumer: &str, number: u32) -> String {
    match consumer {
        CONSUMER => "another lapwing runs; stop it (`systemctl stop lapwing`)".to_string(),
        "sysfs" => std::format!("free it with `echo {number} > /sys/class/gpio/unexport`"),
        _ => "stop that program, or remove the device-tree overlay that takes the line, or wire another".to_string(),
    }
}

impl core::error::Error for GpioError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each error names what it is about and a thing to do.
    #[test]
    fn every_error_has_a_cure() {
        let chip = PathBuf::from("/dev/gpiochip0");
        let busy = |consumer: &str| {
            GpioError::Busy(LineInfo {
                chip: "/dev/gpiochip0".into(),
                number: 17,
                name: "GPIO17".into(),
                used: true,
                consumer: consumer.into(),
                output: true,
            })
        };
        let known = || "gpiochip0 [pinctrl-bcm2711]".to_string();
        let cases = [
            (GpioError::NoChips, "simulated"),
            (GpioError::NoChip { chip: "gpiochip9".into(), known: known() }, "pinctrl-bcm2711"),
            (GpioError::ChipNeeded { line: 4, known: known() }, "chip = "),
            (GpioError::NoLine { chip: chip.clone(), line: LineId::Number(99), lines: 54 }, "0 to 53"),
            (GpioError::NoSuchName { name: "GPIO99".into() }, "doctor"),
            (GpioError::Denied { chip: chip.clone() }, "usermod"),
            (busy("sysfs"), "echo 17"),
            (busy("lapwing"), "another lapwing"),
            (busy("spi0 CS0"), "overlay"),
            (busy(""), "somebody"),
            (GpioError::refused(&chip, "open", &"ENOTTY"), "5.10"),
        ];
        for (error, word) in cases {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }
}
