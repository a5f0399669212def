//! Models that other people trained import; convolutions all run in eight bits.
//!
//! They lie outside the repository, under LAPWING_SHARED or `../shared`.

use std::path::PathBuf;

use tract_onnx::prelude::*;

use super::{Options, regions};

fn shared(name: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = std::env::var_os("LAPWING_SHARED").map_or(beside, PathBuf::from).join("models").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {name} is not here");
    None
}

/// `most` nodes stay with tract, none of them a convolution.
fn imports(name: &str, side: usize, most: usize) {
    let Some(path) = shared(name) else { return };
    let parsed = tract_onnx::onnx().model_for_path(path).unwrap();
    let model = parsed.with_input_fact(0, f32::fact([1, 3, side, side]).into()).unwrap().into_typed().unwrap();
    let network = regions(model, &Options::default()).unwrap();
    assert!(network.nodes.len() > 50);
    let kept: Vec<&str> = network.remaining.iter().map(|r| r.op.as_str()).collect();
    assert!(kept.len() <= most && !kept.contains(&"Conv"), "{kept:?}");
}

#[test]
fn yolox_nano() {
    imports("yolox_nano.onnx", 416, 0);
}

#[test]
fn fastestdet() {
    imports("fastestdet.onnx", 352, 8);
}
