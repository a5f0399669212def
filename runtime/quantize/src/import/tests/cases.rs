//! Each operator between two convolutions.

use super::holds;
use super::net::Attribute::{Float, Int, Ints, Text};
use super::net::Net;
use crate::network::RealOp;

const WITHIN: f32 = 0.06;

/// `a` is a convolution of 8 channels, 10 x 12; the case makes `b` of it.
fn between(channels: usize, case: impl FnOnce(&mut Net)) {
    let mut net = Net::new([1, 4, 10, 12]);
    net.conv("a", "x", [8, 4, 1], &[]);
    case(&mut net);
    net.conv("y", "b", [5, channels, 1], &[]);
    holds(&mut net, &["y"], WITHIN);
}

#[test]
fn convolutions_of_all_kinds() {
    for (k, stride, dilation, group) in [(1, 1, 1, 1), (3, 1, 1, 8), (3, 2, 1, 2), (5, 1, 2, 1), (7, 2, 1, 8)] {
        between(8, |n| {
            let pad = (k / 2) * dilation;
            let attributes = [
                ("strides", Ints(&[stride, stride])),
                ("dilations", Ints(&[dilation, dilation])),
                ("group", Int(group)),
                ("pads", Ints(&[pad, pad - pad.min(1), pad, pad])),
            ];
            n.conv("b", "a", [8, 8 / group as usize, k as usize], &attributes);
        });
    }
    between(8, |n| n.conv("b", "a", [8, 8, 3], &[("auto_pad", Text("SAME_UPPER")), ("strides", Ints(&[2, 2]))]));
}

#[test]
fn activations() {
    for op in ["Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Abs"] {
        between(8, |n| n.node(op, "b", &["a"], &[]));
    }
    between(8, |n| n.node("LeakyRelu", "b", &["a"], &[("alpha", Float(0.1))]));
    between(8, |n| n.node("HardSigmoid", "b", &["a"], &[("alpha", Float(0.25))]));
    between(8, |n| {
        n.constant("low", &[], vec![0.0]);
        n.constant("high", &[], vec![1.5]);
        n.node("Clip", "b", &["a", "low", "high"], &[]);
    });
    between(8, |n| {
        n.node("Sigmoid", "s", &["a"], &[]);
        n.node("Mul", "b", &["a", "s"], &[]);
    });
}

#[test]
fn constants_a_channel_fold() {
    let mut net = Net::new([1, 4, 10, 12]);
    net.conv("a", "x", [8, 4, 1], &[]);
    for (name, size) in [("scale", 1.0), ("shift", 0.3), ("mean", 0.2)] {
        net.noise(name, &[8], size);
    }
    net.constant("var", &[8], vec![0.7; 8]);
    net.node("BatchNormalization", "b", &["a", "scale", "shift", "mean", "var"], &[]);
    net.conv("y", "b", [5, 8, 1], &[]);
    let network = holds(&mut net, &["y"], WITHIN);
    assert_eq!(network.nodes.len(), 2, "the normalisation belongs to the convolution before it");
    between(8, |n| {
        n.node("Relu", "r", &["a"], &[]);
        n.noise("c", &[1, 8, 1, 1], 1.0);
        n.node("Mul", "m", &["r", "c"], &[]);
        n.noise("d", &[1, 8, 1, 1], 1.0);
        n.node("Sub", "b", &["m", "d"], &[]);
    });
}

#[test]
fn two_maps() {
    for op in ["Add", "Sub", "Mul"] {
        between(8, |n| {
            n.conv("c", "x", [8, 4, 3], &[("pads", Ints(&[1, 1, 1, 1]))]);
            n.node(op, "b", &["a", "c"], &[]);
        });
        // one value a channel, and one a pixel
        between(8, |n| {
            n.node("GlobalAveragePool", "g", &["a"], &[]);
            n.node(op, "b", &["a", "g"], &[]);
        });
        between(8, |n| {
            n.conv("c", "x", [1, 4, 3], &[("pads", Ints(&[1, 1, 1, 1]))]);
            n.node(op, "b", &["a", "c"], &[]);
        });
    }
}

