//! Networks as people bring them, without a manifest: what they find is what others find with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use lapwing_camera::frame::{Frame, picture};
use lapwing_tests::{root, say, shared};
use lapwing_vision::Model;
use lapwing_vision::detect::{DetectOptions, Detection, Detector};
use serde_json::Value;

/// A box as a reference tells it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    class: String,
    score: f32,
    bounds: [f32; 4],
    /// What the network gives beside.
    more: Value,
}

pub(crate) fn expected(value: &Value) -> Vec<Expected> {
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let one = |value: &Value| Expected {
        class: value["class"].as_str().unwrap().to_owned(),
        score: number(&value["score"]),
        bounds: std::array::from_fn(|side| number(&value["box"][side])),
        more: value.clone(),
    };
    value.as_array().unwrap().iter().map(one).collect()
}

fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    if a == b { 1.0 } else { lapwing_vision::detect::nms::iou(a, b) }
}

/// How many of `expected` are among `found`: the class, the score and the sides within so much.
pub(crate) fn matched(
    detector: &Detector,
    found: &[Detection],
    expected: &[Expected],
    score: f32,
    side_px: f32,
) -> usize {
    let mut left: Vec<&Detection> = found.iter().collect();
    let is = |d: &Detection, e: &Expected| {
        let off = d.bounds.iter().zip(&e.bounds).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        detector.class_name(d.class) == e.class && (d.score - e.score).abs() <= score && off <= side_px
    };
    let take = |e: &&Expected| left.iter().position(|d| is(d, e)).map(|at| left.swap_remove(at)).is_some();
    expected.iter().filter(take).count()
}

pub(crate) fn options(detector: &Detector, score_min: f32) -> DetectOptions {
    DetectOptions { score_min, ..DetectOptions::of(detector.manifest()) }
}

pub(crate) fn exports() -> PathBuf {
    root().join("tests/exports")
}

/// The picture that all forms are tried on.
pub(crate) fn the_picture() -> Frame {
    let mut frame = Frame::new();
    picture::decode(&std::fs::read(exports().join("picture.png")).unwrap(), "picture.png", &mut frame).unwrap();
    frame
}

/// By form, what the decoders in numpy find on it.
pub(crate) fn what_numpy_finds() -> BTreeMap<String, Value> {
    serde_json::from_str(&std::fs::read_to_string(exports().join("found.json")).unwrap()).unwrap()
}

/// The forms of this repository, see `tests/exports/make.py`, and the family that reads each.
const FORMS: [(&str, &str); 36] = [
    ("dfl", "dfl"),
    ("dfl-dynamic", "dfl"),
    ("dfl-batch2", "dfl"),
    ("dfl-dynamic-int8", "dfl"),
    ("dfl-chosen", "dfl"),
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
    ("masks", "dfl"),
    ("masks-batch2", "dfl"),
    ("points", "dfl"),
    ("points-centre", "dfl"),
    ("points-end2end", "dfl"),
    ("turned", "dfl"),
    ("turned-radians", "dfl"),
    ("whole", "class-logits"),
    ("whole-logits", "class-logits"),
    ("grey", "dfl"),
    ("meituan", "dfl"),
    ("darknet", "yolov2"),
    ("faces", "yunet"),
    ("cells", "grid"),
    ("shared", "fastestv2"),
    ("yolov4", "yolov4"),
    ("nas", "dfl"),
    ("rtmdet", "rtmdet"),
    ("rtmdet-exp", "rtmdet-exp"),
    ("rtmdet-chosen", "rtmdet-exp"),
];

#[test]
fn every_form_finds_what_the_decoders_in_numpy_find() {
    let (frame, found) = (the_picture(), what_numpy_finds());
    for (name, family) in FORMS {
        let model = Model::open(exports().join(name).with_extension("onnx").to_str().unwrap()).unwrap();
        assert_eq!(model.manifest().head.family, family, "{name}: {:?}", model.why());
        let mut detector = Detector::load(&model).unwrap();
        let options = options(&detector, if family == "class-logits" { 0.0 } else { 0.3 });
        let detections = detector.detect(&frame, &options).unwrap().to_vec();
        // weights that were rounded have no exact reference
        let (name, score, side) = if name == "dfl-dynamic-int8" { ("dfl", 0.05, 2.0) } else { (name, 1e-3, 0.02) };
        let expected = expected(&found[name]);
        let matched = matched(&detector, &detections, &expected, score, side);
        // two boxes may overlap by 0.55 to a rounding
        let least = if side > 1.0 { expected.len() * 9 / 10 } else { expected.len() - expected.len() / 40 };
        let count = if ["class-logits", "yolov2", "fastestv2"].contains(&family) { 5 } else { 20 };
        assert!(expected.len() >= count && matched >= least, "{name}: {matched} of {}", expected.len());
        // the file that chooses by itself gives its thirty best
        let more = if name.ends_with("end2end") || name.ends_with("chosen") { 300 } else { expected.len() / 10 };
        assert!(detections.len() <= expected.len() + more, "{name}: {} boxes", detections.len());
    }
}

