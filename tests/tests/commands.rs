//! The command line's contract: JSON shapes, exit codes, messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use lapwing_tests::{binary, lapwing, root, stderr, stdout};
use serde_json::Value;

fn photo(name: &str) -> String {
    root().join("tests/photos").join(name).to_str().unwrap().to_owned()
}

#[test]
fn detect_prints_one_json_object_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let output = lapwing(folder.path(), &["detect", "--json", &photo("cat.jpg"), &photo("astronaut.jpg")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for (line, class) in lines.iter().zip(["cat", "person"]) {
        let (width, height) = (line["width"].as_f64().unwrap(), line["height"].as_f64().unwrap());
        assert!(line["image"].as_str().unwrap().ends_with(".jpg"));
        for stage in ["input", "model", "decode"] {
            assert!(line["ms"][stage].as_f64().unwrap() > 0.0);
        }
        let best = &line["detections"][0];
        assert_eq!(best["class"], class, "{line}");
        assert!((0.5..=1.0).contains(&best["score"].as_f64().unwrap()));
        let b: Vec<f64> = best["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(0.0 <= b[0] && b[0] < b[2] && b[2] <= width && 0.0 <= b[1] && b[1] < b[3] && b[3] <= height, "{b:?}");
    }
}

#[test]
fn detect_draws_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let output = lapwing(folder.path(), &["detect", "--annotate", "seen", &photo("cat.jpg"), &photo("cat.jpg")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let drawn = image::open(folder.path().join("seen/cat.jpg")).unwrap();
    let original = image::open(photo("cat.jpg")).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (original.width(), original.height()));
    assert!(folder.path().join("seen/cat-2.jpg").exists());
}

/// Each call, its exit code, and words that standard error must hold.
#[test]
fn mistakes_end_with_their_code_and_name_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\nxx").unwrap();
    std::fs::write(folder.path().join("text.jpg"), b"hello").unwrap();
    std::fs::write(folder.path().join("net.onnx"), b"not a network").unwrap();
    std::fs::write(folder.path().join("bad.toml"), "[[rule]]\nname = \"x\"\nclasses = [\"persn\"]\n").unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::copy(photo("cat.jpg"), folder.path().join("cat.jpg")).unwrap();
    let flow = std::fs::read(root().join("models/flow-cifar/model.lap")).unwrap();
    std::fs::write(folder.path().join("flow.lap"), &flow).unwrap();
    std::fs::write(folder.path().join("cut.lap"), &flow[..100_000]).unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["detect"], 2, &["PATH"]),
        (&["detect", "missing.jpg"], 2, &["missing.jpg"]),
        (&["detect", "broken.png"], 1, &["broken.png"]),
        (&["detect", "text.jpg"], 1, &["text.jpg"]),
        (&["detect", "empty"], 1, &["empty"]),
        (&["detect", "--model", "nothing.onnx", "text.jpg"], 2, &["nothing.onnx", "detect-nano"]),
        (&["detect", "--model", "net.onnx", "text.jpg"], 2, &["net.toml", "manifest"]),
        (&["detect", "--score-min", "7", "text.jpg"], 2, &["0.0 to 1.0"]),
        (&["run", "--source", "missing.y4m"], 2, &["missing.y4m"]),
        (&["run", "--config", "none.toml"], 2, &["none.toml"]),
        (&["run", "--config", "bad.toml"], 2, &["bad.toml:3", "person"]),
        (&["check", "--config", "bad.toml"], 2, &["bad.toml:3:12", "did you mean \"person\"?"]),
        (&["eval", "--images", "empty", "--annotations", "none.json"], 2, &["none.json"]),
        (&["log", "show", "--data", "nowhere"], 2, &["nowhere"]),
        (&["generate", "--class", "lapwing", "-o", "x.png"], 2, &["lapwing", "airplane"]),
        (&["generate", "--steps", "0", "-o", "x.png"], 2, &["0", "1..=1024"]),
        (&["generate", "--sampler", "walk", "-o", "x.png"], 2, &["ddim:ETA", "jump"]),
        (&["generate", "--table", "t", "--count", "1"], 2, &["--count 1"]),
        (&["score", "--region", "1,2,3", "text.jpg"], 2, &["100,40,320,320"]),
        (&["score", "--reference", "cat.jpg", "cat.jpg", "--steps", "1"], 2, &["at least 8"]),
        (&["score", "--region", "0,0,9000,10", "cat.jpg"], 1, &["cat.jpg", "9000"]),
        (&["score", "--steps", "0", "cat.jpg"], 2, &["1..=1024"]),
        (&["detect", "--model", "flow.lap", "cat.jpg"], 1, &["flow.lap", "generate"]),
        (&["model", "verify", "cut.lap"], 1, &["cut.lap", "cut"]),
        (&["fly"], 2, &["fly"]),
    ];
    for (call, code, words) in cases {
        let output = lapwing(folder.path(), call);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(*code), "{call:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{call:?}: {word:?} is missing in: {said}");
        }
        assert!(!said.contains("panicked"), "{call:?}: {said}");
        assert!(stdout(&output).is_empty() || call[0] == "run", "{call:?}: {}", stdout(&output));
    }
}

