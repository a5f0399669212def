//! The main job under bad conditions: too many frames, none, broken ones, no log, no time left.

use lapwing_firmware::event::EventKind::{Disarmed, Failsafe, Fired, FramesDropped, Released, SourceBack, SourceLost};
use lapwing_firmware::event::EventKind::{Started, Stopped};
use lapwing_firmware::event::{Event, EventKind};
use lapwing_firmware::linux::DirMedia;
use lapwing_firmware::log::{Item, Reader};

use super::simulated::Step::{
    Blank, Broken, BrokenUntil, Do, Hold, Lost, Make, Panic, Pass, Release, Settle, Show, Stop, Until,
};
use super::simulated::{Stage, Step, told};
use lapwing_camera::Pacing;
use lapwing_camera::frame::Frame;

/// A person is in it.
const PERSON: &str = "astronaut.jpg";
const GATE: &str = "[pictures]\nkeep = \"none\"\n\
    [[rule]]\nname = \"gate\"\nclasses = [\"person\"]\nhold_ms = 60000\nstall_ms = 2000\n";

fn nothing() {}

/// Kinds of the events that are in the log, read anew.
fn logged(stage: &Stage) -> Vec<EventKind> {
    let mut media = DirMedia::read(&stage.folder.path().join("log")).unwrap();
    let mut reader = Reader::new(&mut media);
    let mut kinds = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        assert!(matches!(item, Item::Record { .. }), "{item:?}");
        kinds.extend(lapwing_firmware::event::Event::decode(reader.payload()).map(|e| e.kind));
    }
    kinds
}

#[test]
fn of_a_camera_that_is_too_fast_the_newest_frame_wins_and_drops_are_counted_and_logged() {
    let stage = Stage::new(&GATE.replace("60000", "0"));
    let mut script = vec![Hold];
    script.extend((0..6).map(|_| Blank));
    script.extend([Show(PERSON), Release, told(Fired, 1), Pass(10), Blank, told(Released, 1), Hold, Pass(10)]);
    script.extend((0..4).map(|_| Blank));
    script.extend([Show(PERSON), Release, told(Fired, 2), Hold]);
    script.extend((0..3).map(|_| Blank));
    script.push(Release);
    let report = stage.act(Pacing::Live, script, nothing);
    let state = stage.state();
    assert_eq!(state.shown, 16);
    let seen: Vec<&str> = state.seen.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(seen, ["astronaut.jpg 7", "blank 8", "astronaut.jpg 13", "blank 16"]);
    assert_eq!((report.frames, report.frames_dropped), (4, 12));
    let dropped: Vec<u32> = state.events.iter().filter(|e| e.kind == FramesDropped).map(|e| e.value).collect();
    assert_eq!(dropped, [6, 4, 2], "the last ones at the end, though no rule fired");
    assert_eq!(logged(&stage), state.kinds());
    assert!(report.is_clean(), "dropping is no failure: {report:?}");
}