/// What boxes have beside class and score, in float32: key points and corners to a twentieth of a pixel, masks at the
/// centre of each pixel.
#[test]
fn what_boxes_have_beside_their_scores_is_what_the_decoders_in_numpy_find() {
    let (frame, found) = (the_picture(), what_numpy_finds());
    for name in
        ["masks", "masks-batch2", "points", "points-centre", "points-end2end", "faces", "turned", "turned-radians"]
    {
        let model = Model::open(exports().join(name).with_extension("onnx").to_str().unwrap()).unwrap();
        let mut detector = Detector::load(&model).unwrap();
        let options = options(&detector, 0.3);
        let detections = detector.detect(&frame, &options).unwrap().to_vec();
        let mut compared = 0;
        for expected in expected(&found[name]) {
            let same = |d: &Detection| matched(&detector, &[*d], std::slice::from_ref(&expected), 1e-3, 0.05) == 1;
            let Some(index) = detections.iter().position(same) else { continue };
            compared += 1;
            let pairs = |key: &str| -> Vec<Vec<f64>> { serde_json::from_value(expected.more[key].clone()).unwrap() };
            let near = |a: f32, b: f64| (f64::from(a) - b).abs() < 0.05;
            if name.starts_with("masks") {
                let mask = detector.mask(index).unwrap();
                let digits = expected.more["mask"].as_str().unwrap().as_bytes();
                let bit = |x: usize, y: usize| {
                    let at = y * 64 + x;
                    let digit = (digits[at / 4] as char).to_digit(16).unwrap();
                    digit >> (3 - at % 4) & 1 == 1
                };
                let mut off = 0;
                for (x, y) in (0..64).flat_map(|y| (0..64).map(move |x| (x, y))) {
                    let at = [x as f32 + 0.5, y as f32 + 0.5];
                    off += usize::from(mask.has(at[0], at[1]) != bit(x, y));
                    let [u, v] = cell_of(&detections[index].bounds, at);
                    let is_covered = detections[index].outline.has(u, v) || !mask.has(at[0], at[1]);
                    assert!(is_covered, "{name} {index}: {x} {y}");
                }
                assert!(off <= 2, "{index}: {off} of 4096 pixels are others");
            } else if name.starts_with("points") || name == "faces" {
                let (points, others) = (detector.key_points(index), pairs("key_points"));
                let count = if name == "faces" { 5 } else { 3 };
                assert_eq!((points.len(), others.len()), (count, count));
                for (point, other) in points.iter().zip(&others) {
                    let is_seen = (f64::from(point.visibility) - other[2]).abs() < 1e-3;
                    assert!(
                        near(point.at[0], other[0]) && near(point.at[1], other[1]) && is_seen,
                        "{name}: {point:?} {other:?}"
                    );
                }
            } else {
                let corners = detector.rotated(index).unwrap().corners;
                for other in pairs("corners") {
                    assert!(
                        corners.iter().any(|c| near(c[0], other[0]) && near(c[1], other[1])),
                        "{name}: {corners:?} {other:?}"
                    );
                }
            }
        }
        assert!(compared >= 20, "{name}: {compared}");
    }
}

