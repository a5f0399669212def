//! The board's first process: runs what the harness asks for and says what came of it.
//!
//! A line in is `JOB COMMAND`, the command being the shell's. Lines out are `@JOB` and `+PID` when it
//! began, `|TEXT` for each line that it wrote to either output, `=CODE` when it ended (negative: by
//! that signal). A line is written whole or not at all. `@0|ready` is the first.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const SERIAL: &str = "/dev/ttyAMA0";

/// Where answers go.
#[derive(Clone)]
struct Out(Arc<Mutex<File>>);

impl Out {
    fn say(&self, job: u32, what: std::fmt::Arguments<'_>) {
        let line = format!("@{job}{what}\n");
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(line.as_bytes()); // without a line there is nobody to tell
    }
}

/// Never returns while the serial line is there.
pub fn run() -> Result<(), String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")] {
        call("/bin/mount", &["-t", kind, kind, place])?;
    }
    call("/bin/stty", &["-F", SERIAL, "raw", "-echo"])?;
    let open = || OpenOptions::new().read(true).write(true).open(SERIAL).map_err(|e| format!("{SERIAL}: {e}"));
    let out = Out(Arc::new(Mutex::new(open()?)));
    let kernel = std::fs::read_to_string("/proc/version").unwrap_or_default();
    out.say(0, format_args!("|ready {}", kernel.split(" (").next().unwrap_or_default()));
    let serial = BufReader::new(open()?);
    for line in serial.lines() {
        let line = line.map_err(|e| format!("{SERIAL}: {e}"))?;
        if let Some((job, command)) = line.split_once(' ')
            && let Ok(job) = job.parse()
        {
            start(job, command, &out);
        }
    }
    Err(format!("{SERIAL} has ended"))
}

fn call(program: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{program} {arguments:?}: {other:?}")),
    }
}

fn start(job: u32, command: &str, out: &Out) {
    let spawned = Command::new("/bin/sh")
        .args(["-c", command])
        .env("PATH", "/bin")
        .env("HOME", "/tmp")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            out.say(job, format_args!("|{error}"));
            return out.say(job, format_args!("=127"));
        }
    };
    out.say(job, format_args!("+{}", child.id()));
    let pipes = [child.stdout.take().map(forwarded(job, out)), child.stderr.take().map(forwarded(job, out))];
    let out = out.clone();
    thread::spawn(move || {
        for reader in pipes.into_iter().flatten() {
            let _ = reader.join(); // a reader that died has nothing more to tell
        }
        let code = match child.wait() {
            Ok(status) => status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)),
            Err(_) => 127,
        };
        out.say(job, format_args!("={code}"));
    });
}

/// A thread that passes on what a pipe gives, line by line.
fn forwarded<P: Read + Send + 'static>(job: u32, out: &Out) -> impl FnOnce(P) -> thread::JoinHandle<()> + use<P> {
    let out = out.clone();
    move |pipe| {
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { return };
                out.say(job, format_args!("|{}", String::from_utf8_lossy(&line)));
            }
        })
    }
}
