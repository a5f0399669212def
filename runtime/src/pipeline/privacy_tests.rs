//! The main job hides: also whom the detector misses, and as well as there is time for.

use super::simulated::Step::{Make, Pass, Show, Until};
use super::simulated::{Stage, Step};
use lapwing_camera::Pacing;
use lapwing_camera::frame::{Frame, picture};

const PERSON: &str = "astronaut.jpg";
/// A person with enough around him for a fill.
const FILLABLE: &str = "cameraman.jpg";
const ALL: &str = "[pictures]\nkeep = \"all\"\njpeg_quality = 95\n[privacy]\nbudget_ms = 400\npersist_ms = 800\n";

/// A grey picture of the size of [`PERSON`] with a mark where that person stands: nothing to find for the detector.
fn marked(frame: &mut Frame) {
    frame.reset(512, 512).unwrap();
    frame.rgb_mut().fill(128);
    for y in 180..260usize {
        for x in 190..270usize {
            frame.rgb_mut()[(y * 512 + x) * 3..][..3].copy_from_slice(&[255, 0, 255]);
        }
    }
}

/// Whether each stored picture, oldest first, shows the mark.
fn mark_shows(stage: &Stage) -> Vec<bool> {
    let mut paths: Vec<_> =
        std::fs::read_dir(stage.folder.path().join("pictures")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut frame = Frame::new();
    let shows = |path: &std::path::PathBuf| {
        picture::decode(&std::fs::read(path).unwrap(), "stored", &mut frame).unwrap();
        let magenta = frame.rgb().chunks(3).filter(|p| p[0] > 200 && p[1] < 60 && p[2] > 200).count();
        magenta > 100
    };
    paths.iter().map(shows).collect()
}

/// Shows a picture and waits until as many are told.
fn shown(step: Step, count: usize) -> [Step; 2] {
    [step, Until(Box::new(move |state| state.seen.len() >= count))]
}

#[test]
fn who_is_missed_for_some_frames_stays_covered_and_then_no_longer() {
    for pacing in [Pacing::OnDemand, Pacing::Live] {
        let stage = Stage::new(ALL);
        let mut script = Vec::new();
        script.extend(shown(Show(PERSON), 1));
        for frame in 2..=5 {
            script.push(Pass(200));
            script.extend(shown(Make(marked), frame));
        }
        script.push(Pass(1000));
        script.extend(shown(Make(marked), 6));
        let report = stage.act(pacing, script, || {});
        assert_eq!(report.record.pictures, 6);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(mark_shows(&stage), [false, false, false, false, false, true], "{pacing:?}");
    }
}

#[test]
fn a_slow_live_camera_covers_at_least_two_missed_frames() {
    let stage = Stage::new(ALL);
    let mut script = Vec::new();
    script.extend(shown(Show(PERSON), 1));
    for frame in 2..=4 {
        script.push(Pass(1500));
        script.extend(shown(Make(marked), frame));
    }
    stage.act(Pacing::Live, script, || {});
    assert_eq!(mark_shows(&stage), [false, false, false, true]);
}

#[test]
fn a_replay_at_one_frame_a_second_covers_two_missed_frames() {
    let stage = Stage::new(ALL);
    let mut script = vec![Show(PERSON)];
    script.extend((0..3).flat_map(|_| [Pass(1000), Make(marked)]));
    stage.act(Pacing::OnDemand, script, || {});
    assert_eq!(mark_shows(&stage), [false, false, false, true]);
}

#[test]
fn a_live_run_without_time_for_fills_makes_mosaics_and_says_so() {
    let stage = Stage::new(ALL).filling(900);
    let script = (1..=4).flat_map(|count| shown(Show(FILLABLE), count)).collect();
    let report = stage.act(Pacing::Live, script, || {});
    let levels = report.record.levels;
    assert_eq!((levels.fill, levels.mosaic, levels.dropped, levels.falls, levels.rises), (1, 3, 0, 1, 0));
    assert!(report.record.redaction.regions >= 4);
}

#[test]
fn a_replay_and_the_owner_s_word_know_no_budget() {
    for (pacing, word) in [(Pacing::OnDemand, "auto"), (Pacing::Live, "fill")] {
        let stage = Stage::new(&format!("{ALL}fill = \"{word}\"\n")).filling(900);
        let script = (1..=3).flat_map(|count| shown(Show(FILLABLE), count)).collect();
        let report = stage.act(pacing, script, || {});
        assert_eq!((report.record.levels.fill, report.record.levels.falls), (3, 0));
    }
}

#[test]
fn mosaic_and_black_are_what_they_are_called() {
    for (word, mosaic) in [("mosaic", true), ("black", false)] {
        let stage = Stage::new(&format!("{ALL}fill = \"{word}\"\n")).filling(1);
        let report = stage.act(Pacing::OnDemand, vec![Show(PERSON)], || {});
        let account = report.record.redaction;
        assert!(account.regions > 0);
        assert_eq!((account.mosaic, account.black), if mosaic { (account.regions, 0) } else { (0, account.regions) });
    }
}
