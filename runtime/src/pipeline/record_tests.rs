//! The recorder where the disk changes under it.

use lapwing_firmware::event::EventKind::{Disarmed, Fired, Released, Stopped};
use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::DirMedia;
use lapwing_firmware::log::{Item, Reader};

use super::super::simulated::Step::{Blank, Do, Pass, Show};
use super::super::simulated::{Stage, told};
use lapwing_camera::Pacing;

const GATE: &str = "[pictures]\nkeep = \"none\"\n\
    [[rule]]\nname = \"gate\"\nclasses = [\"person\"]\nhold_ms = 0\nstall_ms = 2000\n";

/// Kinds of the events that are in the log, read anew.
fn logged(stage: &Stage) -> Vec<EventKind> {
    let mut media = DirMedia::read(&stage.folder.path().join("log")).unwrap();
    let mut reader = Reader::new(&mut media);
    let mut kinds = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        assert!(matches!(item, Item::Record { .. }), "{item:?}");
        kinds.extend(Event::decode(reader.payload()).map(|e| e.kind));
    }
    kinds
}

#[test]
fn a_log_that_is_taken_away_under_a_run_is_told_and_begun_anew() {
    let stage = Stage::new(GATE);
    let log = stage.folder.path().join("log");
    let script = vec![
        Show("astronaut.jpg"),
        told(Fired, 1),
        Do(Box::new(move |_| std::fs::remove_dir_all(&log).unwrap())),
        Pass(10),
        Blank,
        told(Released, 1),
    ];
    let report = stage.act(Pacing::Live, script, || {});
    assert_eq!(logged(&stage), [Released, Disarmed, Stopped], "what is told after that is where a reader looks");
    let state = stage.state();
    let told = state.troubles.iter().filter(|what| what.contains("removed, moved or unmounted")).count();
    assert_eq!((told, report.record.events_lost, report.record.log_errors), (1, 0, 1), "{:?}", state.troubles);
    assert!(!report.is_clean(), "what was acknowledged before is gone");
}
