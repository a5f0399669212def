//! A model that gives NaN or infinity knows nothing of a picture: that is a failed detection and never an empty picture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use lapwing_tests::onnx::{Constant, network};
use lapwing_tests::{lapwing, root, stderr, stdout};

/// A detector of one cell with one class. Its logit is `operator` of `bias`; its boxes are `reach` in logarithm.
fn detector(folder: &Path, name: &str, operator: &str, bias: f32, reach: f32) {
    let zeros = [0.0; 12];
    let reaches = [reach; 4];
    let constants = [
        Constant { name: "wc", shape: &[1, 3, 1, 1], values: &zeros[..3] },
        Constant { name: "bc", shape: &[1], values: &[bias] },
        Constant { name: "wb", shape: &[4, 3, 1, 1], values: &zeros },
        Constant { name: "bb", shape: &[4], values: &reaches },
    ];
    let nodes: [(&str, &[&str], &str); 5] = [
        ("GlobalAveragePool", &["x"], "mean"),
        ("Conv", &["mean", "wc", "bc"], "c"),
        (operator, &["c"], "logit"),
        ("Conv", &["mean", "wb", "bb"], "b"),
        ("Exp", &["b"], "box"),
    ];
    let outputs: [(&str, &[u64]); 2] = [("logit", &[1, 1, 1, 1]), ("box", &[1, 4, 1, 1])];
    let bytes = network(("x", &[1, 3, 32, 32]), &constants, &nodes, &outputs);
    std::fs::write(folder.join(format!("{name}.onnx")), bytes).unwrap();
    let manifest = format!(
        "format = 1\nname = \"{name}\"\nfile = \"{name}.onnx\"\n[input]\nwidth = 32\nheight = 32\ncolour = \"rgb\"\n\
         layout = \"nchw\"\nmean = [0.0, 0.0, 0.0]\nscale = [1.0, 1.0, 1.0]\nfit = \"letterbox\"\npad = 114\n[head]\n\
         family = \"ltrb\"\nstrides = [32]\nscore_min = 0.25\nnms_iou = 0.5\n[classes]\nnames = [\"person\"]\n"
    );
    std::fs::write(folder.join(format!("{name}.toml")), manifest).unwrap();
}

/// Each kind of output that is no number: in scores and in boxes. The last two would otherwise be "nothing found".
const BAD: [(&str, &str, f32, f32); 4] =
    [("nan", "Log", -1.0, 0.0), ("box", "Exp", 1.0, 1000.0), ("plus", "Exp", 1000.0, 0.0), ("minus", "Log", 0.0, 0.0)];

fn pictures(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn no_command_takes_it_for_an_empty_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let photo = root().join("tests/photos/astronaut.jpg");
    let photo = photo.to_str().unwrap();
    std::fs::write(
        at.join("truth.json"),
        "{\"images\":[{\"id\":1,\"file_name\":\"astronaut.jpg\",\"width\":512,\"height\":512}],\
         \"annotations\":[{\"id\":1,\"image_id\":1,\"category_id\":1,\"bbox\":[100,100,200,300],\"area\":60000,\"iscrowd\":0}],\
         \"categories\":[{\"id\":1,\"name\":\"person\"}]}",
    )
    .unwrap();
    for (name, operator, bias, reach) in BAD {
        detector(at, name, operator, bias, reach);
        let model = format!("{name}.onnx");
        let fails = |arguments: &[&str]| {
            let output = lapwing(at, arguments);
            let said = stderr(&output) + &stdout(&output);
            assert_eq!(output.status.code(), Some(1), "{name}: {arguments:?}: {said}");
            assert!(said.contains("nothing is known of this picture"), "{name}: {arguments:?}: {said}");
        };
        fails(&["detect", "--model", &model, photo]);
        fails(&["redact", "--how", "mosaic", "--model", &model, photo, "out.jpg"]);
        assert!(!at.join("out.jpg").exists(), "{name}: a picture of which nothing is known was written");
        fails(&["eval", "--model", &model, "--images", photo, "--annotations", "truth.json"]);
        let config = format!("[model]\npath = \"{model}\"\n[pictures]\nkeep = \"all\"\n");
        std::fs::write(at.join("c.toml"), config).unwrap();
        let data = format!("data-{name}");
        fails(&["run", "--config", "c.toml", "--source", photo, "--data", &data]);
        assert_eq!(pictures(&at.join(&data).join("pictures")), 0, "{name}");
    }
}

/// The same network with numbers in it finds somebody: the cases above are about nothing else.
#[test]
fn the_control_finds_and_hides() {
    let folder = tempfile::tempdir().unwrap();
    let photo = root().join("tests/photos/astronaut.jpg");
    detector(folder.path(), "good", "Exp", 1.0, 0.0);
    let arguments = ["redact", "--how", "mosaic", "--model", "good.onnx", photo.to_str().unwrap(), "out.jpg"];
    let output = lapwing(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 hidden (1 mosaic)"), "{}", stdout(&output));
    assert!(folder.path().join("out.jpg").exists());
}
