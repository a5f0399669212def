//! The two sinks that a person reads: what is found goes to standard output, what goes wrong to standard error.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapwing_camera::frame::printable::{self, Printable};
use lapwing_firmware::event::EventKind;
use lapwing_firmware::log::Durable;
use lapwing_runtime::sinks::{Looked, Names, Recorded, Sink, SinkError, Stream, Wants};

use super::detect::in_words;
use super::out::Complaints;

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
        self.lines.write(format_args!("     {}", super::log::in_words(seq, &event, &self.names.name_table)))
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