#[test]
fn joined_and_split() {
    between(12, |n| {
        n.longs("sizes", &[3, 5]);
        n.node("Split", "p,q", &["a", "sizes"], &[("axis", Int(1))]);
        n.conv("r", "q", [4, 5, 1], &[]);
        n.node("Concat", "b", &["q", "r", "p"], &[("axis", Int(1))]);
    });
    between(8, |n| {
        ["from", "to", "axes"].into_iter().zip([[1, 2], [9, 12], [2, 3]]).for_each(|(s, v)| n.longs(s, &v));
        n.node("Slice", "b", &["a", "from", "to", "axes"], &[]);
    });
    // channels shuffled, pixels to channels and back
    between(8, |n| {
        n.longs("apart", &[1, 2, 4, 10, 12]);
        n.longs("again", &[1, 8, 10, 12]);
        n.node("Reshape", "r", &["a", "apart"], &[]);
        n.node("Transpose", "t", &["r"], &[("perm", Ints(&[0, 2, 1, 3, 4]))]);
        n.node("Reshape", "b", &["t", "again"], &[]);
    });
    between(32, |n| n.node("SpaceToDepth", "b", &["a"], &[("blocksize", Int(2))]));
    for mode in ["DCR", "CRD"] {
        between(2, |n| n.node("DepthToSpace", "b", &["a"], &[("blocksize", Int(2)), ("mode", Text(mode))]));
    }
}

#[test]
fn pools() {
    let square = |n: i64| [n, n];
    for (k, stride, pad, ceil) in [(2, 2, 0, 0), (3, 2, 1, 0), (3, 2, 0, 1), (5, 1, 2, 0), (3, 3, 1, 1)] {
        between(8, |n| {
            let attributes = [
                ("kernel_shape", Ints(&square(k))),
                ("strides", Ints(&square(stride))),
                ("pads", Ints(&[pad; 4])),
                ("ceil_mode", Int(ceil)),
            ];
            n.node("MaxPool", "b", &["a"], &attributes);
        });
    }
    for (pad, counted) in [(0, 0), (1, 0), (1, 1)] {
        between(8, |n| {
            let attributes = [
                ("kernel_shape", Ints(&[3, 3])),
                ("strides", Ints(&[2, 2])),
                ("pads", Ints(&[pad; 4])),
                ("count_include_pad", Int(counted)),
            ];
            n.node("AveragePool", "b", &["a"], &attributes);
        });
    }
    between(8, |n| n.node("GlobalAveragePool", "b", &["a"], &[]));
    between(8, |n| n.node("GlobalMaxPool", "b", &["a"], &[]));
    between(8, |n| n.node("ReduceMean", "b", &["a"], &[("axes", Ints(&[2, 3])), ("keepdims", Int(1))]));
}

#[test]
fn resizing() {
    for (scale, mode, place) in [
        ([2.0, 2.0], "nearest", "asymmetric"),
        ([2.0, 3.0], "nearest", "half_pixel"),
        ([1.5, 1.7], "nearest", "asymmetric"),
        ([2.0, 2.0], "linear", "half_pixel"),
        ([2.0, 2.0], "linear", "align_corners"),
        ([1.3, 0.8], "linear", "asymmetric"),
    ] {
        between(8, |n| {
            n.constant("scales", &[4], vec![1.0, 1.0, scale[0], scale[1]]);
            let attributes = [
                ("mode", Text(mode)),
                ("coordinate_transformation_mode", Text(place)),
                ("nearest_mode", Text("floor")),
            ];
            n.node("Resize", "b", &["a", "", "scales"], &attributes);
        });
    }
}

