//! Models whose ends have no eight-bit rule: the graph and its tail give what tract gives, without tract.

use std::collections::BTreeSet;

use super::super::tail;
use super::net::Attribute::{Int, Ints};
use super::net::Net;
use super::{Checked, FloatNetwork, Options, Plan, error, kernels, quantized, real, regions, run};
use crate::calibrate::RealOutputs;
use lapwing_engine::tail::Run;

const BEHIND: Options = Options { real: BTreeSet::new(), behind: true };

/// The tail on what the regions give in float32 is exact; behind eight bits it is within `within`.
fn holds(net: &mut Net, outputs: &[&str], within: f32) -> (FloatNetwork, Vec<&'static str>) {
    let model = net.typed(outputs);
    let network = regions(model.clone(), &BEHIND).unwrap();
    let tail = tail(&network).unwrap().unwrap();
    let pictures: Vec<Vec<f32>> = (0..3).map(|_| net.picture()).collect();
    let graph = quantized(&network, &pictures);
    let mut after = Run::new(tail.clone(), graph.output_shapes()).unwrap();
    let mut plan = Plan::new(&Checked::new(graph).unwrap(), kernels::best(), 1).unwrap();
    let mut before = RealOutputs::new(&network).unwrap();
    for picture in &pictures {
        let expected = real(&model, net.input, picture);
        for (given, most) in [(before.run(picture).unwrap(), 1e-5), (run(&mut plan, picture), within)] {
            after.outputs_mut().iter_mut().zip(given).for_each(|(to, from)| to.copy_from_slice(&from));
            after.run();
            for (index, expected) in expected.iter().enumerate() {
                let error = error(after.output(index).unwrap(), expected);
                assert!(error < most, "output {index}: error {error}, at most {most}");
            }
        }
        assert_eq!(after.output_shapes().len(), expected.len());
    }
    (network, tail.steps.iter().map(|s| s.op.name()).collect())
}

fn stem() -> Net {
    let mut net = Net::new([1, 3, 16, 16]);
    net.conv("stem", "x", [8, 3, 3], &[("pads", Ints(&[1; 4])), ("strides", Ints(&[2, 2]))]);
    net.node("Relu", "relu", &["stem"], &[]);
    net
}

/// As FastestDet ends: objectness, box, and classes through a softmax between two transpositions.
#[test]
fn a_softmax_over_classes() {
    let mut net = stem();
    net.conv("object", "relu", [1, 8, 1], &[]);
    net.node("Sigmoid", "objectness", &["object"], &[]);
    net.conv("box", "relu", [4, 8, 1], &[]);
    net.conv("class", "relu", [6, 8, 1], &[]);
    net.node("Transpose", "last", &["class"], &[("perm", Ints(&[0, 3, 2, 1]))]);
    net.node("Softmax", "shares", &["last"], &[("axis", Int(3))]);
    net.node("Transpose", "first", &["shares"], &[("perm", Ints(&[0, 3, 2, 1]))]);
    net.node("Concat", "y", &["objectness", "box", "first"], &[("axis", Int(1))]);
    let (_, steps) = holds(&mut net, &["y"], 0.05);
    assert_eq!(steps, ["Softmax", "View", "Concat"], "the two transpositions behind it become one");
}

