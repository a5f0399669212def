//! Watchdogs that are fed by frames, and a wall clock that jumps.

use std::os::unix::net::UnixDatagram;

use lapwing_firmware::event::Event;
use lapwing_firmware::event::EventKind::{ClockSet, Disarmed, Fired, Released, SourceLost, Started, Stopped};
use lapwing_firmware::linux::Watchdogs;
use lapwing_firmware::linux::watchdog::Systemd;

use super::simulated::Step::{Blank, Broken, Do, Lost, Pass, Settle, Show, Until};
use super::simulated::{Stage, Step, told};
use lapwing_camera::Pacing;

const GATE: &str = "[pictures]\nkeep = \"none\"\n[[rule]]\nname = \"gate\"\nclasses = [\"person\"]\nhold_ms = 1000\n";

/// What a manager heard in a run of `script`.
fn heard(script: Vec<Step>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let dogs = Watchdogs::of(Systemd::connect(place.as_os_str()).unwrap(), Some(4_000_000)); // a kick a second
    let stage = Stage::new(GATE).feeds(dogs);
    stage.act(Pacing::Live, script, || {});
    drop(stage.state());
    socket.set_nonblocking(true).unwrap();
    let mut heard = Vec::new();
    let mut bytes = [0; 256];
    while let Ok(count) = socket.recv(&mut bytes) {
        heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    }
    heard
}

const KICK: &str = "WATCHDOG=1";

#[test]
fn a_watchdog_is_kicked_by_frames_that_were_looked_at_and_not_by_time() {
    let script = vec![
        Blank, // the first kick
        Settle,
        Pass(5000),
        Settle, // time alone: none
        Blank,  // the second
        Settle,
        Pass(500),
        Blank, // kicked half a second ago
        Settle,
        Pass(500),
        Blank, // the third
        Settle,
    ];
    assert_eq!(heard(script), ["READY=1\nSTATUS=watching", KICK, KICK, KICK, "STOPPING=1"]);
}

#[test]
fn a_watchdog_is_kicked_by_no_failure_of_the_source() {
    let script = vec![
        Broken,
        Until(Box::new(|state| state.troubles.len() == 1)),
        Pass(5000),
        Lost,
        told(SourceLost, 1),
        Pass(5000),
        Settle,
    ];
    assert_eq!(heard(script), ["READY=1\nSTATUS=watching", "STOPPING=1"]);
}

#[test]
fn a_watchdog_that_is_gone_is_told_once_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let stage = Stage::new(GATE).feeds(Watchdogs::of(Systemd::connect(place.as_os_str()).unwrap(), Some(4)));
    drop(socket);
    stage.act(Pacing::OnDemand, vec![Blank, Blank, Blank], || {});
    let state = stage.state();
    assert_eq!(state.seen.len(), 3);
    assert_eq!(state.troubles.len(), 1, "{:?}", state.troubles);
}

#[test]
fn a_clock_that_jumps_is_told_and_neither_order_nor_holds_change() {
    let stage = Stage::new(GATE);
    let script = vec![
        Show("astronaut.jpg"),
        told(Fired, 1),
        Do(Box::new(|state| state.wall_set_us = -3_600_000_000)),
        told(ClockSet, 1),
        Pass(900),
        Settle,
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(true), "an hour back does not end a hold"))),
        Do(Box::new(|state| state.wall_set_us = 7_200_000_000)),
        told(ClockSet, 2),
        Pass(101),
        Blank,
        told(Released, 1),
    ];
    stage.act(Pacing::Live, script, || {});
    let state = stage.state();
    assert_eq!(state.kinds(), [Started, Fired, ClockSet, ClockSet, Released, Disarmed, Stopped]);
    let set: Vec<(u32, bool)> = state
        .events
        .iter()
        .filter(|event| event.kind == ClockSet)
        .map(|event| (event.value, event.flags & Event::BACKWARDS != 0))
        .collect();
    assert_eq!(set, [(3600, true), (10_800, false)]);
    assert!(state.events.is_sorted_by_key(|event| event.mono_us), "the run's own time goes on");
}
