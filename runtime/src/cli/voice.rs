//! Standard output and standard error of a run: nobody who works waits for them.
//!
//! A terminal may be stopped (Ctrl-S), a pipe may have a reader that does not read, a file may be full. While a run works,
//! whatever it says goes through [`Sinks`], one for each stream, and messages of the logger and of
//! `complain!` take the same way. Before and after a run, and in every other command, words are written at once.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use lapwing_runtime::sinks::{Sinks, Stream};

/// The sinks of the run of this process.
static RUN: OnceLock<Arc<Sinks>> = OnceLock::new();

/// From now on words of the logger, of `complain!` and of panics go to `sinks`.
pub fn speak_through(sinks: &Arc<Sinks>) {
    let _ = RUN.set(Arc::clone(sinks)); // a process runs once
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|info| {
            let thread = std::thread::current();
            say_error(&format!("lapwing: thread {:?} {info}", thread.name().unwrap_or("without a name")));
        }));
    }
}

/// Says a line on standard error. Errors that nobody reads are no reason to end.
pub fn say_error(line: &str) {
    match RUN.get() {
        Some(sinks) => sinks.words(Stream::Err, line),
        None => drop(writeln!(io::stderr().lock(), "{line}")),
    }
}

/// Where the logger writes.
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say_error(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the logger: warnings, unless RUST_LOG says otherwise.
pub fn start_logger() {
    let mut logger = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn,tract=error"));
    let unset = |key: &str| std::env::var_os(key).is_none_or(|value| value.is_empty());
    if unset("RUST_LOG_STYLE") && unset("NO_COLOR") && io::stderr().is_terminal() {
        logger.write_style(env_logger::WriteStyle::Always); // it cannot see where a pipe ends
    }
    logger.target(env_logger::Target::Pipe(Box::new(LogWriter))).format_timestamp_millis().init();
}