#[test]
fn transposed_convolutions() {
    for (k, stride, pad, more, dilation, group) in [
        (2, 2, 0, 0, 1, 1),
        (3, 2, 1, 1, 1, 1),
        (4, 2, 1, 0, 1, 2),
        (3, 1, 1, 0, 1, 1),
        (3, 3, 0, 1, 1, 1),
        (3, 2, 2, 1, 2, 8),
    ] {
        between(if group == 8 { 8 } else { 6 }, |n| {
            let outputs = if group == 8 { 1 } else { 6 / group as usize };
            n.noise("w", &[8, outputs, k as usize, k as usize], 0.4);
            n.noise("bias", &[outputs * group as usize], 0.2);
            let attributes = [
                ("strides", Ints(&[stride, stride])),
                ("pads", Ints(&[pad; 4])),
                ("output_padding", Ints(&[more, more])),
                ("dilations", Ints(&[dilation, dilation])),
                ("group", Int(group)),
            ];
            n.node("ConvTranspose", "b", &["a", "w", "bias"], &attributes);
        });
    }
}

#[test]
fn padding() {
    for mode in ["constant", "edge", "reflect"] {
        between(8, |n| {
            n.longs("pads", &[0, 0, 1, 2, 0, 0, 3, 1]);
            n.constant("value", &[], vec![0.5]);
            n.node("Pad", "b", &["a", "pads", "value"], &[("mode", Text(mode))]);
        });
    }
    let mut net = Net::new([1, 4, 10, 12]);
    net.longs("pads", &[0, 0, 1, 1, 0, 0, 1, 1]);
    net.node("Pad", "p", &["x", "pads"], &[]);
    net.conv("y", "p", [5, 4, 3], &[]);
    let network = holds(&mut net, &["y"], WITHIN);
    assert!(matches!(network.nodes.as_slice(), [only] if matches!(only.op, RealOp::Conv(_))));
}

#[test]
fn matrices() {
    let mut net = Net::new([1, 4, 6, 5]);
    net.conv("a", "x", [8, 4, 1], &[]);
    net.node("Flatten", "f", &["a"], &[]);
    net.noise("w", &[240, 16], 0.1);
    net.noise("c", &[16], 0.3);
    net.node("Gemm", "g", &["f", "w", "c"], &[]);
    net.node("Relu", "r", &["g"], &[]);
    net.noise("v", &[7, 16], 0.4);
    net.node("Gemm", "y", &["r", "v"], &[("transB", Int(1))]);
    // tokens: each pixel's channels times a matrix
    net.longs("tokens", &[1, 8, 30]);
    net.node("Reshape", "t", &["a", "tokens"], &[]);
    net.node("Transpose", "u", &["t"], &[("perm", Ints(&[0, 2, 1]))]);
    net.noise("m", &[8, 12], 0.4);
    net.node("MatMul", "z", &["u", "m"], &[]);
    holds(&mut net, &["y", "z"], WITHIN);
}

#[test]
fn every_operator_set_from_11_to_20() {
    for opset in [11, 12, 13, 14, 15, 16, 17, 18, 19, 20] {
        let mut net = Net::new([1, 4, 10, 12]);
        net.opset = opset;
        net.conv("a", "x", [8, 4, 3], &[("pads", Ints(&[1; 4]))]);
        net.node("Relu", "r", &["a"], &[]);
        net.node("MaxPool", "m", &["r"], &[("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&[2, 2]))]);
        net.constant("scales", &[4], vec![1.0, 1.0, 2.0, 2.0]);
        let empty = if opset < 13 { "none" } else { "" };
        if opset < 13 {
            net.constant("none", &[0], vec![]);
        }
        net.node("Resize", "u", &["m", empty, "scales"], &[("mode", Text("nearest"))]);
        net.node("Concat", "b", &["u", "r"], &[("axis", Int(1))]);
        net.conv("y", "b", [5, 16, 1], &[]);
        holds(&mut net, &["y"], WITHIN);
    }
}