#[test]
fn a_replay_loses_no_frame_however_slow_the_detector() {
    let stage = Stage::new(GATE);
    let script = (0..12).map(|_| Blank).collect();
    let report = stage.act(Pacing::OnDemand, script, nothing);
    assert_eq!((report.frames, report.frames_dropped), (12, 0));
    assert_eq!(stage.state().seen.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_frame_past_its_deadline_is_called_stale() {
    let stage = Stage::new(&GATE.replace("60000", "0"));
    let late = |ms| vec![Hold, Show(PERSON), Pass(ms), Release];
    let mut script = late(500);
    script.extend([told(Fired, 1), Pass(10), Blank, told(Released, 1)]);
    script.extend(late(501));
    script.push(told(Fired, 2));
    let report = stage.act(Pacing::Live, script, nothing);
    let fired: Vec<bool> =
        stage.state().events.iter().filter(|e| e.kind == Fired).map(|e| e.flags & Event::STALE != 0).collect();
    assert_eq!((fired, report.frames_stale), (vec![false, true], 1));
}

#[test]
fn how_long_the_source_was_away_is_recorded() {
    let stage = Stage::new(GATE);
    let script = vec![Blank, Settle, Lost, told(SourceLost, 1), Pass(1500), Blank, told(SourceBack, 1)];
    let report = stage.act(Pacing::Live, script, nothing);
    let away: Vec<u32> = stage.state().events.iter().filter(|e| e.kind == SourceBack).map(|e| e.value).collect();
    assert_eq!((away, report.source_lost), (vec![1500], 1));
}

#[test]
fn a_camera_that_stalls_brings_the_line_to_its_safe_level_and_the_run_goes_on() {
    let stage = Stage::new(GATE);
    let script = vec![
        Show(PERSON),
        told(Fired, 1),
        Pass(1999),
        Settle,
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(true), "too early"))),
        Pass(1),
        told(Failsafe, 1),
        Do(Box::new(|state| assert_eq!(state.wires[0].level, Some(false)))),
        Show(PERSON),
        told(Fired, 2),
    ];
    let report = stage.act(Pacing::Live, script, nothing);
    let state = stage.state();
    assert_eq!(state.kinds(), [Started, Fired, Failsafe, Fired, Released, Stopped]);
    assert_eq!(state.first(Failsafe).mono_us - state.first(Fired).mono_us, 2_000_000);
    assert_eq!(state.wires[0].edges, [false, true, false, true, false]);
    assert_eq!(logged(&stage), state.kinds());
    assert!(report.is_clean());
}

#[test]
fn broken_frames_without_a_pause_do_not_keep_the_line_on() {
    let stage = Stage::new(GATE);
    let script = vec![
        Show(PERSON),
        told(Fired, 1),
        BrokenUntil(2000, Box::new(|state| state.wires[0].level == Some(false))),
        told(Failsafe, 1),
    ];
    let report = stage.act(Pacing::Live, script, nothing);
    let state = stage.state();
    let after_us = state.first(Failsafe).mono_us - state.first(Fired).mono_us;
    // of the clock of the script: the queue holds one broken frame, the camera another
    assert!((2_000_000..2_100_000).contains(&after_us), "{after_us}");
    assert!(report.broken >= 200 && !report.is_clean(), "{report:?}");
}

#[test]
fn broken_frames_and_a_lost_camera_are_counted_and_told_and_the_run_goes_on() {
    for pacing in [Pacing::Live, Pacing::OnDemand] {
        let stage = Stage::new(GATE);
        let script = vec![Broken, Broken, Lost, Lost, Show(PERSON), told(Fired, 1), Broken, Lost, Blank];
        let report = stage.act(pacing, script, nothing);
        let state = stage.state();
        assert_eq!((report.frames, report.broken, report.source_lost), (2, 3, 2));
        assert!(!report.is_clean());
        // a camera that stays away is told once, and once when it is back
        let kinds = [Started, SourceLost, SourceBack, Fired, SourceLost, SourceBack, Released, Stopped];
        assert_eq!(state.kinds(), kinds);
        let troubles = |word: &str| state.troubles.iter().filter(|t| t.contains(word)).count();
        assert_eq!((troubles("no end"), troubles("does not exist")), (3, 2), "{:?}", state.troubles);
    }
}

#[test]
fn without_a_log_the_line_is_driven_and_the_failure_told() {
    let stage = Stage::new(&GATE.replace("hold_ms = 60000", "hold_ms = 500"));
    let log = stage.folder.path().join("log");
    let again = log.clone();
    let script = vec![
        Show(PERSON),
        Until(Box::new(|state| state.seen.len() == 1)),
        Do(Box::new(move |state| {
            assert_eq!((state.wires[0].level, state.events.len()), (Some(true), 0));
            std::fs::remove_file(&again).unwrap(); // the medium is back
        })),
        Pass(501),
        Blank,
        told(Released, 1),
    ];
    let report = stage.act(Pacing::Live, script, || {
        std::fs::remove_dir_all(&log).unwrap();
        std::fs::write(&log, "no folder can be made here").unwrap();
    });
    let state = stage.state();
    assert_eq!(report.rules[0].fired, 1);
    assert_eq!(state.wires[0].edges, [false, true, false]);
    assert_eq!((report.record.events_lost, report.record.events_durable), (2, 3));
    assert!(state.troubles.iter().all(|t| t.starts_with("log: ")) && !state.troubles.is_empty());
    assert_eq!(state.kinds(), [Released, Disarmed, Stopped]);
    assert_eq!(logged(&stage), state.kinds());
    assert!(!report.is_clean());
}

