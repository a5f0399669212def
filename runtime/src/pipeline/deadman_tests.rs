//! The fail-safe under everything that may hang, panic or never begin.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lapwing_firmware::event::EventKind::{Disarmed, Failsafe, Fired, Released, Started, Stopped};
use lapwing_firmware::trigger::Polarity;

use super::simulated::Step::{Blank, Do, Hold, Pass, Release, Settle, SettleDeadMan, Show, Stop, Until};
use super::simulated::{Stage, Step, told};
use super::{DeadMan, RuleRunner};
use crate::config::Config;
use crate::pins::{Line, Probe};
use lapwing_camera::Pacing;
use lapwing_vision::detect::Detection;

const PERSON: &str = "astronaut.jpg";
const GATE: &str = "[pictures]\nkeep = \"none\"\n\
    [[rule]]\nname = \"gate\"\nclasses = [\"person\"]\nhold_ms = 60000\nstall_ms = 2000\n";

fn level(expected: bool) -> Step {
    Do(Box::new(move |state| assert_eq!(state.wires[0].level, Some(expected))))
}

fn until_safe() -> Step {
    Until(Box::new(|state| state.wires[0].level == Some(false)))
}

#[test]
fn a_detector_that_hangs_does_not_hold_the_line() {
    let stage = Stage::new(GATE);
    let script = vec![
        Show(PERSON),
        told(Fired, 1),
        Hold, // the detector's thread stands still from here on
        Pass(1999),
        SettleDeadMan,
        level(true),
        Pass(1),
        until_safe(),
        told(Failsafe, 1),
        Release,
        Show(PERSON),
        told(Fired, 2),
    ];
    stage.act(Pacing::Live, script, || {});
    let state = stage.state();
    assert_eq!(state.kinds(), [Started, Fired, Failsafe, Fired, Released, Stopped]);
    assert_eq!(state.first(Failsafe).mono_us - state.first(Fired).mono_us, 2_000_000);
}

#[test]
fn a_pulse_ends_in_time_while_the_detector_is_busy() {
    let stage = Stage::new(&GATE.replace("stall_ms = 2000", "stall_ms = 2000\npulse_ms = 300"));
    let script = vec![Show(PERSON), told(Fired, 1), Hold, Pass(299), SettleDeadMan, level(true), Pass(1), until_safe()];
    stage.act(Pacing::Live, script.into_iter().chain([Release]).collect(), || {});
    assert_eq!(stage.state().count(Failsafe), 0, "the rule is still active");
}

#[test]
fn a_stop_makes_the_line_safe_while_the_detector_hangs() {
    for pacing in [Pacing::Live, Pacing::OnDemand] {
        let stage = Stage::new(GATE);
        let script = vec![Show(PERSON), told(Fired, 1), Hold, Stop, until_safe(), told(Released, 1), Release];
        stage.act(pacing, script, || {});
        assert_eq!(stage.state().kinds(), [Started, Fired, Released, Stopped]);
    }
}

/// A replay's rules know only the time of its frames; its line knows the real one.
#[test]
fn a_replay_whose_detector_hangs_does_not_hold_the_line_and_records_the_same() {
    let stage = Stage::new(GATE);
    let script = vec![Show(PERSON), told(Fired, 1), Hold, Pass(2000), until_safe(), Release, Show(PERSON)];
    stage.act(Pacing::OnDemand, script, || {});
    let state = stage.state();
    assert!(state.troubles.iter().any(|t| t.contains("no frame was looked at for 2000 ms")), "{:?}", state.troubles);
    assert_eq!(state.wires[0].edges.last(), Some(&false));
    assert!(state.wires[0].edges.starts_with(&[false, true, false]), "{:?}", state.wires[0].edges);
}

#[test]
fn a_recorder_that_hangs_holds_neither_the_line_nor_the_detector() {
    let stage = Stage::new(GATE).with(|state| state.recorder_hold = true);
    let script = vec![
        Show(PERSON),
        Until(Box::new(|state| state.recorder_held)),
        Pass(2000),
        until_safe(),
        Show(PERSON),
        Until(Box::new(|state| state.wires[0].level == Some(true))),
        Pass(2000),
        until_safe(),
        Do(Box::new(|state| state.recorder_hold = false)),
    ];
    let report = stage.act(Pacing::Live, script, || {});
    assert_eq!((report.rules[0].fired, stage.state().count(Failsafe)), (2, 2));
}

