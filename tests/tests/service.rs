//! lapwing as a service: what it says to systemd, the unit that is shipped, and panic record from one run to the next.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use lapwing_firmware::panic_record::PanicRecord;
use lapwing_tests::{binary, lapwing, root, stderr, stdout};

#[test]
fn the_service_manager_hears_of_readiness_of_frames_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let output = Command::new(binary())
        .args(["run", "--frames", "3"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", &place)
        .env("WATCHDOG_USEC", "20000000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut heard = Vec::new();
    let mut bytes = [0; 512];
    while heard.last().is_none_or(|last: &String| last != "STOPPING=1") {
        let count = socket.recv(&mut bytes).unwrap();
        heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    }
    assert!(heard[0].starts_with("READY=1\n"), "{heard:?}");
    assert!(heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
}

#[test]
fn a_socket_that_leads_nowhere_and_a_device_that_is_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let call = |config: &str, place: &str| {
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        let mut command = Command::new(binary());
        command.args(["run", "--config", "c.toml", "--frames", "1"]).current_dir(folder.path());
        command.env("NOTIFY_SOCKET", place).output().unwrap()
    };
    let lost = call("", "/nowhere/notify");
    assert_eq!(lost.status.code(), Some(1));
    assert!(stderr(&lost).contains("/nowhere/notify"), "{}", stderr(&lost));
    let none = call("[watchdog]\ndevice = \"/dev/no-watchdog\"\n", "");
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("softdog"), "{}", stderr(&none));
}

/// The unit calls what there is, and has what the fail-safe's documentation counts on.
#[test]
fn the_unit_that_is_shipped_fits() {
    let unit = std::fs::read_to_string(root().join("firmware/image/lapwing.service")).unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    assert_eq!(value("Type").as_deref(), Some("notify"));
    assert_eq!(value("Restart").as_deref(), Some("always"));
    assert_eq!((value("LimitCORE").as_deref(), value("UMask").as_deref()), (Some("0"), Some("0077")));
    assert!(value("WatchdogSec").is_some() && value("RestartSec").is_some());
    let start = value("ExecStart").unwrap();
    let words: Vec<&str> = start.split_whitespace().collect();
    assert_eq!(words[..2], ["/usr/local/bin/lapwing", "run"]);
    let help = stdout(&lapwing(&root(), &["run", "--help"]));
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(*option), "{option}");
    }
}

#[test]
fn last_words_are_told_once_at_the_next_start_and_stay_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("lapwing-data");
    std::fs::create_dir(&data).unwrap();
    let mut words = PanicRecord::new(1_764_000_000_000_000);
    write!(words, "thread \"camera\" panicked at v4l.rs:7:\nthe sensor is on fire").unwrap();
    std::fs::write(data.join("last-words"), words.encode()).unwrap();
    let first = lapwing(folder.path(), &["run", "--frames", "1"]);
    assert!(first.status.success() && stderr(&first).contains("the sensor is on fire"), "{}", stderr(&first));
    let second = lapwing(folder.path(), &["run", "--frames", "1"]);
    assert!(!stderr(&second).contains("on fire"), "told twice: {}", stderr(&second));
    let shown = stdout(&lapwing(folder.path(), &["log", "show"]));
    let told = "panic record: thread \"camera\" panicked at v4l.rs:7: the sensor is on fire";
    assert_eq!(shown.matches(told).count(), 1, "{shown}");
    assert!(shown.contains("2025-11-24T16:00:00.000Z"), "{shown}");
    let exported = stdout(&lapwing(folder.path(), &["log", "export"]));
    assert!(exported.lines().any(|line| line.contains("\"kind\":\"panic_record\"")), "{exported}");
    let verified = lapwing(folder.path(), &["log", "verify"]);
    assert!(verified.status.success(), "{}", stdout(&verified));
}
