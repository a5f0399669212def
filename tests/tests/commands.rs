//! The command line's contract: JSON shapes, exit codes, messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use lapwing_camera::frame::Frame;
use lapwing_camera::frame::picture::decode;
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

#[test]
fn frames_of_clips_have_numbers_and_a_rate() {
    let folder = tempfile::tempdir().unwrap();
    let cat = std::fs::read(photo("cat.jpg")).unwrap();
    std::fs::write(folder.path().join("clip.mjpeg"), cat.repeat(3)).unwrap();
    let output = lapwing(folder.path(), &["detect", "--json", "clip.mjpeg,fps=10", &photo("cat.jpg")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let numbers: Vec<Value> =
        stdout(&output).lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["frame"].clone()).collect();
    assert_eq!(numbers, [Value::from(0), Value::from(1), Value::from(2), Value::Null]);
    let said = stdout(&lapwing(folder.path(), &["detect", "clip.mjpeg"]));
    assert!(said.lines().nth(2).unwrap().starts_with("clip.mjpeg, frame 2 ("), "{said}");
}

#[test]
fn drawn_people_are_said_to_be_not_redacted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_told) in [("astronaut.jpg", true), ("cat.jpg", false)] {
        let output = lapwing(folder.path(), &["detect", "--annotate", "seen", &photo(name)]);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = stderr(&output);
        assert_eq!(said.contains("1 of the pictures in seen show people and are not redacted"), is_told, "{said}");
    }
}

/// A name that moves the cursor, sets the title, begins a line that looks like ours, and turns the reading direction.
const NASTY: &str = "a\u{1b}]0;gone\u{7}\u{9b}2J\n#1 safe.jpg\u{202e}gpj";

#[test]
fn no_control_character_of_a_name_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    std::fs::create_dir(inside("in")).unwrap();
    std::fs::copy(photo("cat.jpg"), inside(&format!("in/{NASTY}.jpg"))).unwrap();
    std::fs::write(inside(&format!("in/{NASTY}-bad.jpg")), b"text").unwrap();
    let mut tar = tar_of(&format!("{NASTY}.jpg"), &std::fs::read(photo("cat.jpg")).unwrap());
    tar.extend(tar_of(&format!("{NASTY}-bad.jpg"), b"text"));
    std::fs::write(inside(&format!("{NASTY}.tar")), [tar, vec![0; 1024]].concat()).unwrap();
    std::fs::write(inside(&format!("{NASTY}.toml")), "sauce = 1 # \u{1b}[2J\n").unwrap();
    std::fs::create_dir(inside(&format!("{NASTY}.d"))).unwrap();
    let (tar, toml, empty) = (format!("{NASTY}.tar"), format!("{NASTY}.toml"), format!("{NASTY}.d"));
    let calls: &[&[&str]] = &[
        &["detect", "in"],
        &["detect", "--json", "in"],
        &["detect", "--annotate", "seen", "in", &tar],
        &["detect", &tar],
        &["detect", &empty],
        &["detect", NASTY],
        &["redact", "--how", "black", "in", "out"],
        &["redact", "--how", "black", &tar, "out-tar"],
        &["score", "--steps", "1", "in"],
        &["run", "--source", "in", "--data", "kept"],
        &["check", "--config", &toml],
        &["model", "info", NASTY],
        &["log", "show", "--data", NASTY],
        &["eval", "--images", "in", "--annotations", NASTY],
    ];
    for call in calls {
        let output = lapwing(folder.path(), call);
        for said in [stdout(&output), stderr(&output)] {
            let obeyed = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
            assert!(!said.contains(obeyed), "{call:?}: {said:?}");
            assert!(!said.lines().any(|line| line.starts_with("#1 safe")), "{call:?}: {said}");
        }
    }
}

/// One member of an archive.
fn tar_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(bytes);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

#[test]
fn a_damaged_clip_is_told_in_few_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pairs.mjpeg"), [0xFF, 0xD8].repeat(1_500_000)).unwrap();
    std::fs::write(folder.path().join("empty.mjpeg"), [0xFF, 0xD8, 0xFF, 0xDA, 0, 2].repeat(5000)).unwrap();
    for (name, least) in [("pairs.mjpeg", "starts of image"), ("empty.mjpeg", "more messages like these")] {
        let calls: [&[&str]; 3] =
            [&["detect", name], &["redact", name, "out.mjpeg"], &["run", "--source", name, "--data", "kept"]];
        for call in calls {
            let output = lapwing(folder.path(), call);
            let said = stderr(&output);
            assert!(said.contains(least) || call[0] == "run", "{call:?}: {said}");
            assert!(said.len() + output.stdout.len() < 100_000, "{call:?}: {} bytes", said.len());
        }
    }
}

