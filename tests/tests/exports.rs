//! Networks as people bring them, without a manifest: what they find is what others find with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use lapwing_camera::frame::{Frame, picture};
use lapwing_tests::{lapwing, root, say, shared, stderr};
use lapwing_vision::Model;
use lapwing_vision::detect::{DetectOptions, Detection, Detector};
use serde_json::Value;

/// A box as a reference tells it.
#[derive(Debug, Clone)]
struct Expected {
    class: String,
    score: f32,
    bounds: [f32; 4],
}

fn expected(value: &Value) -> Vec<Expected> {
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let one = |value: &Value| Expected {
        class: value["class"].as_str().unwrap().to_owned(),
        score: number(&value["score"]),
        bounds: std::array::from_fn(|side| number(&value["box"][side])),
    };
    value.as_array().unwrap().iter().map(one).collect()
}

fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    if a == b { 1.0 } else { lapwing_vision::detect::nms::iou(a, b) }
}

/// How many of `expected` are among `found`: the class, the score and the sides within so much.
fn matched(detector: &Detector, found: &[Detection], expected: &[Expected], score: f32, side_px: f32) -> usize {
    let mut left: Vec<&Detection> = found.iter().collect();
    let is = |d: &Detection, e: &Expected| {
        let off = d.bounds.iter().zip(&e.bounds).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        detector.class_name(d.class) == e.class && (d.score - e.score).abs() <= score && off <= side_px
    };
    let take = |e: &&Expected| left.iter().position(|d| is(d, e)).map(|at| left.swap_remove(at)).is_some();
    expected.iter().filter(take).count()
}

fn options(detector: &Detector, score_min: f32) -> DetectOptions {
    DetectOptions { score_min, ..DetectOptions::of(detector.manifest()) }
}

fn exports() -> PathBuf {
    root().join("tests/exports")
}

/// The forms of this repository, see `tests/exports/make.py`, and the family that reads each.
const FORMS: [(&str, &str); 15] = [
    ("dfl", "dfl"),
    ("dfl-dynamic", "dfl"),
    ("dfl-batch2", "dfl"),
    ("dfl-dynamic-int8", "dfl"),
    ("linear", "dfl"),
    ("attention", "dfl"),
    ("end2end", "dfl"),
    ("pairs", "dfl"),
    ("joined", "dfl"),
    ("anchors-decoded", "yolov5"),
    ("anchors-other", "yolov5"),
    ("anchors-raw", "yolov5"),
    ("yolox", "yolox-maps"),
    ("yolox-logits", "yolox-maps"),
    ("yolox-decoded", "yolox-maps"),
];

#[test]
fn every_form_finds_what_the_decoders_in_numpy_find() {
    let text = std::fs::read_to_string(exports().join("found.json")).unwrap();
    let found: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let mut frame = Frame::new();
    picture::decode(&std::fs::read(exports().join("picture.png")).unwrap(), "picture.png", &mut frame).unwrap();
    for (name, family) in FORMS {
        let model = Model::open(exports().join(name).with_extension("onnx").to_str().unwrap()).unwrap();
        assert_eq!(model.manifest().head.family, family, "{name}: {:?}", model.why());
        let mut detector = Detector::load(&model).unwrap();
        let options = options(&detector, 0.3);
        let detections = detector.detect(&frame, &options).unwrap().to_vec();
        // weights that were rounded have no exact reference
        let (name, score, side) = if name == "dfl-dynamic-int8" { ("dfl", 0.05, 2.0) } else { (name, 1e-3, 0.02) };
        let expected = expected(&found[name]);
        let matched = matched(&detector, &detections, &expected, score, side);
        // two boxes may overlap by 0.55 to a rounding
        let least = if side > 1.0 { expected.len() * 9 / 10 } else { expected.len() - expected.len() / 40 };
        assert!(expected.len() >= 20 && matched >= least, "{name}: {matched} of {}", expected.len());
        // the file that chooses by itself gives its thirty best
        let more = if name == "end2end" { 300 } else { expected.len() / 10 };
        assert!(detections.len() <= expected.len() + more, "{name}: {} boxes", detections.len());
    }
}

