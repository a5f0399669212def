//! Standard output and standard error of a run: nobody who works waits for them.
//!
//! A terminal may be stopped (Ctrl-S), a pipe may have a reader that does not read, a file may be full. While a run works,
//! whatever it says goes through [`Sinks`]: two of them are here, one for each stream, and messages of the logger and of
//! `complain!` take the same way. Before and after a run, and in every other command, words are written at once.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use lapwing_camera::frame::printable::{self, Printable};
use lapwing_firmware::event::EventKind;
use lapwing_firmware::log::Durable;
use lapwing_runtime::sinks::{Looked, Names, Recorded, Sink, SinkError, Sinks, Stream, Wants};

use super::detect::in_words;
use super::out::Complaints;

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
        None => drop(writeln!(io::stderr().lock(), "{}", printable::text(line))),
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

/// Writes lines to a stream of the process without a buffer of its own: a line that fails is gone and holds up none.
struct Lines {
    file: Option<File>,
    line: Vec<u8>,
}

impl Lines {
    fn of(stream: &impl AsFd) -> Lines {
        Lines { file: stream.as_fd().try_clone_to_owned().ok().map(File::from), line: Vec::new() }
    }

    fn write(&mut self, words: std::fmt::Arguments<'_>) -> Result<(), SinkError> {
        let Some(file) = &mut self.file else { return Err(SinkError("it is closed".into())) };
        self.line.clear();
        let _ = writeln!(self.line, "{}", printable::text(&words.to_string())); // writing to a Vec cannot fail
        Ok(file.write_all(&self.line)?)
    }
}

/// Tells a person what happens, on standard output.
pub struct Printer {
    lines: Lines,
    names: Arc<Names>,
    /// False for endless sources, where only events and stored pictures are told.
    every_frame: Arc<AtomicBool>,
}

impl Printer {
    /// Tells of every frame while `every_frame` says so.
    pub fn new(every_frame: Arc<AtomicBool>) -> Printer {
        Printer { lines: Lines::of(&io::stdout()), names: Arc::default(), every_frame }
    }
}

impl Sink for Printer {
    fn name(&self) -> &'static str {
        "standard output"
    }

    fn wants(&self) -> Wants {
        Wants { events: true, frames: true, words: Some(Stream::Out), ..Wants::default() }
    }

    fn begin(&mut self, names: &Arc<Names>) {
        self.names = Arc::clone(names);
    }

    fn event(&mut self, recorded: &Durable<Recorded>) -> Result<(), SinkError> {
        let Recorded { seq, event } = recorded.get();
        if matches!(event.kind, EventKind::Started | EventKind::Stopped) {
            return Ok(());
        }
        self.lines.write(format_args!("     {}", super::log::in_words(seq, &event, &self.names.legend)))
    }

    fn frame(&mut self, looked: &Looked) -> Result<(), SinkError> {
        if looked.picture.is_empty() && !self.every_frame.load(Ordering::Relaxed) {
            return Ok(());
        }
        let class = |c: u16| self.names.classes.get(usize::from(c)).map_or("?", String::as_str);
        let hidden = match looked.hidden.regions {
            0 => String::new(),
            _ => format!(", {}", super::hiding::in_words(&looked.hidden)),
        };
        let picture = if looked.picture.is_empty() { String::new() } else { format!(" -> {}{hidden}", looked.picture) };
        let stale =
            looked.stale_us.map_or(String::new(), |age_us| format!(", stale: {:.1} s old", age_us as f64 / 1e6));
        self.lines.write(format_args!(
            "#{:<3} {} ({}x{}, {:.0} ms{stale}): {}{picture}",
            looked.seq,
            Printable(&looked.name),
            looked.width,
            looked.height,
            looked.times.total().as_secs_f64() * 1e3,
            in_words(&looked.detections, class),
        ))
    }

    fn words(&mut self, line: &str) -> Result<(), SinkError> {
        self.lines.write(format_args!("{line}"))
    }
}

/// Tells a person what goes wrong, on standard error.
pub struct Complainer {
    lines: Lines,
    /// A damaged source must not fill a journal.
    complaints: Complaints,
}

impl Complainer {
    /// Complains to whoever reads the errors of this process.
    pub fn new() -> Complainer {
        Complainer { lines: Lines::of(&io::stderr()), complaints: Complaints::new() }
    }
}

impl Sink for Complainer {
    fn name(&self) -> &'static str {
        "standard error"
    }

    fn wants(&self) -> Wants {
        Wants { troubles: true, words: Some(Stream::Err), ..Wants::default() }
    }

    fn trouble(&mut self, what: &str) -> Result<(), SinkError> {
        match self.complaints.may_tell() {
            true => self.lines.write(format_args!("lapwing: {what}")),
            false => Ok(()),
        }
    }

    fn words(&mut self, line: &str) -> Result<(), SinkError> {
        self.lines.write(format_args!("{line}"))
    }
}