/// A camera that is not there is waited for, and the wait ends when it is asked to.
#[test]
fn a_missing_camera_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Command::new(binary())
        .args(["run", "--source", "v4l:/dev/video99"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(running.stderr.take().unwrap());
    let mut missed = false;
    for line in said.lines() {
        let line = line.unwrap();
        if line.contains("/dev/video99") && line.contains("plug it in") {
            missed = true;
            let asked = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
            assert!(asked.success());
        }
    }
    assert!(missed, "it did not say what is missing");
    assert!(running.wait().unwrap().code().is_some(), "it ended by itself");
}

#[test]
fn check_accepts_what_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    let printed = lapwing(folder.path(), &["check", "--print"]);
    std::fs::write(folder.path().join("c.toml"), &printed.stdout).unwrap();
    let checked = lapwing(folder.path(), &["check", "--config", "c.toml"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(stdout(&checked).contains("good"));
}

#[test]
fn doctor_speaks_json() {
    let folder = tempfile::tempdir().unwrap();
    let output = lapwing(folder.path(), &["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let what: Vec<&str> = found["findings"].as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
    for word in ["processor", "memory", "cameras", "pins", "clock", "disk", "model"] {
        assert!(what.contains(&word), "{word}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["run", "detect", "eval", "redact", "generate", "score", "model", "bench", "log", "check", "doctor"]
    {
        let help = stdout(&lapwing(folder.path(), &[command, "--help"]));
        assert!(help.contains("Example") && help.contains(&format!("lapwing {command}")), "{command}: {help}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let binary = lapwing_tests::binary().to_str().unwrap();
    let call = format!(
        "'{binary}' detect --json '{0}' '{0}' '{0}' | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}",
        photo("cat.jpg")
    );
    let output = std::process::Command::new("bash").args(["-c", &call]).output().unwrap();
    assert_eq!(stdout(&output).trim(), "0", "{}", stderr(&output));
}

#[test]
fn a_scene_is_scored_beside_ordinary_pictures_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let whole = image::open(photo("coffee.jpg")).unwrap();
    std::fs::create_dir(folder.path().join("quiet")).unwrap();
    for shift in 0..8 {
        let name = format!("quiet/{shift}.png");
        whole
            .crop_imm(shift % 2, shift / 2 % 2, 200, 200)
            .brighten(shift as i32 - 4)
            .save(folder.path().join(name))
            .unwrap();
    }
    whole.crop_imm(1, 0, 200, 200).save(folder.path().join("now.png")).unwrap();
    image::open(photo("cat.jpg")).unwrap().crop_imm(0, 0, 200, 200).save(folder.path().join("other.png")).unwrap();
    let call = [
        "score",
        "--json",
        "--steps",
        "4",
        "--region",
        "20,20,150,150",
        "--reference",
        "quiet",
        "now.png",
        "other.png",
    ];
    let output = lapwing(folder.path(), &call);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let deviations = |at: usize| found[at]["deviations"].as_f64().unwrap();
    assert!(deviations(0) < 3.0 && deviations(1) > 3.0 && deviations(1) > deviations(0) + 2.0, "{found:?}");
    let place: Vec<u64> = found[1]["where"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
    assert!(place[0] >= 20 && place[0] + place[2] <= 170 && place[1] >= 20 && place[1] + place[3] <= 170, "{place:?}");
    assert!(found.iter().all(|line| line["bits_per_dimension"].as_f64().unwrap().is_finite()));
}

#[test]
fn a_flow_is_looked_into_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let flow = root().join("models/flow-patch/model.lap");
    for word in ["flow-cifar", flow.to_str().unwrap()] {
        let info = lapwing(folder.path(), &["model", "info", word]);
        assert!(stdout(&info).contains("GMAC a step") && stdout(&info).contains("film"), "{}", stderr(&info));
        let proved = lapwing(folder.path(), &["model", "verify", word]);
        assert!(proved.status.success() && stdout(&proved).contains("whole"), "{}", stderr(&proved));
    }
}