/// Ultralytics' own exports with what their predictor found, on pictures that need no resizing. Where a picture has
/// more boxes than lapwing tells, the best are compared.
#[test]
fn exports_of_ultralytics_find_what_their_predictor_finds() {
    // half precision and QDQ are rounded by the reference itself, differently at each of its optimisation levels
    for (name, rounded) in [
        ("yolov8n-slim", false),
        ("yolov9t-slim", false),
        ("yolov10n-slim-e2e", false),
        ("yolo11n-slim", false),
        ("yolo12n-slim", false),
        ("yolo26n-slim", false),
        ("yolo26n-slim-e2e", false),
        ("yolov8n-slim-half", true),
        ("yolov8n-slim-int8", true),
    ] {
        let Some(file) = shared(&format!("models/yolo/{name}.onnx")) else { return };
        let reference = std::fs::read_to_string(file.with_extension("fitted.json")).unwrap();
        let reference: Value = serde_json::from_str(&reference).unwrap();
        let mut detector = Detector::load(&Model::open(file.to_str().unwrap()).unwrap()).unwrap();
        let options = options(&detector, 0.3);
        let (mut all, mut good) = (0, 0);
        for (photo, value) in reference["photos"].as_object().unwrap() {
            let mut frame = Frame::new();
            let path = file.with_file_name("fitted320").join(photo);
            picture::decode(&std::fs::read(&path).unwrap(), photo, &mut frame).unwrap();
            let found = detector.detect(&frame, &options).unwrap().to_vec();
            let expected = expected(&value["detections"]);
            if rounded {
                let is = |d: &Detection, e: &Expected| {
                    detector.class_name(d.class) == e.class && iou(&d.bounds, &e.bounds) > 0.5
                };
                all += found.len();
                good += found.iter().filter(|d| expected.iter().any(|e| is(d, e))).count();
            } else {
                // of boxes with the same score, which suppresses the other is left to each
                all += found.len();
                good += matched(&detector, &found, &expected, 1e-3, 0.1);
                assert!(found.len() + 2 >= expected.len().min(300), "{name} {photo}: {}", found.len());
            }
        }
        let least = if rounded { all * 8 / 10 } else { all - all / 100 };
        assert!(all > 500 && good >= least, "{name}: {good} of {all}");
    }
}

/// A person's first minutes: an export in a folder, nothing beside it.
#[test]
fn an_export_is_looked_at_tried_quantized_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(exports().join("attention.onnx"), at("yard.onnx")).unwrap();
    std::fs::copy(exports().join("picture.png"), at("picture.png")).unwrap();
    let said = say(folder.path(), &["model", "info", "yard.onnx"]);
    for word in ["head `dfl`", "proved: ", "farmer's cat", "float32    nothing"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = say(folder.path(), &["detect", "--model", "yard.onnx", "picture.png"]);
    assert!(said.contains('%'), "{said}");
    let said = say(folder.path(), &["model", "quantize", "yard.onnx", "--calibrate", "picture.png"]);
    assert!(said.contains("yard.lap: ") && said.contains("calibrated on 1 pictures"), "{said}");
    let said = say(folder.path(), &["model", "verify", "yard.lap"]);
    assert!(said.contains("computes the golden outputs"), "{said}");
    let both = ["yard.onnx", "yard.lap"].map(|model| {
        let said = say(folder.path(), &["detect", "--json", "--score-min", "0.5", "--model", model, "picture.png"]);
        let object: Value = serde_json::from_str(&said).unwrap();
        object["detections"].as_array().unwrap().len()
    });
    assert!(both[0] > 10 && both[0].abs_diff(both[1]) <= both[0] / 3, "{both:?}");
    // a manifest may state a part
    std::fs::write(
        at("yard.toml"),
        "[classes]\nnames = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n[head]\nscore_min = 0.45\n",
    )
    .unwrap();
    let said = say(folder.path(), &["model", "info", "--manifest", "yard.onnx"]);
    assert!(
        said.contains("score_min = 0.45") && said.contains("\"e\"") && said.contains("letterbox-centred"),
        "{said}"
    );
    std::fs::write(at("yard.toml"), said).unwrap();
    say(folder.path(), &["detect", "--model", "yard.toml", "picture.png"]);
}

/// What is not recognised is told, with what was found and what to write; what is no ONNX, with how it becomes it.
#[test]
fn what_is_not_recognised_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(exports().join("dfl.onnx"), at("a.onnx")).unwrap();
    std::fs::write(at("a.toml"), "[head]\nfamily = \"yolov3\"\n").unwrap();
    std::fs::copy(exports().join("picture.png"), at("x.png")).unwrap();
    let output = lapwing(folder.path(), &["detect", "--model", "a.onnx", "x.png"]);
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    for word in ["Outputs: ", "stride 8 with ", "[head] family", "a.toml"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    for (file, word) in [("b.pt", "format=onnx"), ("b.tflite", "ONNX"), ("b.engine", "ONNX"), ("b.hef", "ONNX")] {
        std::fs::write(at(file), "x").unwrap();
        let output = lapwing(folder.path(), &["model", "info", file]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(file) && said.contains(word), "{said}");
    }
}
