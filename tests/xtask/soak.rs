//! `cargo xtask soak`: the main job over many frames; see `tests/tests/soak.rs`.

use super::step_with;

/// `cargo xtask soak [--frames N] [--seed S]`.
pub fn soak(arguments: &[String]) -> Result<(), String> {
    let (mut frames, mut seed) = ("100000", "1");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for pair in words.chunks(2) {
        match pair {
            ["--frames", value] => frames = value,
            ["--seed", value] => seed = value,
            _ => return Err(format!("{}: give --frames N and --seed S", pair.join(" "))),
        }
    }
    let call = ["test", "--release", "--package", "lapwing-runtime", "--test", "soak", "--", "--nocapture"];
    step_with("cargo", &call, &[("LAPWING_SOAK_FRAMES".into(), frames), ("LAPWING_SOAK_SEED".into(), seed)])
}
