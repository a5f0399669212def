//! The emulated board: QEMU's `virt` with a Cortex-A53, its serial line, and what was heard on it.
//!
//! The agent inside (`guest/src/agent.rs`) answers by lines: `@JOB` and then `+PID` for a job that
//! began, `|TEXT` for a line that it wrote, `=CODE` for its end. Anything else on the line is the
//! kernel's and goes to the serial log only.
//!
//! QEMU ends when the board is dropped, as if its power went.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::UNIT_BYTES;
use crate::disk::nbd::{Server, Shared};
use crate::image::Image;
use crate::patience::{Clock, Wait};
use crate::tools::{QEMU, folder, make_folder};
use crate::trouble::{Result, Trouble, at};

/// Lines that a board may say.
const LINES_MAX: usize = 2_000_000;
/// Longest wait for the agent's first words, as [`crate::patience`] counts; it takes some three seconds.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(120);

/// What the board is made of.
#[derive(Debug, Clone, Default)]
pub struct Wiring {
    /// A name for the serial log.
    pub name: String,
    /// The socket of the disk (`/dev/vda`).
    pub disk: Option<PathBuf>,
    /// The pictures for the camera are on board.
    pub pictures: bool,
    /// QMP and qtest, which see and drive pins.
    pub pins: bool,
    /// A PCI watchdog that resets the board.
    pub watchdog: bool,
    /// A reboot starts the board again; else it ends.
    pub reboots: bool,
}

/// What comes in while a board runs.
enum Event {
    Heard(Instant, String),
    PowerOff,
    Ended,
}

/// Something that the agent said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The job's process.
    Pid(u32),
    /// A line that it wrote.
    Line(String),
    /// It ended with this code.
    End(i32),
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    job: u32,
    said: Said,
}

/// A job on the board: a command that was sent, and how far its answers were read.
#[derive(Debug)]
pub struct Job {
    id: u32,
    next: usize,
}

/// A command's answer.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// What it wrote.
    pub lines: Vec<String>,
}

/// Tells a board that its disk lost power. See [`Board::power_switch`].
pub struct PowerSwitch(Sender<Event>);

impl PowerSwitch {
    /// The power went.
    pub fn off(&self) {
        let _ = self.0.send(Event::PowerOff); // nobody waits any more
    }
}

/// A running board.
pub struct Board {
    child: Child,
    serial: ChildStdin,
    events: Receiver<Event>,
    heard: Vec<Heard>,
    jobs: u32,
    power_off: bool,
    ended: bool,
    folder: PathBuf,
    log: PathBuf,
}

impl Board {
    /// A channel of events, to be given to [`Board::boot`]; the switch goes to the disk's server.
    pub fn power_switch() -> (PowerSwitch, PowerLine) {
        let (sender, receiver) = channel();
        (PowerSwitch(sender.clone()), PowerLine { sender, receiver })
    }

