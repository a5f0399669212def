//! `kill -9` at any moment: what was told is in the log, and the next run goes on.
//!
//! A line `log #N` on standard output is the acknowledgement. The process dies at a random moment,
//! sixteen times over one data folder; power cuts, where the disk forgets too, are the subject of
//! `firmware/src/log/tests.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lapwing_tests::{Seeded, binary, lapwing, root, stderr, stdout};

const ROUNDS: usize = 16;
const FRAMES: u64 = 60;

/// The numbers of the events that this output acknowledges; a line cut short counts for nothing.
fn acknowledged(said: &str) -> impl Iterator<Item = u64> {
    let complete = said.rfind('\n').map_or("", |end| &said[..end]);
    complete.lines().filter_map(|line| line.trim_start().strip_prefix("log #")?.split_whitespace().next()?.parse().ok())
}

/// Runs until it has said `lines` and `after` passed since, or until it ends, then kills; returns what it had said.
fn run_and_kill(folder: &Path, lines: u64, after: Duration) -> String {
    let mut child = Command::new(binary())
        .args(["run", "--source", "many", "--data", "data"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    for _ in 0..lines {
        if pipe.read_until(b'\n', &mut said).unwrap() == 0 {
            break;
        }
    }
    let reader = std::thread::spawn(move || {
        pipe.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    });
    std::thread::sleep(after);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    reader.join().unwrap()
}

fn logged(folder: &Path) -> BTreeSet<u64> {
    let output = lapwing(folder, &["log", "export", "--data", "data"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["seq"].as_u64().unwrap()).collect()
}

#[test]
fn every_event_told_before_a_kill_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let many = folder.path().join("many");
    std::fs::create_dir(&many).unwrap();
    for n in 0..FRAMES {
        let name = if n % 2 == 0 { "astronaut.jpg" } else { "rocket.jpg" }; // fires, releases
        std::fs::copy(root().join("tests/photos").join(name), many.join(format!("{n:03}.jpg"))).unwrap();
    }

    let mut random = Seeded(7);
    let mut told = BTreeSet::new();
    let mut cut_short = 0;
    for round in 0..ROUNDS {
        let (lines, after) = (random.below(3 * FRAMES / 2), Duration::from_micros(random.below(60_000)));
        let said = run_and_kill(folder.path(), lines, after);
        cut_short += usize::from(!said.contains("first detection"));
        let before = told.len();
        told.extend(acknowledged(&said));
        if !folder.path().join("data/log").exists() {
            assert_eq!(told.len(), 0, "told before there was a log");
            continue;
        }
        let verified = lapwing(folder.path(), &["log", "verify", "--data", "data"]);
        assert!(verified.status.success(), "round {round}: {}{}", stdout(&verified), stderr(&verified));
        let logged = logged(folder.path());
        let missing: Vec<&u64> = told.difference(&logged).collect();
        assert!(missing.is_empty(), "round {round}: told and not in the log: {missing:?}");
        assert!(logged.len() >= before, "round {round}: the log shrank");
    }
    assert!(told.len() > ROUNDS, "only {} events were told: the test says nothing", told.len());
    assert!(cut_short > ROUNDS / 2, "only {cut_short} runs were cut short: the test says nothing");

    // what was being written when the process died is not taken for a picture
    for entry in std::fs::read_dir(folder.path().join("data/pictures")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "jpg") {
            image::open(&path).unwrap();
        }
    }
    let last = lapwing(folder.path(), &["run", "--source", "many", "--data", "data", "--frames", "2"]);
    assert!(last.status.success(), "{}", stderr(&last));
}
