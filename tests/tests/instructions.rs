//! The instructions that the shipped detector takes on ARM cores are held: a change that costs more,
//! or less, is seen. `cargo xtask bench instructions` rewrites the file after a change that is meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use lapwing_tests::arm::{CORES, Caches, Rig};
use lapwing_tests::root;
use serde_json::Value;

const TOLERANCE: f64 = 0.005;

#[test]
fn the_shipped_detector_takes_the_instructions_that_are_held() {
    if let Err(error) = std::process::Command::new("qemu-aarch64").arg("--version").output()
        && let Err(what) = lapwing_tests::arm::install_emulator()
    {
        eprintln!("SKIPPED: no instruction was counted ({error}): {what}");
        return;
    }
    let rig = Rig::build().unwrap();
    let held = std::fs::read_to_string(root().join("tests/bench/arm/instructions.json")).unwrap();
    let held: Value = serde_json::from_str(&held).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for core in CORES {
        let artifact = root().join("models/detect-nano/model.lap");
        let count = rig.count(&artifact, core, Caches::Ignored, &folder.path().join(core)).unwrap();
        let expected = held["detect-nano"][core].as_f64().unwrap();
        let change = count.instructions as f64 / expected - 1.0;
        assert!(
            change.abs() <= TOLERANCE,
            "{core}: {} instructions, {expected} are held ({:+.2} %); after a change that is meant, \
             run `cargo xtask bench instructions`",
            count.instructions,
            100.0 * change
        );
    }
}
