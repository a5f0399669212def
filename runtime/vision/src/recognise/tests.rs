//! Files of the shared folder, as exporters write them.

use super::*;

/// What stands under `models/yolo` beside the checkout; `None`, said loudly, where there is nothing.
fn file(name: &str) -> Option<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/yolo").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    bytes
}

#[test]
fn exports_are_recognised_and_proved() {
    let files = [
        ("yolov8n-slim.onnx", "dfl", false),
        ("yolov8n-slim-half.onnx", "dfl", false),
        ("yolov8n-slim-int8.onnx", "dfl", false),
        ("yolov9t-slim.onnx", "dfl", false),
        ("yolov10n-slim-e2e.onnx", "dfl", true),
        ("yolo11n-slim.onnx", "dfl", false),
        ("yolo12n-slim.onnx", "dfl", false),
        ("yolo26n-slim.onnx", "dfl", false),
        ("yolo26n-slim-e2e.onnx", "dfl", true),
        ("yolov5n-anchors-decoded-slim.onnx", "yolov5", false),
        ("yolov5n-anchors-raw-slim.onnx", "yolov5", false),
    ];
    for (name, family, one_to_one) in files {
        let Some(bytes) = file(name) else { return };
        let found = recognise(&bytes, name, "").unwrap_or_else(|what| panic!("{name}: {what}"));
        let Manifest { head, classes, .. } = &found.manifest;
        let why = found.why.join("\n");
        assert_eq!((head.family.as_str(), head.one_to_one), (family, one_to_one), "{name}: {why}");
        assert_eq!((classes.names.len(), &head.strides[..]), (80, &[8, 16, 32][..]), "{name}");
        assert_eq!(classes.names[0], "person", "{name}");
        let proved = found.why.iter().any(|line| line.starts_with("proved: "));
        assert_eq!(proved, !name.contains("raw"), "{name}: {why}");
        let text = found.manifest.to_toml().unwrap();
        Manifest::parse(&text).unwrap();
    }
}