/// As YOLOv8 ends: distances by their expectation (DFL) from anchors to boxes, scaled by the stride.
#[test]
fn the_expectation_of_a_distribution() {
    for convolution in [false, true] {
        let mut net = stem();
        net.conv("boxes", "relu", [32, 8, 1], &[]);
        net.conv("classes", "relu", [5, 8, 1], &[]);
        net.longs("split", &[1, 4, 8, 64]);
        net.node("Reshape", "bins", &["boxes", "split"], &[]);
        if convolution {
            net.node("Transpose", "channels", &["bins"], &[("perm", Ints(&[0, 2, 1, 3]))]);
            net.node("Softmax", "shares", &["channels"], &[("axis", Int(1))]);
            net.constant("w", &[1, 8, 1, 1], (0..8).map(|i| i as f32).collect());
            net.node("Conv", "expected", &["shares", "w"], &[]);
            net.longs("flat4", &[1, 4, 64]);
            net.node("Reshape", "ltrb", &["expected", "flat4"], &[]);
        } else {
            net.node("Softmax", "shares", &["bins"], &[("axis", Int(2))]);
            net.constant("steps", &[1, 1, 8, 1], (0..8).map(|i| i as f32).collect());
            net.node("Mul", "weighed", &["shares", "steps"], &[]);
            net.longs("axis", &[2]);
            net.node("ReduceSum", "ltrb", &["weighed", "axis"], &[("keepdims", Int(0))]);
        }
        for (name, from, to) in [("lt", 0, 2), ("rb", 2, 4)] {
            net.longs(&format!("{name}.from"), &[from]);
            net.longs(&format!("{name}.to"), &[to]);
            net.longs(&format!("{name}.axis"), &[1]);
            net.node(
                "Slice",
                name,
                &["ltrb", &format!("{name}.from"), &format!("{name}.to"), &format!("{name}.axis")],
                &[],
            );
        }
        net.constant("anchors", &[1, 2, 64], (0..128).map(|i| (i % 8) as f32 + 0.5).collect());
        net.node("Sub", "x0y0", &["anchors", "lt"], &[]);
        net.node("Add", "x1y1", &["anchors", "rb"], &[]);
        net.node("Concat", "corners", &["x0y0", "x1y1"], &[("axis", Int(1))]);
        net.constant("stride", &[1, 1, 64], vec![8.0; 64]);
        net.node("Mul", "pixels", &["corners", "stride"], &[]);
        net.longs("flat", &[1, 5, 64]);
        net.node("Reshape", "logits", &["classes", "flat"], &[]);
        net.node("Sigmoid", "scores", &["logits"], &[]);
        net.node("Concat", "y", &["pixels", "scores"], &[("axis", Int(1))]);
        holds(&mut net, &["y"], 0.05);
    }
}

/// As YOLOv5 ends: products and squares of sigmoids; and an output that nothing follows.
#[test]
fn squares_and_several_outputs() {
    let mut net = stem();
    net.conv("a", "relu", [6, 8, 1], &[]);
    net.conv("b", "relu", [4, 8, 1], &[]);
    net.node("Softmax", "odd", &["a"], &[("axis", Int(2))]);
    net.constant("two", &[], vec![2.0]);
    net.node("Pow", "square", &["odd", "two"], &[]);
    net.node("Exp", "large", &["square"], &[]);
    net.node("Sqrt", "root", &["large"], &[]);
    net.constant("scale", &[1, 6, 1, 1], (1..7).map(|i| i as f32).collect());
    net.node("Div", "y", &["root", "scale"], &[]);
    holds(&mut net, &["y", "b"], 0.05);
    holds(&mut net, &["b", "y", "odd"], 0.05);
}

#[test]
fn what_has_no_place_in_a_tail_is_named_with_the_cure() {
    let refused = |net: &Net, words: &[&str]| {
        let network = regions(net.typed(&["y"]), &BEHIND).unwrap();
        let what = tail(&network).unwrap_err();
        assert!(words.iter().all(|word| what.contains(word)) && !what.contains('\n'), "{words:?}: {what}");
        assert!(what.contains("end the model before it"), "{what}");
    };
    let mut middle = stem();
    middle.node("Softmax", "odd", &["relu"], &[("axis", Int(1))]);
    middle.conv("deep", "odd", [8, 8, 3], &[("pads", Ints(&[1; 4]))]);
    middle.node("Relu", "y", &["deep"], &[]);
    refused(&middle, &["odd", "deep"]);
    let mut unknown = stem();
    unknown.node("Softmax", "odd", &["relu"], &[("axis", Int(1))]);
    unknown.node("Erf", "y", &["odd"], &[]);
    refused(&unknown, &["\"y\"", "Erf"]);
    let mut picture = Net::new([1, 3, 8, 8]);
    picture.conv("conv", "x", [4, 3, 1], &[]);
    picture.node("Softmax", "odd", &["x"], &[("axis", Int(1))]);
    picture.node("Concat", "y", &["conv", "odd"], &[("axis", Int(1))]);
    let network = regions(picture.typed(&["y"]), &BEHIND).unwrap();
    let what = tail(&network).unwrap_err();
    assert!(what.contains("picture itself"), "{what}");
}
