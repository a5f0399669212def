//! Accuracy on annotated pictures that are not part of the repository.
//!
//! The split is lapwing's own (576 held-out images); see `models/detect-nano/CARD.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use lapwing_engine::artifact::Artifact;
use lapwing_engine::manifest::{MeasuredMap, Precision};
use lapwing_tests::{lapwing, shared, stderr};
use serde_json::Value;

fn map50(model: &str) -> Option<f64> {
    let (images, annotations) = (shared("data/voc/test-00.tar")?, shared("data/voc/instances_test.json")?);
    let folder = tempfile::tempdir().unwrap();
    let (images, annotations) = (images.to_str().unwrap(), annotations.to_str().unwrap());
    let call = ["eval", "--images", images, "--annotations", annotations, "--model", model, "--json"];
    let output = lapwing(folder.path(), &call);
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["images"], 576);
    assert_eq!(said["per_class"].as_object().unwrap().len(), 20);
    assert!(said["ms_median"].as_f64().unwrap() > 0.0);
    said["map50"].as_f64()
}

fn reaches(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "mAP50 {found}, expected {expected} within {tolerance}");
}

#[test]
#[ignore = "long: cargo xtask test --full"]
fn the_shipped_detector_reaches_its_card() {
    let manifest = lapwing_engine::Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
    let card = manifest.card.unwrap();
    let stated = |numbers: Precision| {
        let fits = |m: &&MeasuredMap| m.size == manifest.input.width && m.split == "test" && m.numbers == numbers;
        card.map50.iter().find(fits).unwrap().value
    };
    let (int8, float) = (stated(Precision::Int8), stated(Precision::Float));
    assert!(int8 >= float - 0.5, "the card states {int8} for int8, {float} for float");
    if let (Some(found_int8), Some(found_float)) = (map50("detect-nano"), map50("detect-nano-float")) {
        reaches(found_int8, int8, 0.3);
        reaches(found_float, float, 0.3);
    }
}

/// The shipped artifact is what the shipped network becomes, and computes what its maker's machine did.
#[test]
fn the_shipped_artifact_proves_itself() {
    let folder = tempfile::tempdir().unwrap();
    let output = lapwing(folder.path(), &["model", "verify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let artifact = Artifact::from_bytes(lapwing_models::DETECT_NANO.artifact.unwrap()).unwrap();
    let manifest = lapwing_engine::Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
    assert_eq!(Some(artifact.calibration.source_sha256), manifest.sha256);
}

/// Networks made elsewhere, recognised by their checksum; reference values of their authors' weights.
#[test]
#[ignore = "long: cargo xtask test --full"]
fn networks_from_elsewhere_reach_their_reference() {
    for (network, reference) in [("models/yolox_nano.onnx", 74.3), ("models/fastestdet.onnx", 54.0)] {
        if let Some(path) = shared(network)
            && let Some(found) = map50(path.to_str().unwrap())
        {
            reaches(found, reference, 0.5);
        }
    }
}

/// The same network through a manifest beside it, and through the manifest itself.
#[test]
fn a_manifest_beside_a_network_is_used() {
    let Some(network) = shared("models/fastestdet.onnx") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(network, folder.path().join("net.onnx")).unwrap();
    let known = lapwing_models::KNOWN.iter().find(|m| m.contains("fastestdet")).unwrap();
    let manifest = known.replace("file = \"fastestdet.onnx\"", "file = \"net.onnx\"");
    let photo = lapwing_tests::root().join("tests/photos/cat.jpg");
    let detect = |manifest: &str, model: &str| {
        std::fs::write(folder.path().join("net.toml"), manifest).unwrap();
        lapwing(Path::new(folder.path()), &["detect", "--model", model, photo.to_str().unwrap()])
    };
    assert!(detect(&manifest, "net.onnx").status.success());
    assert!(detect(&manifest, "net.toml").status.success());

    // each wrong statement is found when the model is loaded, and named
    for (from, to, code, word) in [
        ("width = 352", "width = 320", 1, "input.width"),
        ("strides = [16]", "strides = [32]", 1, "head.strides"),
        ("\"person\", ", "", 1, "classes.names"),
        ("family = \"fastestdet\"", "family = \"yolox\"", 1, "head.family"),
        ("family = \"fastestdet\"", "family = \"detr\"", 2, "detr"),
        ("sha256 = \"31", "sha256 = \"00", 1, "SHA-256"),
    ] {
        assert!(manifest.contains(from), "{from}");
        let output = detect(&manifest.replacen(from, to, 1), "net.onnx");
        assert_eq!(output.status.code(), Some(code), "{to}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{to}: {}", stderr(&output));
    }
}
