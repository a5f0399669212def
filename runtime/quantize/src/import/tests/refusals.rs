//! What cannot be imported is refused in one line with the node's name and the cure; what can still
//! run in float32 stays with tract.

use super::net::Attribute::{Int, Ints};
use super::net::Net;
use super::{Options, regions};
use crate::network::FloatNetwork;
use tract_onnx::prelude::*;

fn refused(net: &Net, outputs: &[&str]) -> String {
    let what = regions(net.typed(outputs), &Options::default()).unwrap_err();
    assert!(!what.contains('\n'), "{what}");
    what
}

#[test]
fn a_model_without_any_rule_names_its_node() {
    let mut net = Net::new([1, 4, 6, 6]);
    net.node("Softmax", "odd", &["x"], &[("axis", Int(1))]);
    let what = refused(&net, &["odd"]);
    assert!(what.contains("odd") && what.contains("no rule") && what.contains("run it in float32"), "{what}");
}

#[test]
fn a_weight_that_is_no_number_names_its_node() {
    let mut net = Net::new([1, 4, 6, 6]);
    net.constant("w", &[2, 4, 1, 1], vec![0.1, 0.2, f32::NAN, 0.3, 0.4, 0.5, 0.6, 0.7]);
    net.node("Conv", "bad", &["x", "w"], &[]);
    let what = refused(&net, &["bad"]);
    assert!(what.contains("bad") && what.contains("finite") && what.contains("again"), "{what}");
}

#[test]
fn a_shape_that_is_not_fixed_names_its_node_and_the_cure() {
    let mut net = Net::new([1, 4, 6, 6]);
    net.conv("a", "x", [4, 4, 1], &[]);
    let parsed = tract_onnx::onnx().parse(&net.proto(&["a"]), None).unwrap().model;
    let batch = parsed.symbols.sym("batch");
    let fact = f32::fact([batch.to_dim(), 4.to_dim(), 6.to_dim(), 6.to_dim()]);
    let model = parsed.with_input_fact(0, fact.into()).unwrap().into_typed().unwrap();
    let what = regions(model, &Options::default()).unwrap_err();
    assert!(what.contains("\"x\"") && what.contains("not fixed") && what.contains("fixed input shape"), "{what}");
}

#[test]
fn an_unknown_name_is_refused() {
    let mut net = Net::new([1, 4, 6, 6]);
    net.conv("a", "x", [4, 4, 1], &[]);
    let options = Options { real: ["nobody".to_owned()].into(), behind: false };
    assert!(regions(net.typed(&["a"]), &options).unwrap_err().contains("nobody"));
}

fn names(network: &FloatNetwork) -> Vec<&str> {
    network.remaining.iter().map(|r| r.name.as_str()).collect()
}

#[test]
fn the_tail_and_the_middle_without_a_rule_stay_with_tract() {
    let mut net = Net::new([1, 4, 8, 8]);
    net.conv("a", "x", [8, 4, 3], &[("pads", Ints(&[1; 4]))]);
    net.node("Softmax", "odd", &["a"], &[("axis", Int(1))]);
    net.conv("b", "odd", [8, 8, 3], &[("pads", Ints(&[1; 4]))]);
    net.node("Relu", "r", &["b"], &[]);
    net.node("Softmax", "y", &["r"], &[("axis", Int(3))]);
    let network = regions(net.typed(&["y"]), &Options::default()).unwrap();
    assert!(names(&network).contains(&"odd") && names(&network).contains(&"y"), "{:?}", network.remaining);
    let regions: Vec<usize> = network.nodes.iter().map(|n| n.region).collect();
    assert_eq!(regions, [1, 3, 3]);
    assert_eq!((network.inputs.len(), network.outputs.len()), (2, 2));
}