/// Annotations of two cameras whose pictures have the same names.
#[test]
fn annotated_pictures_are_told_apart_by_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    for (camera, name) in [("cam1", "astronaut.jpg"), ("cam2", "rocket.jpg")] {
        std::fs::create_dir_all(inside("set").join(camera)).unwrap();
        std::fs::copy(photo(name), inside("set").join(camera).join("0001.jpg")).unwrap();
    }
    let file = |boxes: &str, categories: &str| {
        format!(
            r#"{{"images":[{{"id":1,"file_name":"cam1/0001.jpg"}},{{"id":2,"file_name":"cam2/0001.jpg"}}],
                "categories":[{categories}],"annotations":[{boxes}]}}"#
        )
    };
    let person = r#"{"id":1,"image_id":1,"category_id":7,"bbox":[12,14,350,498]}"#;
    let known = r#"{"id":7,"name":"person"}"#;
    std::fs::write(inside("good.json"), format!("\u{feff}{}", file(person, known))).unwrap();
    std::fs::write(inside("none.json"), file("", known)).unwrap();
    std::fs::write(inside("twice.json"), file(person, &format!(r#"{known},{{"id":9,"name":"Person"}}"#))).unwrap();
    let call = |how: &[&str], annotations: &str| {
        let call = [&["eval"], how, &["--json", "--images", "set", "--annotations", annotations]].concat();
        lapwing(folder.path(), &call)
    };
    let scored: Value = serde_json::from_slice(&call(&[], "good.json").stdout).unwrap();
    assert_eq!((&scored["map50"], &scored["images"]), (&Value::from(100.0), &Value::from(2)));
    // one person, 350 by 498 pixels
    let part = |name: &str| (scored["parts"][name]["boxes"].clone(), scored["parts"][name]["recall"].clone());
    assert_eq!(part("large"), (Value::from(1), Value::from(100.0)));
    assert_eq!(part("small"), (Value::from(0), Value::Null));
    assert!(scored["map50_95"].as_f64().unwrap() <= 100.0);
    assert!(call(&["--report", "told"], "good.json").status.success());
    for picture in ["curves.png", "confusion.png", "worst.png"] {
        let mut frame = Frame::new();
        let bytes = std::fs::read(folder.path().join("told").join(picture)).unwrap();
        decode(&bytes, picture, &mut frame).unwrap();
        assert!(frame.rgb().iter().any(|byte| *byte != 255), "{picture} is blank");
    }
    let hidden: Value = serde_json::from_slice(&call(&["--redact"], "good.json").stdout).unwrap();
    assert_eq!(hidden["parts"]["large"]["covered"], Value::from(1));
    assert_eq!((&hidden["annotated"], &hidden["annotated_covered"]), (&Value::from(1), &Value::from(1)));
    for (annotations, words) in [("none.json", "no annotated boxes"), ("twice.json", "two categories are called")] {
        for how in [&[][..], &["--redact"]] {
            let output = call(how, annotations);
            assert_eq!(output.status.code(), Some(2), "{annotations}");
            assert!(stderr(&output).contains(words) && stdout(&output).is_empty(), "{}", stderr(&output));
        }
    }
}

/// Each call, its exit code, and words that standard error must hold.
#[test]
fn mistakes_end_with_their_code_and_name_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\nxx").unwrap();
    std::fs::write(folder.path().join("text.jpg"), b"hello").unwrap();
    std::fs::write(folder.path().join("net.onnx"), b"not a network").unwrap();
    std::fs::write(folder.path().join("bad.toml"), "[[rule]]\nname = \"x\"\nclasses = [\"persn\"]\n").unwrap();
    std::fs::write(folder.path().join("latin1.toml"), b"source = \"photos\"\n# caf\xe9\n").unwrap();
    std::fs::write(folder.path().join("tilde.toml"), "data = \"~/lapwing\"\n").unwrap();
    let zone = "[[rule]]\nname = \"x\"\nclasses = [\"person\"]\nzone = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]\n";
    std::fs::write(folder.path().join("zone.toml"), zone).unwrap();
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
        (&["detect", "--model", "net.onnx", "text.jpg"], 2, &["net.onnx", "no ONNX network"]),
        (&["detect", "--score-min", "7", "text.jpg"], 2, &["0.0 to 1.0"]),
        (&["run", "--source", "missing.y4m"], 2, &["missing.y4m"]),
        (&["run", "--config", "none.toml"], 2, &["none.toml"]),
        (&["run", "--config", "bad.toml"], 2, &["bad.toml:3", "person"]),
        (&["check", "--config", "bad.toml"], 2, &["bad.toml:3:12", "did you mean \"person\"?"]),
        (&["check", "--config", "latin1.toml"], 2, &["latin1.toml:2:6", "not UTF-8", "iconv"]),
        (&["check", "--config", "tilde.toml"], 2, &["tilde.toml:1", "not expanded", "/srv/NAME"]),
        (&["check", "--config", "zone.toml"], 2, &["zone.toml:4", "no area", "corners"]),
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
            let asked = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
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
fn a_network_is_timed_with_the_kernels_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let timed = |more: &[&str]| lapwing(folder.path(), &[&["bench", "--runs", "1", "--json"], more].concat());
    let found = |more: &[&str]| -> Value {
        let output = timed(more);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let fastest = found(&[]);
    assert!(fastest["stages"]["model"].as_f64().unwrap() > 0.0 && fastest["frame_to_pin"]["count"] == 1, "{fastest}");
    let portable = found(&["--kernels", "portable"]);
    assert_eq!((&portable["kernel"], &portable["stages"]), (&Value::from("portable"), &Value::Null));
    for found in [fastest, portable] {
        assert!(found["model_ms_median"].as_f64().unwrap() > 0.0 && !found["ops"].as_array().unwrap().is_empty());
    }
    for (more, words) in [
        (&["--kernels", "abacus"][..], "this processor has"),
        (&["--kernels", "portable", "--model", "flow-patch"], "--kernels"),
        (&["--kernels", "portable", "--model", "detect-nano-float"], "--kernels"),
    ] {
        let output = timed(more);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
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
