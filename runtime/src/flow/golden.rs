//! A seed gives the same bytes on every machine: known sums of what the shipped flows make. The same
//! tests run under emulation of ARM (`cargo xtask arm`).

use super::generate::{Request, Walk, generate};
use super::normal::Normal;
use super::{Filler, FlowModel};
use crate::engine::artifact::sha256_hex;

#[test]
fn normals() {
    let mut x = vec![0f64; 4096];
    Normal::new(0x1234_5678_9abc_def0, 3).fill_f64(&mut x);
    let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(sha256_hex(&bytes), "NORMALS");
}

#[test]
fn a_fill() {
    let mut filler = Filler::builtin().unwrap();
    let window: Vec<u8> = (0..64 * 64 * 3).map(|i| ((i / 192) * 3 + (i % 192) / 2) as u8).collect();
    let mask: Vec<bool> = (0..64 * 64).map(|i| (20..45).contains(&(i % 64)) && (15..50).contains(&(i / 64))).collect();
    let mut out = vec![0; window.len()];
    filler.fill(&window, &mask, 2, 42, &mut out).unwrap();
    assert_eq!(sha256_hex(&out), "FILL");
}

#[test]
fn a_picture_by_jumps_and_one_with_noise_and_guidance() {
    let model = FlowModel::open("flow-cifar").unwrap();
    let mut network = model.network(1).unwrap();
    let sums = ["jump", "sde"].map(|word| {
        let walk = Walk::parse(word).unwrap();
        let guidance = if word == "jump" { 1.0 } else { 2.0 };
        let request = Request { labels: vec![8], walk, steps: 4, guidance, interval: [0.0, 1.0], seed: 7 };
        sha256_hex(&generate(network.as_mut(), &request, None).unwrap().pictures[0])
    });
    assert_eq!(sums, ["JUMP", "SDE"]);
}