#[test]
fn a_picture_that_cannot_be_stored_is_told_and_its_event_stays() {
    let stage = Stage::new(&GATE.replace("none", "all"));
    let pictures = stage.folder.path().join("pictures");
    let script = vec![Show(PERSON), Blank];
    let report = stage.act(Pacing::OnDemand, script, || {
        std::fs::remove_dir(&pictures).unwrap();
        std::fs::write(&pictures, "no folder can be made here").unwrap();
    });
    let state = stage.state();
    assert_eq!((report.record.pictures, report.record.pictures_failed), (0, 2));
    assert_eq!((state.troubles.len(), state.seen.len(), state.count(Fired)), (2, 2, 1));
    assert!(!report.is_clean());
}

#[test]
fn the_stop_flag_ends_the_run_with_every_line_at_its_safe_level() {
    let rule = "[[rule]]\nname = \"low\"\nactive = \"low\"\nclasses = [\"person\"]\nhold_ms = 60000\n";
    for pacing in [Pacing::Live, Pacing::OnDemand] {
        let stage = Stage::new(&format!("{GATE}{rule}"));
        let mut script = vec![Show(PERSON), told(Fired, 2), Stop];
        script.extend((0..100).map(|_| Show(PERSON)));
        let report = stage.act(pacing, script, nothing);
        let state = stage.state();
        assert!(report.frames <= 2, "{} frames were looked at after the stop", report.frames - 1);
        let kinds = state.kinds();
        let told = kinds.iter().filter(|kind| **kind != FramesDropped);
        assert!(told.eq(&[Started, Fired, Fired, Released, Released, Stopped]), "{kinds:?}");
        let levels = kinds.iter().map(|kind| vec![*kind == Fired, *kind != Fired]);
        // the start is told by a thread of its own, maybe when the lines have changed already
        assert!(levels.skip(1).eq(state.levels.iter().skip(1).cloned()), "{:?}", state.levels);
        assert_eq!(
            (&state.wires[0].edges[..], &state.wires[1].edges[..]),
            (&[false, true, false][..], &[true, false, true][..])
        );
        assert_eq!(logged(&stage), kinds);
    }
}

#[test]
fn a_line_that_refuses_is_counted_and_tried_again() {
    let stage = Stage::new(GATE).with(|state| {
        state.wires.resize(1, Default::default());
        state.wires[0].refuse = 1;
    });
    let script = vec![Show(PERSON), Until(Box::new(|state| state.wires[0].level == Some(true)))];
    let report = stage.act(Pacing::Live, script, nothing);
    assert_eq!((report.rules[0].pin_errors, report.rules[0].fired), (1, 1));
    assert!(!report.is_clean());
    assert_eq!(stage.state().wires[0].level, Some(false));
}

#[test]
fn a_slow_recorder_costs_pictures_but_neither_the_line_nor_the_event() {
    // each fires one rule of its own
    let photos = [
        (PERSON, "person", 0.3),
        ("cat.jpg", "cat", 0.6),
        ("cameraman.jpg", "person", 0.87),
        ("stairs.jpg", "bird", 0.16),
    ];
    let mut config = "[pictures]\nkeep = \"none\"\n[model]\nscore_min = 0.15\n".to_owned();
    for (photo, class, score_min) in photos {
        let when = format!("hold_ms = 60000\nscore_min = {score_min}");
        config += &format!("[[rule]]\nname = \"{photo}\"\nclasses = [\"{class}\"]\n{when}\n");
    }
    let stage = Stage::new(&config).with(|state| state.recorder_hold = true);
    let mut script = Vec::new();
    for (index, (photo, ..)) in photos.into_iter().enumerate() {
        script.extend([Show(photo), Until(Box::new(move |state| state.wires[index].level == Some(true)))]);
        script.push(Until(Box::new(|state| state.recorder_held)));
    }
    script.extend([Settle, Do(Box::new(|state| state.recorder_hold = false))]);
    let report = stage.act(Pacing::Live, script, nothing);
    let state = stage.state();
    assert_eq!((report.frames, report.frames_untold, state.seen.len()), (4, 1, 3));
    assert_eq!((state.count(Fired), report.frames_dropped, report.messages_lost), (4, 0, 0));
}

