//! What may happen to a run that nobody watches: its output leads nowhere, somebody sends a signal, the system has no
//! thread for it, its pictures are huge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lapwing_tests::{binary, lapwing, root, stderr, stdout};

/// Longest wait for a run to end.
const PATIENCE: Duration = Duration::from_secs(120);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).env("LAPWING_CAMERAS", "none");
    command
}

fn ended(child: &mut Child, what: &str) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what}: it did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kinds of the events in the log, oldest first.
fn logged(folder: &Path) -> Vec<String> {
    let exported = lapwing(folder, &["log", "export"]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let lines = stdout(&exported);
    let parse =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().map(str::to_owned);
    lines.lines().filter_map(parse).collect()
}

/// A pipe that is full and that nobody reads; both ends, to be kept.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    // it blocks when the pipe is full, and ends when the reader is dropped
    std::thread::spawn(move || while filler.write_all(&[b'.'; 4096]).is_ok() {});
    std::thread::sleep(Duration::from_millis(300));
    (reader, writer)
}

#[test]
fn standard_output_that_leads_nowhere_neither_stops_nor_ends_the_run() {
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_unread, unread) = full_pipe();
    let nowhere = [("closed", Stdio::from(closed)), ("full", full.into()), ("unread", unread.into())];
    for (name, stdout) in nowhere {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(folder.path(), &["run"]);
        let mut child = child.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let status = ended(&mut child, name);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert_eq!(status.code(), Some(0), "{name}: {said}");
        assert!(said.contains("standard output: "), "{name}: what was not printed is counted: {said}");
        let kinds = logged(folder.path());
        assert!(kinds.contains(&"fired".to_owned()), "{name}: {kinds:?}");
        assert_eq!(kinds.last().map(String::as_str), Some("stopped"), "{name}: {kinds:?}");
        assert!(folder.path().join("lapwing-data/pictures").read_dir().unwrap().count() > 1, "{name}");
    }
}

/// A stopped terminal (Ctrl-S) takes neither what was found nor what went wrong.
#[test]
fn both_streams_may_be_stuck() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.jpg"), b"\xff\xd8\xff\xe0 no").unwrap();
    let (_unread, unread) = full_pipe();
    let mut child = command(folder.path(), &["run", "--source", "broken.jpg"]);
    let mut child = child.stdout(unread.try_clone().unwrap()).stderr(unread).spawn().unwrap();
    assert_eq!(ended(&mut child, "stuck").code(), Some(1), "the picture is broken");
    assert_eq!(logged(folder.path()).last().map(String::as_str), Some("stopped"));
}

/// A clip that takes a while, and a run that watches it.
fn long_run(folder: &Path, shell: Option<&str>) -> (Child, BufReader<std::process::ChildStdout>) {
    let photo = std::fs::read(root().join("tests/photos/astronaut.jpg")).unwrap();
    let mut clip = File::create(folder.join("clip.mjpeg")).unwrap();
    (0..1500).for_each(|_| clip.write_all(&photo).unwrap());
    std::fs::write(
        folder.join("c.toml"),
        "[pictures]\nkeep = \"none\"\n[[rule]]\nname = \"v\"\nclasses = [\"person\"]\n",
    )
    .unwrap();
    let arguments = ["run", "--config", "c.toml", "--source", "clip.mjpeg"];
    let mut command = match shell {
        None => command(folder, &arguments),
        Some(before) => {
            let mut shell = Command::new("sh");
            let line = format!("{before}; exec {} {}", binary().display(), arguments.join(" "));
            shell.args(["-c", &line]).current_dir(folder).env("LAPWING_CAMERAS", "none");
            shell
        }
    };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("fired v") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended before it fired");
    }
    (child, said)
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Reads on, so that the run does not wait for us, until it ends.
fn rest(child: &mut Child, said: BufReader<std::process::ChildStdout>, what: &str) -> (ExitStatus, Vec<String>) {
    let reading = std::thread::spawn(move || said.lines().map_while(Result::ok).collect::<Vec<_>>());
    (ended(child, what), reading.join().unwrap())
}

#[test]
fn every_signal_that_asks_for_a_stop_ends_the_run_in_order() {
    for (signal, times) in [("TERM", 1), ("INT", 1), ("QUIT", 2), ("HUP", 2), ("XCPU", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, said) = long_run(folder.path(), None);
        (0..times).for_each(|_| send(&child, signal)); // a terminal that closes sends two
        let (status, _) = rest(&mut child, said, signal);
        assert_eq!((status.signal(), status.code()), (None, Some(0)), "{signal}");
        let kinds = logged(folder.path());
        let ends = &kinds[kinds.len() - 2..];
        assert_eq!(ends, ["released", "stopped"], "{signal}: {kinds:?}");
    }
}

#[test]
fn signals_that_come_by_accident_are_without_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, said) = long_run(folder.path(), Some("trap '' HUP")); // as nohup does
    for signal in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PIPE", "XFSZ", "HUP"] {
        send(&child, signal);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it ended");
    send(&child, "TERM");
    let (status, lines) = rest(&mut child, said, "TERM");
    assert_eq!(status.code(), Some(0), "{lines:?}");
}

#[test]
fn a_suspended_run_has_its_output_safe_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, said) = long_run(folder.path(), None);
    send(&child, "TSTP");
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T')
    };
    let start = Instant::now();
    while !stopped() {
        assert!(start.elapsed() < PATIENCE, "it was not suspended");
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, "CONT");
    send(&child, "TERM");
    assert_eq!(rest(&mut child, said, "TSTP").0.code(), Some(0));
}

#[test]
fn a_limit_on_the_size_of_files_is_told_and_kills_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("ulimit -f 1; exec {} run --frames 2", binary().display());
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &line]).current_dir(folder.path()).env("LAPWING_CAMERAS", "none").output().unwrap();
    assert_eq!(output.status.signal(), None, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).to_lowercase().contains("too large"), "{}", stderr(&output));
}

#[test]
fn a_thread_that_cannot_be_created_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["run", "--frames", "1"]);
    let output = command.env("RUST_MIN_STACK", (1u64 << 46).to_string()).output().unwrap(); // no system has room for it
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("could not be started"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

/// The most memory that a process had, in MiB, seen while it runs.
fn peak_mib(child: &mut Child) -> (ExitStatus, u64) {
    let mut peak_kib = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        peak_kib = peak_kib.max(kib);
        if let Some(status) = child.try_wait().unwrap() {
            return (status, peak_kib / 1024);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nine pictures of 64 megapixels, whose RGB takes 192 MiB each.
#[test]
fn huge_pictures_of_a_replay_go_through_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let album = folder.path().join("album");
    std::fs::create_dir(&album).unwrap();
    let huge = image::GrayImage::from_pixel(8192, 8192, image::Luma([90]));
    huge.save(album.join("0.jpg")).unwrap();
    for n in 1..9 {
        std::fs::copy(album.join("0.jpg"), album.join(format!("{n}.jpg"))).unwrap();
    }
    std::fs::write(folder.path().join("c.toml"), "[pictures]\nkeep = \"none\"\n").unwrap();
    let mut child = command(folder.path(), &["run", "--config", "c.toml", "--source", "album"]);
    let mut child = child.stdout(Stdio::null()).spawn().unwrap();
    let (status, mib) = peak_mib(&mut child);
    assert!(status.success());
    assert!(mib < 560, "{mib} MiB");
}
