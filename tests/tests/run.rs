//! The main job end to end: the binary, its bundled photographs, its log and its pictures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use lapwing_tests::{lapwing, stderr, stdout};

fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = lapwing(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}\n{}", stderr(&output), stdout(&output));
    stdout(&output)
}

fn pictures(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir(folder.join("lapwing-data/pictures")).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn without_arguments_it_sees_fires_logs_and_keeps_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), &[]);
    for word in ["bundled photographs", "person", "cat", "fired", "logged", "durable", "lapwing-data/pictures"] {
        assert!(said.contains(word), "{word:?} is missing in:\n{said}");
    }
    let stored = pictures(folder.path());
    assert!(stored.len() >= 2, "{stored:?}");
    for path in &stored {
        image::open(path).unwrap();
    }

    let verified = run(folder.path(), &["log", "verify"]);
    assert!(verified.contains("good"), "{verified}");
    let shown = run(folder.path(), &["log", "show"]);
    for word in ["started", "fired", "visitor", "person", "released", "stopped"] {
        assert!(shown.contains(word), "{word:?} is missing in:\n{shown}");
    }
}

#[test]
fn a_second_run_goes_on_in_the_same_log() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["run", "--frames", "1"]);
    let first = run(folder.path(), &["log", "export"]).lines().count();
    run(folder.path(), &["run", "--frames", "1"]);
    let lines: Vec<serde_json::Value> =
        run(folder.path(), &["log", "export"]).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.len() > first);
    let runs: Vec<u64> = lines.iter().map(|l| l["run"].as_u64().unwrap()).collect();
    assert!(runs.contains(&1) && runs.contains(&2), "{runs:?}");
    let seqs: Vec<u64> = lines.iter().map(|l| l["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

#[test]
fn people_are_hidden_in_stored_pictures_unless_the_owner_says_otherwise() {
    let photo = lapwing_tests::root().join("tests/photos/astronaut.jpg");
    let stored = |config: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        let source = photo.to_str().unwrap();
        run(folder.path(), &["run", "--config", "c.toml", "--source", source]);
        image::open(pictures(folder.path()).first().unwrap()).unwrap().to_rgb8()
    };
    let open = stored("[pictures]\nkeep = \"all\"\n[privacy]\nhide = []\n");
    let hidden = stored("[pictures]\nkeep = \"all\"\n");
    assert_eq!(open.dimensions(), hidden.dimensions());
    let far = open.pixels().zip(hidden.pixels()).filter(|(a, b)| (0..3).any(|c| a[c].abs_diff(b[c]) > 24)).count();
    let share = far as f64 / f64::from(open.width() * open.height());
    assert!(share > 0.1, "only {share:.3} of the picture differs");
}

#[test]
fn a_broken_picture_is_named_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let album = folder.path().join("album");
    std::fs::create_dir(&album).unwrap();
    std::fs::copy(lapwing_tests::root().join("tests/photos/cat.jpg"), album.join("b-good.jpg")).unwrap();
    std::fs::write(album.join("a-broken.jpg"), b"\xff\xd8\xff\xe0 no").unwrap();
    let output = lapwing(folder.path(), &["run", "--source", "album"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("a-broken.jpg"), "{}", stderr(&output));
    assert!(stdout(&output).contains("b-good.jpg"), "{}", stdout(&output));
}

#[test]
fn a_folder_named_photos_is_reached_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    std::fs::copy(lapwing_tests::root().join("tests/photos/cat.jpg"), folder.path().join("photos/mine.jpg")).unwrap();
    let said = run(folder.path(), &["run", "--source", "./photos"]);
    assert!(said.contains("mine.jpg"), "{said}");
}

#[test]
fn two_runs_do_not_write_one_log() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["run", "--frames", "1"]);
    let log = folder.path().join("lapwing-data/log");
    let lock = lapwing_firmware::linux::DirMedia::open(&log).unwrap();
    let output = lapwing(folder.path(), &["run", "--frames", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another"), "{}", stderr(&output));
    drop(lock);
    run(folder.path(), &["run", "--frames", "1"]);
}
