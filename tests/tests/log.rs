//! `lapwing log` on a record that an older version wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use lapwing_tests::{lapwing, root, stderr, stdout};
use serde_json::Value;

/// A data folder as the first version with this format left it: two runs, 15 events.
fn old(folder: &Path) {
    let log = folder.join("lapwing-data/log");
    std::fs::create_dir_all(&log).unwrap();
    for run in ["1", "2"] {
        let from = root().join("firmware/src/log/fixtures").join(format!("format1_run{run}.seg"));
        std::fs::copy(from, log.join(format!("0000000{run}.seg"))).unwrap();
    }
}

fn say(folder: &Path, call: &[&str]) -> String {
    let output = lapwing(folder, call);
    assert!(output.status.success(), "{call:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn every_command_reads_a_log_of_an_older_version_and_a_run_goes_on_in_it() {
    let folder = tempfile::tempdir().unwrap();
    old(folder.path());
    assert!(say(folder.path(), &["log", "verify"]).contains("good: 15 events"));
    let shown = say(folder.path(), &["log", "show"]);
    assert!(
        shown.contains("log #3  2026-11-25T07:58:08.557Z  fired visitor: 1 x person (0.86), 19.1 ms after the frame"),
        "{shown}"
    );
    assert_eq!(say(folder.path(), &["log", "export"]).lines().count(), 15);
    assert!(say(folder.path(), &["log", "ls"]).contains("00000002.seg"));
    say(folder.path(), &["run", "--frames", "1"]);
    let verified: Value = serde_json::from_str(&say(folder.path(), &["log", "verify", "--json"])).unwrap();
    assert!(verified["good"] == true && verified["events"].as_u64().unwrap() >= 18, "{verified}");
}

#[test]
fn latencies_are_a_histogram() {
    let folder = tempfile::tempdir().unwrap();
    old(folder.path());
    let found: Value = serde_json::from_str(&say(folder.path(), &["log", "latency", "--json"])).unwrap();
    let frames = &found["frame_to_pin"];
    assert_eq!((&frames["count"], &frames["max_ms"]), (&5.into(), &121.028.into()), "{found}");
    let rows: u64 = frames["rows"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!((rows, found["input_to_pin"]["count"].as_u64()), (5, Some(0)));
    let said = say(folder.path(), &["log", "latency"]);
    assert!(said.starts_with("frame to pin: 5 times, 20.") && said.contains("####"), "{said}");
}
