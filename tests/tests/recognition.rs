//! Networks that do not say all that must be known of them: what is told, and what a person then states.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use lapwing_tests::{lapwing, stderr};
use lapwing_vision::Model;
use lapwing_vision::detect::Detector;

use super::exports::{expected, exports, matched, options, the_picture, what_numpy_finds};

/// Raw maps tell no anchors: a manifest does, and without it nothing is guessed that would be wrong in silence.
#[test]
fn a_manifest_tells_what_raw_maps_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let anchors = "anchors = [[[4.0, 5.0], [8.0, 9.0], [12.0, 20.0]], [[16.0, 14.0], [20.0, 33.0], [40.0, 30.0]], \
                   [[44.0, 50.0], [30.0, 60.0], [60.0, 33.0]]]\n";
    std::fs::copy(exports().join("anchors-raw.onnx"), at("a.onnx")).unwrap();
    let (frame, found) = (the_picture(), what_numpy_finds());
    for (stated, lacks) in [
        ("family = \"yolov3\"\n", Some("anchors = […]")),
        ("family = \"yolov4\"\n", Some("scale_x_y")),
        (&format!("family = \"yolov4\"\n{anchors}"), Some("scale_x_y")),
        (&format!("family = \"yolov4\"\ncentre_scale = [1.2, 1.1]\n{anchors}"), Some("centre_scale")),
        (&format!("family = \"yolov4\"\ncentre_scale = [1.2, 1.1, 1.05]\n{anchors}"), None),
    ] {
        std::fs::write(at("a.toml"), format!("[head]\n{stated}")).unwrap();
        match (Model::open(at("a.onnx").to_str().unwrap()), lacks) {
            (Err(what), Some(word)) => assert!(what.to_string().contains(word), "{stated}: {what}"),
            (Ok(model), None) => {
                let mut detector = Detector::load(&model).unwrap();
                let detections = detector.detect(&frame, &options(&detector, 0.3)).unwrap().to_vec();
                let expected = expected(&found["anchors-raw-yolov4"]);
                let matched = matched(&detector, &detections, &expected, 1e-3, 0.02);
                assert!(expected.len() > 100 && matched + 4 >= expected.len(), "{matched} of {}", expected.len());
            }
            (result, _) => panic!("{stated}: {:?}", result.map(|model| model.manifest().clone())),
        }
    }
    // a file's own boxes and scores may be read as well, and which unit they have shows
    for (form, family) in [("rtmdet-chosen", "boxes-scores"), ("nas", "boxes-scores"), ("yolov4", "yolov4-rows")] {
        std::fs::copy(exports().join(form).with_extension("onnx"), at("b.onnx")).unwrap();
        std::fs::write(at("b.toml"), format!("[head]\nfamily = {family:?}\n")).unwrap();
        let mut detector = Detector::load(&Model::open(at("b.onnx").to_str().unwrap()).unwrap()).unwrap();
        let detections = detector.detect(&frame, &options(&detector, 0.3)).unwrap().to_vec();
        let expected = expected(&found[form]);
        let matched = matched(&detector, &detections, &expected, 1e-3, 0.02);
        assert!(expected.len() > 20 && matched + 2 >= expected.len(), "{form}: {matched} of {}", expected.len());
    }
    for (form, wrong) in [("nas", "yolov4-rows"), ("yolov4", "boxes-scores")] {
        std::fs::copy(exports().join(form).with_extension("onnx"), at("c.onnx")).unwrap();
        std::fs::write(at("c.toml"), format!("[head]\nfamily = {wrong:?}\n")).unwrap();
        assert!(Model::open(at("c.onnx").to_str().unwrap()).is_err(), "{form} was read as {wrong}");
    }
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