/// The same in eight bits, from the command line: quantized on the picture, told in JSON, drawn, hidden.
#[test]
fn what_boxes_have_beside_their_scores_survives_eight_bits() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(exports().join("picture.png"), folder.path().join("picture.png")).unwrap();
    for (name, key, score_min) in [
        ("masks", "polygons", "0.4"),
        ("points", "key_points", "0.4"),
        ("turned", "corners", "0.4"),
        ("faces", "key_points", "0.4"),
        ("grey", "box", "0.4"),
        ("whole", "box", "0.05"),
    ] {
        let [onnx, lap] = ["onnx", "lap"].map(|ending| format!("{name}.{ending}"));
        std::fs::copy(exports().join(&onnx), folder.path().join(&onnx)).unwrap();
        let said = say(folder.path(), &["model", "quantize", &onnx, "--calibrate", "picture.png", "--quick"]);
        assert!(said.contains(&lap), "{said}");
        let found = [&onnx, &lap].map(|model| {
            let said =
                say(folder.path(), &["detect", "--json", "--score-min", score_min, "--model", model, "picture.png"]);
            let object: Value = serde_json::from_str(&said).unwrap();
            object["detections"].as_array().unwrap().clone()
        });
        assert!(!found[0].is_empty(), "{name}");
        let close = |a: &Value, b: &Value| {
            a["class"] == b["class"] && (a["score"].as_f64().unwrap() - b["score"].as_f64().unwrap()).abs() < 0.15
        };
        let both = found[0].iter().filter(|a| found[1].iter().any(|b| close(a, b) && !b[key].is_null())).count();
        assert!(both * 10 >= found[0].len() * 7, "{name}: {both} of {}", found[0].len());
        say(folder.path(), &["detect", "--model", &lap, "--annotate", name, "picture.png"]);
        assert!(folder.path().join(name).join("picture.jpg").exists());
    }
}

/// Masks and turned boxes are scored where the annotations have shapes: a model is right by its own, and not by boxes in
/// their place.
#[test]
fn masks_and_turned_boxes_are_scored_by_their_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(exports().join("picture.png"), at("picture.png")).unwrap();
    for (name, of) in [("masks", "masks"), ("turned", "turned boxes")] {
        let onnx = format!("{name}.onnx");
        std::fs::copy(exports().join(&onnx), at(&onnx)).unwrap();
        let said = say(folder.path(), &["detect", "--json", "--model", &onnx, "--score-min", "0.3", "picture.png"]);
        let found: Value = serde_json::from_str(&said).unwrap();
        let info = say(folder.path(), &["model", "info", "--manifest", &onnx]);
        let manifest: toml::Table = toml::from_str(&info).unwrap();
        let names: Vec<&str> =
            manifest["classes"]["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        let flat = |ring: &Value| -> Vec<f64> {
            ring.as_array().unwrap().iter().flat_map(|at| [at[0].as_f64().unwrap(), at[1].as_f64().unwrap()]).collect()
        };
        let scored = |segmentation: &dyn Fn(&Value) -> Value| {
            let annotation = |d: &Value| {
                let b: Vec<f64> = d["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
                let category = names.iter().position(|name| *name == d["class"]).unwrap();
                serde_json::json!({ "image_id": 1, "category_id": category, "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
                    "segmentation": segmentation(d) })
            };
            let file = serde_json::json!({
                "images": [{ "id": 1, "file_name": "picture.png" }],
                "categories": names.iter().enumerate().map(|(id, name)| serde_json::json!({ "id": id, "name": name })).collect::<Vec<_>>(),
                "annotations": found["detections"].as_array().unwrap().iter().map(annotation).collect::<Vec<_>>(),
            });
            std::fs::write(at("truth.json"), file.to_string()).unwrap();
            let call = ["eval", "--json", "--model", &onnx, "--images", "picture.png", "--annotations", "truth.json"];
            serde_json::from_str::<Value>(&say(folder.path(), &call)).unwrap()
        };
        let own = scored(&|d: &Value| match d["polygons"].as_array() {
            Some(rings) => serde_json::json!(rings.iter().map(flat).collect::<Vec<_>>()),
            None => serde_json::json!([flat(&d["corners"])]),
        });
        assert_eq!(own["shapes"]["of"], of);
        // every class of a cell counts here, which was annotated by its best alone
        let map50 = own["map50"].as_f64().unwrap();
        assert!(map50 > 75.0 && own["shapes"]["map50"].as_f64().unwrap() > 0.85 * map50, "{name}: {own}");
        let boxes = scored(&|d: &Value| {
            let b: Vec<f64> = d["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            serde_json::json!([[b[0], b[1], b[2], b[1], b[2], b[3], b[0], b[3]]])
        });
        let by_boxes = boxes["shapes"]["map50_95"].as_f64().unwrap();
        assert!(by_boxes + 10.0 < own["shapes"]["map50_95"].as_f64().unwrap(), "{name}: {by_boxes} {own}");
        let none = scored(&|_| Value::Null);
        assert!(none["shapes"].is_null() && none["map50"] == own["map50"]);
    }
}

/// A file whose metadata speaks of key points of one value, as many as there are channels: they are passed over, and said
/// to be.
#[test]
fn key_points_that_cannot_be_are_passed_over_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(exports().join("points.onnx")).unwrap();
    let at = bytes.windows(6).position(|word| word == b"[3, 3]").unwrap();
    bytes[at..at + 6].copy_from_slice(b"[9, 1]");
    std::fs::write(folder.path().join("odd.onnx"), bytes).unwrap();
    std::fs::copy(exports().join("picture.png"), folder.path().join("picture.png")).unwrap();
    let said = say(folder.path(), &["model", "info", "odd.onnx"]);
    assert!(said.contains("head.extra.values = 1") && said.contains("key points for each box is not read"), "{said}");
    say(folder.path(), &["detect", "--model", "odd.onnx", "picture.png"]);
}

