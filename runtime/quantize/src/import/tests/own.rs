//! Scales that the file states: small QDQ models, and what ONNX Runtime gives for them.
//!
//! The models, inputs and outputs were made by `tests/qdq/make.py`.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::*;

use super::net::Net;
use super::{Options, import, regions, run};
use crate::network::FloatNetwork;
use crate::own_scales;
use lapwing_engine::ir::Checked;
use lapwing_engine::kernels;
use lapwing_engine::plan::Plan;

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn network(mut bytes: &[u8], shape: [usize; 4]) -> FloatNetwork {
    let parsed = tract_onnx::onnx().model_for_read(&mut bytes).unwrap();
    import(parsed.with_input_fact(0, f32::fact(shape).into()).unwrap().into_typed().unwrap()).unwrap()
}

/// Steps of the output's scale by which the two differ, at most, and how many differ at all.
fn apart(model: &[u8], input: &[u8], output: &[u8]) -> (f32, usize) {
    let network = network(model, [1, 3, 16, 16]);
    assert!(network.has_own_scales());
    let graph = own_scales::graph(&network).unwrap();
    let step = graph.tensor(graph.outputs[0].parts[0].tensor).quant.scale;
    let mut plan = Plan::new(&Checked::new(graph).unwrap(), kernels::best(), 1).unwrap();
    let (found, expected) = (run(&mut plan, &floats(input)).remove(0), floats(output));
    assert_eq!(found.len(), expected.len());
    let steps: Vec<f32> = found.iter().zip(&expected).map(|(f, e)| ((f - e) / step).abs().round()).collect();
    (steps.iter().copied().fold(0.0, f32::max), steps.iter().filter(|s| **s > 0.0).count())
}

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/qdq/", $name))
    };
}

#[test]
fn unsigned_activations_are_those_of_onnx_runtime() {
    let (most, count) = apart(file!("u8.onnx"), file!("u8.in"), file!("u8.out"));
    assert!(most <= 1.0 && count <= 4, "{count} values differ by up to {most} steps");
}

#[test]
fn signed_activations_are_those_of_onnx_runtime() {
    let (most, count) = apart(file!("i8.onnx"), file!("i8.in"), file!("i8.out"));
    assert!(most <= 1.0 && count <= 4, "{count} values differ by up to {most} steps");
}

fn quantized(scale: f32) -> Net {
    let mut net = Net::new([1, 4, 6, 6]);
    net.constant("s", &[], vec![scale]);
    net.raw("z", &[], DataType::Uint8, vec![128]);
    net.node("QuantizeLinear", "q", &["x", "s", "z"], &[]);
    net.node("DequantizeLinear", "d", &["q", "s", "z"], &[]);
    net.conv("a", "d", [4, 4, 1], &[]);
    net.node("QuantizeLinear", "r", &["a", "s", "z"], &[]);
    net.node("DequantizeLinear", "y", &["r", "s", "z"], &[]);
    net
}

#[test]
fn scales_are_kept_exactly() {
    let network = regions(quantized(0.012_345).typed(&["y"]), &Options::default()).unwrap();
    let graph = own_scales::graph(&network).unwrap();
    assert!(graph.tensors.iter().all(|t| t.quant.scale == 0.012_345 && t.quant.zero == 128));
}

#[test]
fn a_scale_of_zero_names_its_node_and_the_cure() {
    let what = regions(quantized(0.0).typed(&["y"]), &Options::default()).unwrap_err();
    assert!(what.contains("\"q\"") && what.contains("scale") && what.contains("again"), "{what}");
}

#[test]
fn a_zero_point_of_another_type_names_its_node() {
    let mut net = quantized(0.01);
    net.raw("signed", &[], DataType::Int8, vec![0]);
    net.node("DequantizeLinear", "odd", &["q", "s", "signed"], &[]);
    let parsed = tract_onnx::onnx().parse(&net.proto(&["odd"]), None).unwrap().model;
    let model = parsed.with_input_fact(0, f32::fact(net.input).into()).and_then(|m| m.into_typed());
    assert!(format!("{:#}", model.unwrap_err()).contains("odd"));
}
