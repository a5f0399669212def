//! A seed gives the same bytes on every machine: known sums of what the shipped flows make. The same
//! tests run under emulation of ARM (`cargo xtask arm`).

use super::FlowModel;
use super::generate::{Request, Walk, generate};
use lapwing_engine::artifact::sha256_hex;

/// The sum of one picture.
fn sum(model: &str, walk: &str, class: &str, guidance: f64) -> String {
    let model = FlowModel::open(model).unwrap();
    let mut network = model.network(1).unwrap();
    let request = Request {
        labels: vec![model.manifest().label(Some(class)).unwrap()],
        walk: Walk::parse(walk).unwrap(),
        steps: 1,
        guidance,
        interval: [0.0, 1.0],
        seed: 7,
    };
    sha256_hex(&generate(network.as_mut(), &request, None).unwrap().pictures[0])
}

#[test]
fn a_window_in_one_jump() {
    let found = sum("flow-patch", "jump", "dog", 1.0);
    assert_eq!(found, "e90676ffd03f9a9570765d30f0b4f47725c8c657e87e9723453be01ed6f9abd7");
}

#[test]
fn a_picture_with_guidance_and_fresh_noise() {
    let found = sum("flow-cifar", "sde", "ship", 2.0);
    assert_eq!(found, "d163ac31e0d73fdb22b0f06f01787a8c24d3453689a41366db0aa172af0557cf");
}
