//! Standard output, standard error, and the ways a command can fail.
//!
//! Everything for people passes [`printable::text`] here, so that no control character of a name reaches a terminal.

use std::fmt::{Arguments, Display};
use std::io::{self, Write};
use std::time::Instant;

use lapwing_camera::frame::printable;
use lapwing_engine::EngineError;
use lapwing_flow::FlowError;
use lapwing_runtime::config::ConfigError;
use lapwing_vision::ModelError;

/// `complain!("…", …)` tells of what went wrong and goes on.
macro_rules! complain {
    ($($format:tt)*) => { $crate::cli::out::tell_error(format_args!($($format)*)) };
}
pub(crate) use complain;

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// The job failed: exit code 1.
    Job(String),
    /// The call or the configuration is wrong: exit code 2.
    Call(String),
    /// It was told already: this exit code and no more words.
    Told(u8),
    /// Nobody reads the output any more (`lapwing … | head`): not a failure.
    Quiet,
}

impl Failure {
    /// The job failed.
    pub fn job(what: impl ToString) -> Failure {
        Failure::Job(what.to_string())
    }

    /// The call is wrong.
    pub fn call(what: impl ToString) -> Failure {
        Failure::Call(what.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Call(error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::job(error)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        match error {
            ModelError::Missing { .. }
            | ModelError::NotFound { .. }
            | ModelError::Unrecognised { .. }
            | ModelError::OtherFormat { .. }
            | ModelError::Manifest { .. } => Failure::call(error),
            _ => Failure::job(error),
        }
    }
}

impl From<FlowError> for Failure {
    fn from(error: FlowError) -> Failure {
        match error {
            FlowError::Missing { .. }
            | FlowError::Class { .. }
            | FlowError::Steps { .. }
            | FlowError::Setting { .. }
            | FlowError::Unable { .. } => Failure::call(error),
            _ => Failure::job(error),
        }
    }
}

/// Buffered standard output that survives a closed pipe.
#[derive(Default)]
pub struct Out {
    buffer: Vec<u8>,
}

impl Out {
    /// Writes a line.
    pub fn line(&mut self, line: Arguments<'_>) -> Result<(), Failure> {
        self.buffer.extend_from_slice(printable::text(&line.to_string()).as_bytes());
        self.buffer.push(b'\n');
        self.flush()
    }

    /// Writes a line of JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value).map_err(Failure::job)?;
        // Outside of its strings JSON is plain ASCII, and serde spells only the control characters of ASCII out.
        for part in line.split_inclusive(printable::is_obeyed) {
            let obeyed = part.chars().next_back().filter(|c| printable::is_obeyed(*c));
            let plain = &part[..part.len() - obeyed.map_or(0, char::len_utf8)];
            self.buffer.extend_from_slice(plain.as_bytes());
            for unit in obeyed.iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                self.buffer.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
        self.buffer.push(b'\n');
        self.flush()
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
        self.buffer.clear();
        written.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Failure::Quiet,
            _ => Failure::Job(format!("standard output: {e}")),
        })
    }
}

/// Writes a line to standard error. Errors that nobody reads are no reason to end.
pub fn tell_error(line: Arguments<'_>) {
    super::voice::say_error(&format!("lapwing: {line}"));
}

/// What went wrong with inputs, of which there may be millions: the first ones are told, then one a second.
pub struct Complaints {
    /// How many may be told now.
    left: f64,
    then: Instant,
    /// How many were not told since the last one that was.
    untold: u64,
}

/// Most complaints that are told at once.
const TOLD_MAX: f64 = 100.0;

impl Complaints {
    /// Nothing went wrong yet.
    pub fn new() -> Complaints {
        Complaints { left: TOLD_MAX, then: Instant::now(), untold: 0 }
    }

    /// Whether another one may be told.
    pub fn may_tell(&mut self) -> bool {
        let now = Instant::now();
        self.left = (self.left + (now - self.then).as_secs_f64()).min(TOLD_MAX);
        self.then = now;
        let may = self.left >= 1.0;
        match may {
            true => self.left -= 1.0,
            false => self.untold += 1,
        }
        may
    }

    /// Tells it, unless too much was told already.
    pub fn tell(&mut self, what: &dyn Display) {
        if self.may_tell() {
            self.tell_untold();
            complain!("{what}");
        }
    }

    fn tell_untold(&mut self) {
        match std::mem::take(&mut self.untold) {
            0 => {}
            untold => complain!("{untold} more messages like these were not shown"),
        }
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        self.tell_untold();
    }
}

/// `line!(out, "…", …)?` writes a line.
macro_rules! line {
    ($out:expr, $($format:tt)*) => { $out.line(format_args!($($format)*)) };
}
pub(crate) use line;