#[test]
fn a_recorder_that_panics_ends_the_run_with_the_line_safe() {
    for pacing in [Pacing::Live, Pacing::OnDemand] {
        let stage = Stage::new(GATE);
        let mut script = vec![Show(PERSON), told(Fired, 1), Do(Box::new(|state| state.recorder_panics = true))];
        // a live camera goes on for ever; what ends it is that nobody records any more
        script.extend((0..2000).flat_map(|_| [Blank, Step::Nap(5)]));
        let report = stage.act(pacing, script, || {});
        assert!(report.record.panicked && !report.is_clean(), "{report:?}");
        let state = stage.state();
        assert!(state.shown < 1000, "{} frames were shown after that", state.shown);
        assert_eq!(state.wires[0].level, Some(false));
    }
}

#[test]
fn a_detector_that_panics_ends_the_run_in_order() {
    let stage = Stage::new(GATE);
    let script = vec![Show(PERSON), told(Fired, 1), Step::PanicDetector, until_safe()];
    let report = stage.act(Pacing::Live, script, || {});
    assert_eq!((report.panicked, report.is_clean()), (Some("detector"), false));
    assert_eq!(stage.state().kinds(), [Started, Fired, Released, Stopped]);
}

/// A runner whose line tells each level that it takes.
fn runner() -> (RuleRunner, mpsc::Receiver<bool>) {
    let config = Config::parse(GATE, "t.toml").unwrap();
    let bound = config.bind(lapwing_vision::Model::builtin().unwrap().manifest()).unwrap();
    let (told, levels) = mpsc::channel();
    let write = move |level| {
        let _ = told.send(level);
        Ok(())
    };
    assert_eq!(bound.rules[0].polarity, Polarity::ActiveHigh);
    (RuleRunner::new(0, &bound.rules[0], Line::Probe(Probe(Box::new(write)))).unwrap(), levels)
}

/// After Ctrl-Z, or a panic, the dead man goes on by the clock: that alone turns no line on.
#[test]
fn a_line_that_was_made_safe_stays_so_until_a_frame_is_looked_at() {
    let (mut runner, levels) = runner();
    let person = Detection::new(14, 0.9, [0.0, 0.0, 100.0, 200.0]);
    assert!(runner.observe(1_000_000, 0, &[person], (512, 512)).is_some());
    runner.make_safe();
    assert!(runner.tick(1_100_000).is_none());
    assert_eq!(levels.try_iter().collect::<Vec<_>>(), [false, true, false]);
    runner.observe(1_200_000, 0, &[person], (512, 512));
    assert_eq!(levels.try_iter().collect::<Vec<_>>(), [true]);
}

/// What the panic hook calls may wait neither for the thread that panics nor for one that hangs.
#[test]
fn lines_are_made_safe_while_somebody_holds_the_rules() {
    let (runner, levels) = runner();
    let dead_man = DeadMan::new(vec![runner]);
    assert!(!levels.recv().unwrap(), "it begins safe");
    let (held, let_go) = (mpsc::channel::<()>(), mpsc::channel::<()>());
    std::thread::scope(|scope| {
        let dead_man = &dead_man;
        scope.spawn(move || {
            dead_man.act(|_| {
                held.0.send(()).unwrap();
                let_go.1.recv().unwrap(); // a thread that hangs in the middle of a decision
            });
        });
        held.1.recv().unwrap();
        let start = Instant::now();
        dead_man.make_safe();
        assert!(!levels.recv_timeout(Duration::from_secs(1)).unwrap());
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        let_go.0.send(()).unwrap();
    });
    assert!(!dead_man.stood_down_flag().load(Ordering::SeqCst), "for this moment, and not for good");
}

#[test]
fn a_run_that_begins_safe_and_sees_nobody_moves_no_line() {
    let stage = Stage::new(GATE);
    stage.act(Pacing::Live, vec![Blank, Settle, Pass(9000), Settle, Blank, Settle], || {});
    let state = stage.state();
    assert_eq!(state.wires[0].edges, [false]);
    assert_eq!(state.kinds(), [Started, Disarmed, Stopped]);
}
