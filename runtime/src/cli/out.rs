//! Standard output, and the ways a command can fail.

use std::fmt::Arguments;
use std::io::{self, Write};

use lapwing_engine::EngineError;
use lapwing_flow::FlowError;
use lapwing_runtime::config::ConfigError;
use lapwing_vision::ModelError;

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
            | ModelError::NoManifest { .. }
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
        // writing to a Vec cannot fail
        let _ = writeln!(self.buffer, "{line}");
        self.flush()
    }

    /// Writes a line of JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.buffer, value).map_err(Failure::job)?;
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

/// `complain!("…", …)` tells of what went wrong and goes on.
macro_rules! complain {
    ($($format:tt)*) => { $crate::cli::out::tell_error(format_args!($($format)*)) };
}
pub(crate) use complain;

/// `line!(out, "…", …)?` writes a line.
macro_rules! line {
    ($out:expr, $($format:tt)*) => { $out.line(format_args!($($format)*)) };
}
pub(crate) use line;
