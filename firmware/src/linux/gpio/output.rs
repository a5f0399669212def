//! An output line: `linux-embedded-hal`'s `CdevPin`, taken at its safe level.
//!
//! The line is asked for with the safe level as its first, so it never passes through the other one. Levels are
//! those of the wire; which of them means "on" is [`Polarity`](crate::trigger::Polarity)'s.
//!
//! # When the line is safe
//!
//! | what happens | who sees to it |
//! |---|---|
//! | start | the request itself: the line is driven safe before a model is loaded or a camera opened |
//! | stop (Ctrl-C, SIGTERM), end of the source | the rule stands down before the record is closed |
//! | no frame for `stall_ms`; frames that are stale or cannot be looked at count as none | the rule's state machine |
//! | a panic | unwinding drops [`Output`](crate::trigger::Output), which drives the safe level |
//! | SIGKILL, out of memory, `abort` | nobody in this process: the kernel closes the device and frees the line |
//! | kernel panic, lock-up | the hardware watchdog resets the board |
//! | reset, no power | the processor: its pins become inputs |
//!
//! A freed line is an input again on some controllers (Raspberry Pi before kernel 6.6, or with the parameter
//! `pinctrl_bcm2835.persist_gpio_outputs=N`); on others (PL061, most expanders, Tegra) it keeps the level that it was
//! last driven to. Therefore:
//!
//! * Fit a resistor that pulls the wire to its safe level: 10 kΩ to ground for a line that is on when high, to the
//!   supply for one that is `active_low`. It decides whenever the pin is an input: reset, boot, power-up, freed.
//! * Let systemd restart lapwing at once (`Restart=always`, as in the unit that is shipped): the new process drives the
//!   safe level first. On a controller that keeps levels this, and not the resistor, ends an output after SIGKILL.
//! * Where even that second must not be, give the rule a `pulse_ms` and let a relay with a timer of its own do the rest.

use std::string::ToString;

use embedded_hal::digital::{ErrorType, OutputPin};
use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};
use linux_embedded_hal::{CdevPin, CdevPinError};

use super::{CONSUMER, GpioError, LineAddress, LineInfo, find_free};

/// A line that this process drives.
pub struct OutputLine {
    pin: CdevPin,
    info: LineInfo,
}

impl core::fmt::Debug for OutputLine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OutputLine").field("info", &self.info).finish_non_exhaustive()
    }
}

impl OutputLine {
    /// Takes the line and drives it to `safe_high` at once.
    ///
    /// # Errors
    /// There is no such line, it is held, or this user may not have it.
    pub fn take(address: &LineAddress, safe_high: bool) -> Result<OutputLine, GpioError> {
        let info = find_free(address)?;
        let refused = |e: &dyn core::fmt::Display| GpioError::Refused {
            chip: info.chip.clone(),
            what: "take the line as an output",
            why: e.to_string(),
        };
        let handle = Chip::new(&info.chip)
            .and_then(|mut chip| chip.get_line(info.number))
            .and_then(|line| line.request(LineRequestFlags::OUTPUT, u8::from(safe_high), CONSUMER))
            .map_err(|e| refused(&e))?;
        let pin = CdevPin::new(handle).map_err(|e| refused(&e))?;
        Ok(OutputLine { pin, info })
    }

    /// What the line was when it was taken.
    pub fn info(&self) -> &LineInfo {
        &self.info
    }
}

impl ErrorType for OutputLine {
    type Error = CdevPinError;
}

impl OutputPin for OutputLine {
    fn set_low(&mut self) -> Result<(), CdevPinError> {
        self.pin.set_low()
    }

    fn set_high(&mut self) -> Result<(), CdevPinError> {
        self.pin.set_high()
    }
}
