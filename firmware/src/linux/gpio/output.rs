//! An output line behind [`embedded_hal::digital::OutputPin`], taken at its safe level.
//!
//! The line is asked for with the safe level as its first, so it never passes through the other one. Levels are
//! those of the wire; which of them means "on" is [`Polarity`](crate::trigger::Polarity)'s.
//!
//! # When the line is safe
//!
//! | what happens | who sees to it |
//! |---|---|
//! | start | the request itself: the line is driven safe before the detector is loaded or a camera opened |
//! | stop (Ctrl-C, SIGTERM, SIGHUP, SIGQUIT), end of the source | the dead-man's thread: the rules stand down before the record is closed |
//! | no frame was looked at for `stall_ms`: the camera is silent, frames are stale or damaged, the detector hangs or fails | the dead-man's thread, which waits for nobody |
//! | the recorder, a disk or the terminal hangs | nothing is needed: the line goes on following what is seen |
//! | a thread panics or cannot be created | the panic hook, before it does anything else; then the run ends with its lines safe |
//! | Ctrl-Z | the dead-man's thread, before the process is suspended |
//! | SIGSTOP, SIGKILL, out of memory, `abort` | nobody in this process: a killed one's lines are freed by the kernel; a stopped one starves its watchdog |
//! | kernel panic, lock-up | the hardware watchdog resets the board |
//! | reset, no power | the processor: its pins become inputs |
//!
//! A freed line becomes an input on some controllers (Raspberry Pi, unless the kernel's parameter
//! `pinctrl_bcm2835.persist_gpio_outputs` is set, as newer Raspberry Pi OS does: see `/sys/module/pinctrl_bcm2835`); on
//! others (PL061, most expanders, Tegra) it keeps the level that it was last driven to. Therefore:
//!
//! * Fit a resistor that pulls the wire to its safe level: 10 kΩ to ground for a line that is on when high, to the
//!   supply for one that is `active_low`. It decides whenever the pin is an input: reset, boot, power-up, freed.
//! * Let systemd restart lapwing at once (`Restart=always`, as in the unit that is shipped): the new process drives the
//!   safe level first. On a controller that keeps levels this, and not the resistor, ends an output after SIGKILL.
//! * Where even that second must not be, give the rule a `pulse_ms` and let a relay with a timer of its own do the rest.

use std::fmt;

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use linux_embedded_hal::CdevPin;
use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags, errors};

use super::chips::find_free;
use super::error::GpioError;
use super::line::{CONSUMER, LineAddress, LineInfo};

/// A line that this process drives: a [`CdevPin`] whose errors name the chip.
pub struct OutputLine {
    pin: CdevPin,
    info: LineInfo,
}

impl OutputLine {
    /// Takes the line and drives it to `safe_high` at once.
    ///
    /// # Errors
    /// There is no such line, it is held, or this user may not have it.
    pub fn take(address: &LineAddress, safe_high: bool) -> Result<OutputLine, GpioError> {
        let info = find_free(address)?;
        let pin = request(&info, safe_high).map_err(|e| GpioError::refused(&info.chip, TAKE, &e))?;
        Ok(OutputLine { pin, info })
    }

    /// What the line was when it was taken.
    pub fn info(&self) -> &LineInfo {
        &self.info
    }
}

/// What is asked of the chip when a line is taken; [`CdevPin`] speaks the first version of the kernel's interface.
const TAKE: &str = "take the line as an output (the kernel needs GPIO_CDEV_V1)";

/// Levels are the wire's: the line is never asked for as active-low.
fn request(info: &LineInfo, safe_high: bool) -> Result<CdevPin, errors::Error> {
    let line = Chip::new(&info.chip)?.get_line(info.number)?;
    CdevPin::new(line.request(LineRequestFlags::OUTPUT, u8::from(safe_high), CONSUMER)?)
}

impl fmt::Debug for OutputLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputLine").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Error for GpioError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for OutputLine {
    type Error = GpioError;
}

impl OutputPin for OutputLine {
    fn set_low(&mut self) -> Result<(), GpioError> {
        self.pin.set_low().map_err(|e| GpioError::refused(&self.info.chip, "drive the line", &e))
    }

    fn set_high(&mut self) -> Result<(), GpioError> {
        self.pin.set_high().map_err(|e| GpioError::refused(&self.info.chip, "drive the line", &e))
    }
}