/// Redaction follows the turned box or the mask: all of it is hidden, and less than the upright boxes with their margin.
#[test]
fn redaction_hides_the_object_and_less_than_its_box() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // what stays is not black
    let mut bright = the_picture();
    bright.rgb_mut().iter_mut().for_each(|value| *value = (*value).max(60));
    let mut encoded = Vec::new();
    picture::encode_png(&bright, &mut encoded).unwrap();
    std::fs::write(at("bright.png"), encoded).unwrap();
    for (name, hidden, score_min) in [("turned", "elk", 0.88), ("masks", "hen", 0.74)] {
        let model = exports().join(name).with_extension("onnx");
        let mut detector = Detector::load(&Model::open(model.to_str().unwrap()).unwrap()).unwrap();
        let options = options(&detector, score_min);
        let found = detector.detect(&bright, &options).unwrap().to_vec();
        let ours: Vec<usize> = (0..found.len()).filter(|&i| detector.class_name(found[i].class) == hidden).collect();
        assert!(
            !ours.is_empty(),
            "{name}: {:?}",
            found.iter().map(|d| (detector.class_name(d.class), d.score)).collect::<Vec<_>>()
        );
        let limit = score_min.to_string();
        let call =
            ["redact", "--how", "black", "--hide", hidden, "--score-min", &limit, "--model", model.to_str().unwrap()];
        say(folder.path(), &[&call[..], &["bright.png", "safe.png"]].concat());
        let mut safe = Frame::new();
        picture::decode(&std::fs::read(at("safe.png")).unwrap(), "safe.png", &mut safe).unwrap();
        let (mut black, mut boxes) = (0, 0);
        for (x, y) in (0..64).flat_map(|y| (0..64).map(move |x| (x, y))) {
            let centre = [x as f32 + 0.5, y as f32 + 0.5];
            let is_object = |&index: &usize| match detector.rotated(index) {
                Some(rotated) => lies_in(&rotated.corners, centre),
                None => detector.mask(index).unwrap().has(centre[0], centre[1]),
            };
            let is_boxed = |&index: &usize| {
                let b = found[index].bounds;
                let margin = 0.12 * (b[2] - b[0]).max(b[3] - b[1]);
                let inside = |axis: usize| (b[axis] - margin..b[axis + 2] + margin).contains(&centre[axis]);
                inside(0) && inside(1)
            };
            let is_black = safe.pixel(x, y) == Some([0; 3]);
            assert!(is_black || !ours.iter().any(is_object), "{name}: {x} {y} shows");
            black += usize::from(is_black);
            boxes += usize::from(ours.iter().any(is_boxed));
        }
        assert!(black > 0 && black * 100 < boxes * 97, "{name}: {black} of {boxes}");
    }
}

/// Whether a point lies in a convex polygon.
fn lies_in(corners: &[[f32; 2]; 4], [x, y]: [f32; 2]) -> bool {
    let side = |i: usize| {
        let ([x0, y0], [x1, y1]) = (corners[i], corners[(i + 1) % 4]);
        (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0.0
    };
    (0..4).all(side) || (0..4).all(|i| !side(i))
}

/// The cell of an outline in which a point lies.
fn cell_of(bounds: &[f32; 4], at: [f32; 2]) -> [usize; 2] {
    std::array::from_fn(|axis| {
        let share = (at[axis] - bounds[axis]) / (bounds[axis + 2] - bounds[axis]);
        ((share * 32.0) as usize).min(31)
    })
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
                // area attention magnifies the order of additions, which depends on the processor: 0.3 px there with AVX-512
                let side_px = if name.starts_with("yolo12") { 0.001 * 320.0 } else { 0.1 };
                all += found.len();
                good += matched(&detector, &found, &expected, 1e-3, side_px);
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
