//! A binary that was copied away from its sources: what travels in it, and what it says of the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use lapwing_tests::{binary, root, stderr, stdout};

/// A call of a copy of the binary in a folder from which no checkout is reached.
fn call(folder: &Path, models: Option<&Path>, arguments: &[&str]) -> Output {
    let copy = folder.join("lapwing");
    if !copy.exists() {
        std::fs::copy(binary(), &copy).unwrap();
    }
    let mut command = Command::new(copy);
    command.args(arguments).current_dir(folder).env("LAPWING_CAMERAS", "none").env_remove("LAPWING_MODELS");
    if let Some(models) = models {
        command.env("LAPWING_MODELS", models);
    }
    command.output().unwrap()
}

#[test]
fn the_main_job_needs_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = call(folder.path(), None, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("fired") && said.contains("filled"), "{said}");
}

/// Each word for a model that is a file, and the file that is missed.
#[test]
fn a_model_that_is_a_file_is_named_with_the_cure_and_found_where_it_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let photo = root().join("tests/photos/cat.jpg");
    let photo = photo.to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["detect", "--model", "detect-nano-float", photo], "models/detect-nano/model.onnx"),
        (&["detect", "--model", "detect-tiny", photo], "models/detect-tiny/model.lap"),
        (&["detect", "--model", "detect-small", photo], "models/detect-small/model.lap"),
        (&["generate", "--class", "ship", "--steps", "1", "-o", "ship.png"], "models/flow-cifar/model.lap"),
        (
            &["generate", "--model", "flow-patch-float", "--steps", "1", "-o", "window.png"],
            "models/flow-patch/velocity.onnx",
        ),
    ];
    for (arguments, file) in cases {
        let output = call(folder.path(), None, arguments);
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{arguments:?}: {said}");
        assert!(said.contains(file) && said.contains("LAPWING_MODELS"), "{arguments:?}: {said}");
        let output = call(folder.path(), Some(&root().join("models")), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    }
}

/// What is found under a model's name is that model, or it is refused.
#[test]
fn another_file_under_a_model_s_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (model, file, arguments) in [
        ("detect-nano", "model.onnx", &["model", "info", "detect-nano-float"][..]),
        ("detect-tiny", "model.lap", &["model", "info", "detect-tiny"]),
        ("flow-cifar", "model.lap", &["generate", "--class", "ship", "-o", "ship.png"]),
    ] {
        let place = folder.path().join("models").join(model);
        std::fs::create_dir_all(&place).unwrap();
        let mut bytes = std::fs::read(root().join("models").join(model).join(file)).unwrap();
        bytes.push(0);
        std::fs::write(place.join(file), bytes).unwrap();
        let output = call(folder.path(), None, arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("SHA-256") && said.contains(file), "{said}");
    }
}
