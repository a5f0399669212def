//! The board's pins, seen and driven from outside: the lines of the PL061 controller.
//!
//! Through QMP the controller is found; through qtest a level is put on an input, and every change of an
//! output is told. The kernel and lapwing know nothing of it: to them the wire changed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::patience::Clock;
use crate::qemu::Board;
use crate::trouble::{Result, Trouble, at};

/// Lines of the controller.
pub const LINES: u32 = 8;
/// The controller's registers: data of all lines.
const DATA: &str = "0x90303fc";
/// Longest wait for QEMU's own answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// An output changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When that was heard.
    pub at: Instant,
    /// The line.
    pub line: u32,
    /// Its level from then on.
    pub high: bool,
}

/// The pins of a running board.
pub struct Pins {
    qtest: UnixStream,
    path: String,
    answers: Receiver<String>,
    changes: Receiver<Change>,
    clock: Clock,
}

impl Pins {
    /// Finds the controller of a board that was booted with pins, and listens to its outputs.
    ///
    /// # Errors
    /// QEMU does not answer, or has no such controller.
    pub fn of(board: &Board) -> Result<Pins> {
        let path = controller(&board.socket("qmp"))?;
        let socket = board.socket("qtest");
        let qtest = UnixStream::connect(&socket).map_err(at(&socket))?;
        let heard = BufReader::new(qtest.try_clone().map_err(at(&socket))?);
        let ((say, answers), (tell, changes)) = (channel(), channel());
        let spawned = thread::Builder::new().name("qtest".into()).spawn(move || {
            for line in heard.lines().map_while(std::result::Result::ok) {
                match change(&line) {
                    Some((line, high)) => drop(tell.send(Change { at: Instant::now(), line, high })),
                    None if line.starts_with("IRQ") => {} // no output of the controller
                    None => drop(say.send(line)),
                }
            }
        });
        spawned.map_err(|e| Trouble::Rig(format!("thread: {e}")))?;
        let mut pins = Pins { qtest, path, answers, changes, clock: board.clock() };
        pins.ask(&format!("irq_intercept_out {}", pins.path))?;
        Ok(pins)
    }

    /// Puts a level on an input.
    ///
    /// # Errors
    /// QEMU refuses.
    pub fn drive(&mut self, line: u32, high: bool) -> Result<Instant> {
        let now = Instant::now();
        let command = format!("set_irq_in {} unnamed-gpio-in {line} {}", self.path, u32::from(high));
        self.ask(&command).map(|_| now)
    }

    /// The level of a line now.
    ///
    /// # Errors
    /// QEMU refuses.
    pub fn level(&mut self, line: u32) -> Result<bool> {
        let answer = self.ask(&format!("readl {DATA}"))?;
        let data = answer.strip_prefix("OK 0x").and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        data.map(|data| data >> line & 1 == 1).ok_or_else(|| Trouble::Rig(format!("qtest: {answer}")))
    }

    /// Waits until an output has a level; `None` if it does not take it in time.
    pub fn wait(&mut self, line: u32, high: bool, timeout: Duration) -> Option<Change> {
        let wait = self.clock.wait(timeout);
        loop {
            match self.changes.recv_timeout(wait.left()) {
                Ok(change) if (change.line, change.high) == (line, high) => return Some(change),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if !wait.left().is_zero() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Forgets the changes that were heard so far; returns how many.
    pub fn forget(&mut self) -> usize {
        self.changes.try_iter().count()
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        let failed = |e: &dyn std::fmt::Display| Trouble::Rig(format!("qtest `{command}`: {e}"));
        writeln!(self.qtest, "{command}").map_err(|e| failed(&e))?;
        let answer = self.answers.recv_timeout(ANSWER_TIMEOUT).map_err(|e| failed(&e))?;
        if answer.starts_with("OK") { Ok(answer) } else { Err(failed(&answer)) }
    }
}

/// `IRQ raise N`, `IRQ lower N`.
fn change(line: &str) -> Option<(u32, bool)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["IRQ", word @ ("raise" | "lower"), number] => Some((number.parse().ok()?, *word == "raise")),
        _ => None,
    }
    .filter(|(line, _)| *line < LINES)
}

/// The path of the PL061 among QEMU's objects.
fn controller(socket: &Path) -> Result<String> {
    let mut qmp = UnixStream::connect(socket).map_err(at(socket))?;
    qmp.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(at(socket))?;
    let mut heard = BufReader::new(qmp.try_clone().map_err(at(socket))?);
    let mut ask = |request: Option<Value>| -> Result<Value> {
        if let Some(request) = request {
            writeln!(qmp, "{request}").map_err(at(socket))?;
        }
        loop {
            let mut line = String::new();
            heard.read_line(&mut line).map_err(at(socket))?;
            let answer: Value = serde_json::from_str(&line).map_err(|e| Trouble::Rig(format!("QMP: {e}: {line}")))?;
            if answer.get("event").is_none() {
                return Ok(answer); // the greeting, a return or an error
            }
        }
    };
    ask(None)?;
    ask(Some(json!({"execute": "qmp_capabilities"})))?;
    let list = ask(Some(json!({"execute": "qom-list", "arguments": {"path": "/machine/unattached"}})))?;
    let children = list["return"].as_array().into_iter().flatten();
    let found = children.filter(|child| child["type"] == "child<pl061>").find_map(|child| child["name"].as_str());
    found.map(|name| format!("/machine/unattached/{name}")).ok_or_else(|| Trouble::Rig("QEMU has no PL061".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_from_answers() {
        assert_eq!(change("IRQ raise 6"), Some((6, true)));
        assert_eq!(change("IRQ lower 0"), Some((0, false)));
        for other in ["OK", "OK 0x40", "IRQ raise 9", "IRQ raise", "IRQ toggle 1", "raise 1"] {
            assert_eq!(change(other), None, "{other}");
        }
    }
}
