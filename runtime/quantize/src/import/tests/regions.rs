//! Models of which only a part has a rule: tract runs them with regions as operations.

use tract_onnx::prelude::*;

use super::net::Attribute::{Int, Ints};
use super::net::Net;
use super::{Options, error, quantized, real, regions};
use crate::{mixed, network::FloatNetwork};
use lapwing_engine::kernels;

/// Two stages, an operator without a rule between them, and a detection head whose boxes are the
/// expectation of a distribution (DFL).
fn detector() -> Net {
    let mut net = Net::new([1, 3, 16, 16]);
    let same: &[(&str, super::net::Attribute<'_>)] = &[("pads", Ints(&[1; 4]))];
    net.conv("stem", "x", [8, 3, 3], &[("pads", Ints(&[1; 4])), ("strides", Ints(&[2, 2]))]);
    net.node("Relu", "relu", &["stem"], &[]);
    net.node("LpNormalization", "middle", &["relu"], &[("axis", Int(1)), ("p", Int(2))]);
    net.conv("deep", "middle", [8, 8, 3], same);
    net.node("Sigmoid", "gate", &["deep"], &[]);
    net.node("Mul", "silu", &["deep", "gate"], &[]);
    net.node("Concat", "joined", &["silu", "relu"], &[("axis", Int(1))]);
    net.conv("boxes", "joined", [32, 16, 1], &[]);
    net.conv("classes", "joined", [5, 16, 1], &[]);
    net.longs("split", &[1, 4, 8, 64]);
    net.node("Reshape", "bins", &["boxes", "split"], &[]);
    net.node("Softmax", "shares", &["bins"], &[("axis", Int(2))]);
    net.constant("steps", &[1, 1, 8, 1], (0..8).map(|i| i as f32).collect());
    net.node("Mul", "weighed", &["shares", "steps"], &[]);
    net.longs("axis", &[2]);
    net.node("ReduceSum", "ltrb", &["weighed", "axis"], &[("keepdims", Int(0))]);
    net.longs("flat", &[1, 5, 64]);
    net.node("Reshape", "logits", &["classes", "flat"], &[]);
    net.node("Exp", "scores", &["logits"], &[]);
    net.node("Concat", "y", &["ltrb", "scores"], &[("axis", Int(1))]);
    net
}

fn compared(options: &Options) -> (FloatNetwork, f32) {
    let mut net = detector();
    let model = net.typed(&["y"]);
    let network = regions(model.clone(), options).unwrap();
    let pictures: Vec<Vec<f32>> = (0..3).map(|_| net.picture()).collect();
    let graph = quantized(&network, &pictures);
    let made = mixed::model(&network, &graph, kernels::best(), 1).unwrap();
    let plan = made.into_optimized().unwrap().into_runnable().unwrap();
    // two at once, each with its own plans, used again and again
    let mut states = [plan.spawn().unwrap(), plan.spawn().unwrap()];
    let mut worst = 0f32;
    for picture in &pictures {
        let expected = real(&model, net.input, picture).remove(0);
        let found = states.each_mut().map(|state| {
            let input = Tensor::from_shape(&net.input, picture).unwrap();
            let found = state.run(tvec!(input.into_tvalue())).unwrap();
            found[0].as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
        });
        assert_eq!(found[0], found[1]);
        worst = worst.max(error(&found[0], &expected));
    }
    (network, worst)
}

#[test]
fn the_mixed_model_gives_what_tract_gives() {
    let (network, worst) = compared(&Options::default());
    assert!(worst < 0.05, "error {worst}");
    let convolutions = ["stem", "deep", "boxes", "classes"];
    let named = |name: &str| network.remaining.iter().any(|r| r.name == name);
    assert!(convolutions.iter().all(|c| !named(c)), "{:?}", network.remaining);
}

#[test]
fn chosen_nodes_stay_in_real_numbers() {
    let options = Options { real: ["deep".to_owned(), "boxes".to_owned()].into(), behind: false };
    let (network, worst) = compared(&options);
    assert!(worst < 0.05, "error {worst}");
    let named = |name: &str| network.remaining.iter().any(|r| r.name == name);
    assert!(named("deep") && named("boxes") && !named("stem") && !named("classes"), "{:?}", network.remaining);
}
