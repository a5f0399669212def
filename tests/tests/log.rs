//! `lapwing log`, and what `lapwing run` says of a record: one that an older version wrote, one that rots, one on a full
//! disk, one that is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use lapwing_tests::{lapwing, root, say, stderr, stdout};
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

/// A data folder after a run over two photographs.
fn run_over(folder: &Path) -> std::path::PathBuf {
    let album = folder.join("album");
    std::fs::create_dir_all(&album).unwrap();
    for name in ["astronaut.jpg", "rocket.jpg"] {
        std::fs::copy(root().join("tests/photos").join(name), album.join(name)).unwrap();
    }
    say(folder, &["run", "--source", "album"]);
    folder.join("lapwing-data/log/00000001.seg")
}

/// Both copies of the newest chain lose the same bytes: what is read is printed, every reader ends with 1, a run says so at its
/// start and goes on, and numbers are not given again.
#[test]
fn a_log_that_rots_is_told_by_every_reader_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let segment = run_over(folder.path());
    let before = say(folder.path(), &["log", "export"]);
    let mut bytes = std::fs::read(&segment).unwrap();
    for block in [1, 2] {
        bytes[block * 4096 + 200..block * 4096 + 400].fill(0);
    }
    std::fs::write(&segment, bytes).unwrap();
    for call in [["log", "show"], ["log", "export"], ["log", "verify"]] {
        let output = lapwing(folder.path(), &call);
        assert_eq!(output.status.code(), Some(1), "{call:?}: {}", stdout(&output));
        assert!(stderr(&output).contains("damaged"), "{call:?}: {}", stderr(&output));
        assert!(call[1] == "verify" || !stdout(&output).is_empty(), "what is whole is printed");
    }
    let run = lapwing(folder.path(), &["run", "--source", "album"]);
    assert!(stderr(&run).contains("damaged at"), "{}", stderr(&run));
    let numbers = |text: &str| -> Vec<u64> {
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()).collect()
    };
    let after = stdout(&lapwing(folder.path(), &["log", "export"]));
    let last = *numbers(&before).last().unwrap();
    let new = numbers(&after).into_iter().filter(|seq| *seq > last).count();
    assert!(new > 3 && numbers(&after).is_sorted_by(|a, b| a < b), "{after}");
    let again = after.lines().filter(|line| line.contains("\"run\":2"));
    assert!(again.map(|line| numbers(line)[0]).all(|seq| seq > last), "a number is given twice: {after}");
}

#[test]
fn an_export_is_not_written_into_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let segment = run_over(folder.path());
    let before = std::fs::read(&segment).unwrap();
    std::os::unix::fs::symlink("lapwing-data", folder.path().join("way")).unwrap();
    for to in
        ["lapwing-data/log/00000001.seg", "lapwing-data/events.jsonl", "way/log/00000001.seg", "way/../lapwing-data/x"]
    {
        let output = lapwing(folder.path(), &["log", "export", "-o", to]);
        assert_eq!(output.status.code(), Some(2), "{to}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read(&segment).unwrap(), before);
    say(folder.path(), &["log", "export", "-o", "events.jsonl"]);
    assert!(std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap().lines().count() > 3);
}

/// Everything that a run leaves is for its owner only.
#[test]
fn what_a_run_writes_is_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    run_over(folder.path());
    let mut open = vec![folder.path().join("lapwing-data")];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let found = std::fs::metadata(&path).unwrap();
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.permissions().mode() & 0o777, wanted, "{}", path.display());
        files += usize::from(found.is_file());
        if found.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(files >= 3, "a segment, a lock, a picture");
}

#[test]
fn runs_are_numbered_on_after_their_pictures_where_the_log_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    run_over(folder.path());
    let pictures = folder.path().join("lapwing-data/pictures");
    let before = std::fs::read_dir(&pictures).unwrap().count();
    std::fs::remove_dir_all(folder.path().join("lapwing-data/log")).unwrap();
    let said = say(folder.path(), &["run", "--source", "album"]);
    assert!(said.contains("run 2, 0 records from before"), "{said}");
    assert_eq!(std::fs::read_dir(&pictures).unwrap().count(), 2 * before, "a picture was written over");
}

/// A data folder without room, on a file system of its own: a run makes room by its oldest pictures, loses no event, and
/// one that goes on in its segment needs no room at all.
#[test]
fn a_full_disk_loses_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let album = folder.path().join("album");
    std::fs::create_dir(&album).unwrap();
    for name in ["astronaut.jpg", "rocket.jpg"] {
        std::fs::copy(root().join("tests/photos").join(name), album.join(name)).unwrap();
    }
    let script = r#"
        mkdir disk && mount -t tmpfs -o size=1536k none disk || exit 77
        mkdir -p disk/data/pictures
        for n in 1 2 3 4; do head -c 131072 /dev/zero > disk/data/pictures/r000007-f0000000$n-old.jpg; done
        cat /dev/zero > disk/fill 2>/dev/null
        "$LAPWING" run --source album --data disk/data || exit 1
        "$LAPWING" log verify --data disk/data || exit 2
        cat /dev/zero >> disk/fill 2>/dev/null
        "$LAPWING" run --source album --data disk/data || exit 3
        "$LAPWING" log export --data disk/data || exit 4
        ls disk/data/pictures
    "#;
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .current_dir(folder.path())
        .env("LAPWING", lapwing_tests::binary())
        .env("LAPWING_CAMERAS", "none")
        .output();
    let Ok(output) = output.map_err(|error| eprintln!("SKIPPED: unshare: {error}")) else { return };
    let (said, complained) = (stdout(&output), stderr(&output));
    if output.status.code() == Some(77) || complained.contains("unshare failed") {
        eprintln!("SKIPPED: no file system of its own may be mounted here: {complained}");
        return;
    }
    assert!(output.status.success(), "{said}{complained}");
    let runs: Vec<u64> =
        said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["run"].as_u64()).collect();
    assert!(
        runs.iter().filter(|run| **run == 8).count() >= 4 && runs.iter().filter(|run| **run == 9).count() >= 4,
        "{said}"
    );
    assert!(!said.contains("r000007-f00000001-old.jpg"), "the oldest picture did not give way: {said}");
    assert!(!complained.contains("not durable"), "{complained}");
}