    /// Starts QEMU and waits until the agent speaks.
    ///
    /// # Errors
    /// QEMU does not start, or the kernel does not come up.
    pub fn boot(image: &Image, wiring: &Wiring, power: PowerLine) -> Result<Board> {
        QEMU.need()?;
        let folder = std::env::temp_dir().join(format!("lapwing-hil-{}-{}", std::process::id(), wiring.name));
        make_folder(&folder)?;
        let logs = self::folder().join("serial");
        make_folder(&logs)?;
        let log = logs.join(format!("{}.log", wiring.name));
        let mut command = QEMU.command();
        command.args(["-M", "virt", "-accel", "tcg", "-cpu", "cortex-a53", "-m", "512", "-smp", "1"]);
        command.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none"]);
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(if wiring.pictures {
            &image.initrd_with_pictures
        } else {
            &image.initrd
        });
        command.args(["-append", "console=ttyAMA0 quiet loglevel=1 panic=1 rdinit=/init"]);
        if !wiring.reboots {
            command.arg("-no-reboot");
        }
        if let Some(socket) = &wiring.disk {
            command
                .arg("-blockdev")
                .arg(format!("driver=nbd,node-name=disk,server.type=unix,server.path={}", socket.display()));
            // errors go to the guest; nothing is cached on the way
            let device = "virtio-blk-device,drive=disk,write-cache=on,werror=report,rerror=report";
            command.arg("-device").arg(format!("{device},logical_block_size=512,physical_block_size={UNIT_BYTES}"));
        }
        if wiring.watchdog {
            command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        }
        if wiring.pins {
            for (option, name) in [("-qmp", "qmp"), ("-qtest", "qtest")] {
                let socket = folder.join(name);
                let _ = std::fs::remove_file(&socket);
                command.arg(option).arg(format!("unix:{},server=on,wait=off", socket.display()));
            }
            command.args(["-qtest-log", "/dev/null"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| Trouble::Rig(format!("{command:?} could not start: {e}")))?;
        let (Some(serial), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::Rig("QEMU has no serial line".into()));
        };
        let kept = std::fs::File::create(&log).map_err(at(&log))?;
        let sender = power.sender.clone();
        let spawned = thread::Builder::new().name("serial".into()).spawn(move || listen(out, kept, &sender));
        spawned.map_err(|e| Trouble::Rig(format!("thread: {e}")))?;
        let mut board = Board {
            child,
            serial,
            events: power.receiver,
            heard: Vec::new(),
            jobs: 0,
            power_off: false,
            ended: false,
            folder,
            log,
        };
        board.hear_agent(0)?;
        let base: Vec<&str> = image.base.iter().map(String::as_str).collect();
        board.load(&base, "")?;
        Ok(board)
    }

    /// Boots a board with `disk` as `/dev/vda`, which goes off when the disk loses power; `name` is for the serial log
    /// and the socket. The server has to outlive the board.
    ///
    /// # Errors
    /// As [`Board::boot`], or the disk cannot be served.
    pub fn on_disk(image: &Image, name: &str, disk: &Shared) -> Result<(Server, Board)> {
        let (switch, power) = Board::power_switch();
        let socket = std::env::temp_dir().join(format!("lapwing-hil-{}-{name}.nbd", std::process::id()));
        let server = Server::start(disk, &socket, move || switch.off())?;
        let wiring = Wiring { name: name.into(), disk: Some(server.path().into()), ..Wiring::default() };
        let board = Board::boot(image, &wiring, power)?;
        Ok((server, board))
    }

    /// Waits for the agent's first words behind `from`; returns where they stand.
    ///
    /// # Errors
    /// It does not speak.
    pub fn hear_agent(&mut self, from: usize) -> Result<usize> {
        let mut job = Job { id: 0, next: from };
        let wait = self.wait(BOOT_TIMEOUT);
        match self.next(&mut job, &wait)? {
            Some(_) => Ok(job.next),
            None => Err(self.broken("the board did not come up")),
        }
    }

    /// True if the board did not start again within `time`, counted behind `from`.
    ///
    /// # Errors
    /// The board ended.
    pub fn stays_up(&mut self, from: usize, time: Duration) -> Result<bool> {
        let mut job = Job { id: 0, next: from };
        Ok(self.next(&mut job, &Wait::strict(time))?.is_none())
    }

    /// Loads modules in the order given; `parameters` are for the last.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn load(&mut self, modules: &[&str], parameters: &str) -> Result<()> {
        let Some((last, needed)) = modules.split_last() else { return Ok(()) };
        let loop_ = format!("for m in {}; do insmod /modules/$m.ko || exit 1; done", needed.join(" "));
        let command = format!("{loop_}; insmod /modules/{last}.ko {parameters}");
        self.must(&command, Duration::from_secs(60)).map(|_| ())
    }

