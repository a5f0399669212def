//! `lapwing model quantize` from end to end, on the shipped network and the bundled photographs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use lapwing_tests::{lapwing, root, shared, stderr, stdout};
use serde_json::Value;

fn photos() -> String {
    root().join("tests/photos").to_str().unwrap().to_owned()
}

#[test]
fn the_shipped_network_is_quantized_reported_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let call =
        ["model", "quantize", "detect-nano-float", "--calibrate", &photos(), "--quick", "--json", "-o", "made.lap"];
    let output = lapwing(folder.path(), &call);
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = &said["report"];
    assert_eq!(report["pictures"], 7);
    let outputs = report["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 6);
    for output in outputs {
        let sqnr_db = output["sqnr_db"].as_f64().unwrap();
        assert!((18.0..60.0).contains(&sqnr_db), "{output}");
    }
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.len() > 50, "{}", layers.len());
    let harm = |layer: &Value| layer["harm"].as_f64().unwrap_or(0.0);
    assert!(layers.windows(2).all(|pair| harm(&pair[0]) >= harm(&pair[1])), "the most harmful comes first");
    for layer in layers {
        assert!(layer["low"].as_f64().unwrap() <= 0.0 && layer["high"].as_f64().unwrap() >= 0.0, "{layer}");
        assert!((0.0..0.1).contains(&layer["clipped"].as_f64().unwrap()), "{layer}");
    }
    let verified = lapwing(folder.path(), &["model", "verify", "made.lap"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

fn refused(folder: &Path, call: &[&str], code: i32, words: &[&str]) {
    let output = lapwing(folder, call);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(words.iter().all(|word| last.contains(word)), "{words:?} in {said}");
    assert!(!folder.join("made.lap").exists());
}

#[test]
fn bad_input_is_one_line_with_its_name_and_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("empty")).unwrap();
    std::fs::create_dir(folder.join("broken")).unwrap();
    std::fs::write(folder.join("broken/a.jpg"), b"no picture").unwrap();
    let call = |network: &'static str, pictures: &'static str| {
        ["model", "quantize", network, "--calibrate", pictures, "--quick", "-o", "made.lap"]
    };
    refused(folder, &call("detect-nano-float", "empty"), 2, &["empty", "picture"]);
    refused(folder, &call("detect-nano-float", "broken"), 2, &["broken", "give a folder"]);
    refused(folder, &call("detect-nano-float", "absent"), 2, &["absent"]);
    refused(folder, &call("detect-nano", "broken"), 2, &["artifact already", ".onnx"]);
}

/// A network that ends in float32 (a softmax over classes) becomes an artifact as well.
#[test]
fn a_network_that_ends_in_real_numbers_is_quantized_and_runs() {
    let Some(network) = shared("models/fastestdet.onnx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let network = network.to_str().unwrap();
    let run = |call: &[&str]| {
        let output = lapwing(folder, call);
        assert!(output.status.success(), "{call:?}: {}", stderr(&output));
        stdout(&output)
    };
    run(&["model", "quantize", network, "--calibrate", &photos(), "--quick", "-o", "made.lap"]);
    let info = run(&["model", "info", "made.lap"]);
    let real: Vec<&str> = info.lines().filter(|l| l.contains("in float32: ")).collect();
    assert!(real.iter().any(|l| l.starts_with("Softmax")) && real.iter().all(|l| !l.starts_with("Conv")), "{info}");
    run(&["model", "verify", "made.lap"]);
    let seen = |model: &str| {
        let found = run(&["detect", "--json", "--model", model, &format!("{}/cat.jpg", photos())]);
        let found: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
        let best = &found["detections"][0];
        (best["class"].clone(), best["score"].as_f64().unwrap())
    };
    let (int8, float) = (seen("made.lap"), seen(network));
    assert_eq!(int8.0, float.0);
    assert!((int8.1 - float.1).abs() < 0.1, "{int8:?}, {float:?}");
    // what a newer lapwing writes, what was cut, what was altered
    let good = std::fs::read(folder.join("made.lap")).unwrap();
    let bad = |bytes: &[u8], words: &[&str]| {
        std::fs::write(folder.join("bad.lap"), bytes).unwrap();
        let output = lapwing(folder, &["model", "info", "bad.lap"]);
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    };
    let altered = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    bad(&altered(8 + 2), &["bad.lap", "format", "update lapwing"]);
    bad(&good[..good.len() - 1], &["bad.lap", "cut"]);
    bad(&altered(good.len() / 2), &["bad.lap", "checksum"]);
}

/// A weight that is no number is found, and the node is named.
#[test]
fn a_weight_that_is_no_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = std::fs::read(root().join("models/detect-nano/model.onnx")).unwrap();
    let middle = (network.len() / 2) & !3;
    for at in 0..4 {
        // whatever the alignment of the numbers, one of these is a NaN of 32 bits
        network[middle + 64 * at + at..][..8].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
    }
    std::fs::write(folder.path().join("net.onnx"), network).unwrap();
    let manifest: String = lapwing_models::DETECT_NANO
        .manifest
        .lines()
        .filter(|l| !l.starts_with("sha256"))
        .fold(String::new(), |all, line| all + &line.replace("model.onnx", "net.onnx") + "\n");
    std::fs::write(folder.path().join("net.toml"), manifest).unwrap();
    let call = ["model", "quantize", "net.onnx", "--calibrate", &photos(), "--quick", "-o", "made.lap"];
    refused(folder.path(), &call, 1, &["net.onnx", "node", "finite"]);
}