#[test]
fn a_panic_in_the_camera_s_thread_ends_the_run_with_the_line_at_its_safe_level() {
    for pacing in [Pacing::Live, Pacing::OnDemand] {
        let stage = Stage::new(GATE);
        let script = vec![Show(PERSON), told(Fired, 1), Panic];
        let report = stage.act(pacing, script, nothing);
        assert_eq!((report.panicked, report.is_clean()), (Some("camera"), false));
        let state = stage.state();
        assert_eq!(state.kinds(), [Started, Fired, Released, Stopped]);
        assert_eq!(state.wires[0].edges, [false, true, false]);
    }
}

#[test]
fn a_live_picture_past_the_limit_is_refused_in_words_and_a_replay_s_goes_through() {
    let large = |frame: &mut Frame| frame.reset(4200, 3100).unwrap();
    let stage = Stage::new(GATE);
    let script = vec![Blank, Settle, Make(large), Make(large), told(SourceLost, 1), Blank, told(SourceBack, 1)];
    let report = stage.act(Pacing::Live, script, nothing);
    let state = stage.state();
    assert_eq!((report.frames, report.source_lost, state.troubles.len()), (2, 1, 1), "{:?}", state.troubles);
    let words = &state.troubles[0];
    assert!(words.contains("4200x3100") && words.contains("12.6 megapixels") && words.contains("[camera]"), "{words}");
    drop(state);
    let stage = Stage::new(GATE);
    let report = stage.act(Pacing::OnDemand, vec![Make(large), Blank, Make(large), Make(large), Blank], nothing);
    assert_eq!((report.frames, report.is_clean()), (5, true));
}

/// Whatever the camera does, the books balance.
#[test]
fn any_script_keeps_the_promises() {
    for seed in 1..=4u64 {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut script, mut broken): (Vec<Step>, u64) = (Vec::new(), 0);
        for _ in 0..60 {
            script.push(match draw(8) {
                0..=2 => Show(PERSON),
                3 => Blank,
                4 => {
                    broken += 1;
                    Broken
                }
                5 => Settle,
                _ => Pass(draw(900)),
            });
        }
        let stage = Stage::new(&GATE.replace("60000", "700"));
        let report = stage.act(Pacing::Live, script, nothing);
        let state = stage.state();
        assert_eq!(report.frames + report.frames_dropped, state.shown, "seed {seed}");
        assert_eq!(report.frames - report.frames_untold, state.seen.len() as u64, "seed {seed}");
        assert_eq!(report.broken, broken, "seed {seed}");
        let dropped: u64 = state.events.iter().filter(|e| e.kind == FramesDropped).map(|e| u64::from(e.value)).sum();
        assert_eq!(dropped, report.frames_dropped, "seed {seed}");
        assert!(state.seen.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}");
        let acts: Vec<EventKind> =
            state.kinds().into_iter().filter(|k| [Fired, Released, Failsafe].contains(k)).collect();
        assert!(
            !acts.is_empty() && acts.chunks(2).all(|pair| pair[0] == Fired && pair[1] != Fired),
            "seed {seed}: {acts:?}"
        );
        assert_eq!(state.wires[0].level, Some(false), "seed {seed}");
        assert_eq!(logged(&stage), state.kinds(), "seed {seed}");
    }
}