    /// Starts a command of the shell.
    ///
    /// # Errors
    /// The serial line is gone.
    pub fn start(&mut self, command: &str) -> Result<Job> {
        self.jobs += 1;
        let job = Job { id: self.jobs, next: self.heard.len() };
        let sent = writeln!(self.serial, "{} {command}", job.id).and_then(|()| self.serial.flush());
        sent.map_err(|e| self.broken(&format!("the serial line is gone: {e}")))?;
        Ok(job)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn run(&mut self, command: &str, timeout: Duration) -> Result<Answer> {
        let mut job = self.start(command)?;
        let wait = self.wait(timeout);
        let mut lines = Vec::new();
        loop {
            match self.next(&mut job, &wait)? {
                Some(Said::End(code)) => return Ok(Answer { code, lines }),
                Some(Said::Line(line)) => lines.push(line),
                Some(Said::Pid(_)) => {}
                None => return Err(self.broken(&format!("`{command}` did not end within {timeout:?}"))),
            }
        }
    }

    /// Runs a command that has to end well.
    ///
    /// # Errors
    /// It does not.
    pub fn must(&mut self, command: &str, timeout: Duration) -> Result<Vec<String>> {
        let answer = self.run(command, timeout)?;
        if answer.code == 0 {
            return Ok(answer.lines);
        }
        Err(Trouble::Rig(format!("on the board `{command}` ended with {}: {}", answer.code, answer.lines.join(" / "))))
    }

    /// A wait for this board that begins now.
    pub fn wait(&self, allowed: Duration) -> Wait {
        self.clock().wait(allowed)
    }

    /// The board's time on the host.
    pub fn clock(&self) -> Clock {
        Clock::of(self.child.id())
    }

    /// The next thing that a job says; `None` when the wait is over.
    ///
    /// # Errors
    /// The board ended.
    pub fn next(&mut self, job: &mut Job, wait: &Wait) -> Result<Option<Said>> {
        loop {
            while let Some(heard) = self.heard.get(job.next) {
                job.next += 1;
                if heard.job == job.id {
                    return Ok(Some(heard.said.clone()));
                }
            }
            if self.ended || self.power_off {
                return Err(self.broken("the board is off"));
            }
            if !self.take(wait)? {
                return Ok(None);
            }
        }
    }

    /// The next line of a job for which `pick` gives something, and when it was heard.
    ///
    /// # Errors
    /// None within `timeout`, or the job ended.
    pub fn find<T>(
        &mut self,
        job: &mut Job,
        timeout: Duration,
        what: &str,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<(Instant, T)> {
        let wait = self.wait(timeout);
        loop {
            match self.next(job, &wait)? {
                Some(Said::Line(line)) => {
                    if let Some(found) = pick(&line) {
                        let at = self.heard.get(job.next - 1).map_or_else(Instant::now, |heard| heard.at);
                        return Ok((at, found));
                    }
                }
                Some(Said::Pid(_)) => {}
                Some(Said::End(code)) => return Err(self.broken(&format!("ended with {code} before it said {what}"))),
                None => return Err(self.broken(&format!("no {what} within {timeout:?}"))),
            }
        }
    }

    /// The process of a job.
    ///
    /// # Errors
    /// It did not begin.
    pub fn pid(&mut self, job: &mut Job) -> Result<u32> {
        let wait = self.wait(Duration::from_secs(30));
        match self.next(job, &wait)? {
            Some(Said::Pid(pid)) => Ok(pid),
            other => Err(self.broken(&format!("no process began: {other:?}"))),
        }
    }

    /// Waits until the disk lost power or the board ended; false if neither happened in time.
    ///
    /// # Errors
    /// The board says too much.
    pub fn wait_for_power_off(&mut self, timeout: Duration) -> Result<bool> {
        let wait = self.wait(timeout);
        while !self.power_off && !self.ended {
            if !self.take(&wait)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The power goes: QEMU is killed. All that was said until then can still be read.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
        let wait = self.wait(Duration::from_secs(10));
        while !self.ended {
            if !self.take(&wait).unwrap_or(false) {
                return;
            }
        }
    }

    /// All lines that a job has written up to now.
    pub fn lines(&self, job: &Job) -> impl Iterator<Item = &str> {
        let id = job.id;
        self.heard.iter().filter(move |heard| heard.job == id).filter_map(|heard| match &heard.said {
            Said::Line(line) => Some(line.as_str()),
            _ => None,
        })
    }

    /// Things heard so far.
    pub fn heard(&self) -> usize {
        self.heard.len()
    }

    /// A socket of QEMU's.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A rig's error with the end of the serial log.
    pub fn broken(&self, what: &str) -> Trouble {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let tail: Vec<&str> = said.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Trouble::Rig(format!("{what}; the end of {}:\n  {}", shown(&self.log), tail.join("\n  ")))
    }

    /// Takes one event; false when the wait is over.
    fn take(&mut self, wait: &Wait) -> Result<bool> {
        let event = loop {
            match self.events.recv_timeout(wait.left()) {
                Err(RecvTimeoutError::Timeout) if !wait.left().is_zero() => {} // the host let it wait meanwhile
                event => break event,
            }
        };
        match event {
            Ok(Event::Heard(at, line)) => {
                if let Some((job, said)) = parse(&line) {
                    self.heard.push(Heard { at, job, said });
                }
            }
            Ok(Event::PowerOff) => self.power_off = true,
            Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected) => self.ended = true,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
        }
        if self.heard.len() > LINES_MAX {
            return Err(Trouble::Rig(format!("the board said more than {LINES_MAX} lines")));
        }
        Ok(true)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The end of a [`PowerSwitch`] that a board holds.
pub struct PowerLine {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

fn shown(path: &Path) -> String {
    path.strip_prefix(lapwing_tests::root()).unwrap_or(path).display().to_string()
}

fn listen(out: impl std::io::Read, mut kept: std::fs::File, events: &Sender<Event>) {
    let mut out = BufReader::new(out);
    let mut line = Vec::new();
    while out.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let _ = kept.write_all(&line); // for people
        if line.ends_with(b"\n") {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if events.send(Event::Heard(Instant::now(), text)).is_err() {
                return;
            }
        }
        line.clear(); // one that was cut short counts for nothing
    }
    let _ = events.send(Event::Ended);
}

/// `@JOB` and what follows; `None` for anything else.
fn parse(line: &str) -> Option<(u32, Said)> {
    let rest = line.strip_prefix('@')?;
    let at = rest.find(['+', '|', '='])?;
    let (job, said) = rest.split_at(at);
    let (kind, text) = said.split_at(1);
    let said = match kind {
        "+" => Said::Pid(text.parse().ok()?),
        "=" => Said::End(text.parse().ok()?),
        _ => Said::Line(text.into()),
    };
    Some((job.parse().ok()?, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_told_from_the_kernel() {
        assert_eq!(parse("@3|ack 7 | 8=9"), Some((3, Said::Line("ack 7 | 8=9".into()))));
        assert_eq!(parse("@12=-9"), Some((12, Said::End(-9))));
        assert_eq!(parse("@1+77"), Some((1, Said::Pid(77))));
        for other in ["", "@", "@|", "@x|y", "@1", "[    1.0] EXT4-fs error", "@1+", "@1=x"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
