//! Networks that ask for too much, that tract does not expect, or that are long.

use proptest::prelude::*;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{AttributeProto, ModelProto, TensorProto, ValueInfoProto, type_proto};

use super::*;
use crate::import::tests::net::Attribute::{self, Int, Ints};
use crate::import::tests::net::Net;

fn net() -> Net {
    Net::new([1, 3, 32, 32])
}

/// Loads and plans it.
fn load(proto: &ModelProto) -> Result<Arc<TypedSimplePlan>, String> {
    runnable(OnnxGraph::of(proto.clone(), 1000)?.parsed()?.typed()?)
}

/// The refusal of a network with one node, which must name it.
fn refused(net: &mut Net, op: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
    net.node(op, "culprit", inputs, attributes);
    net.node("Add", "y", &["x", "culprit"], &[]);
    let what = load(&net.proto(&["y"])).expect_err(op);
    assert!(what.contains("culprit") && !what.contains('\n'), "{op}: {what}");
    what
}

#[test]
fn results_that_no_memory_holds_are_refused_by_name() {
    let huge = [1, 3000, 3200, 3200];
    let mut made = net();
    made.longs("shape", &huge);
    assert!(refused(&mut made, "ConstantOfShape", &["shape"], &[]).contains("limit"));
    let mut made = net();
    made.longs("shape", &[1 << 20, 1 << 20, 1 << 20, 1 << 20]);
    assert!(refused(&mut made, "ConstantOfShape", &["shape"], &[]).contains("limit"));
    let mut made = net();
    made.constant("one", &[1, 1, 1, 1], vec![0.5]);
    made.longs("shape", &[1, 300_000, 320, 320]);
    assert!(refused(&mut made, "Expand", &["one", "shape"], &[]).contains("limit"));
    let mut made = net();
    made.longs("repeats", &[1, 1 << 12, 1 << 12, 1]);
    assert!(refused(&mut made, "Tile", &["x", "repeats"], &[]).contains("limit"));
    let mut made = net();
    made.longs("pads", &[0, 0, 1 << 14, 1 << 14, 0, 0, 1 << 14, 1 << 14]);
    assert!(refused(&mut made, "Pad", &["x", "pads"], &[]).contains("limit"));
    // found by the fuzzer: 2 GB and 10 s
    let mut made = net();
    made.constant("scales", &[4], vec![1.0, 2048.0, 4.0, 4.0]);
    assert!(refused(&mut made, "Resize", &["x", "", "scales"], &[]).contains("correct its scales"));
    // an outer product of two small constants
    let mut made = net();
    made.noise("a", &[1, 1, 1 << 15, 1], 1.0);
    made.noise("b", &[1, 1, 1, 1 << 15], 1.0);
    assert!(refused(&mut made, "Mul", &["a", "b"], &[]).contains("limit"));
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut made = net();
        let mut weights = vec![0.5; 9];
        weights[4] = value;
        made.constant("w", &[3, 3, 1, 1], weights);
        let what = refused(&mut made, "Conv", &["x", "w"], &[]);
        assert!(what.contains("value 4") && what.contains("\"w\""), "{what}");
    }
}

/// A refusal is one line whatever a file calls its operations.
#[test]
fn what_a_file_says_is_no_line_of_its_own() {
    let mut made = net();
    made.node("R\nlu", "culprit", &["culprit"], &[]);
    let what = load(&made.proto(&["culprit"])).unwrap_err();
    assert!(what.contains("culprit") && what.contains("R\\nlu") && !what.contains('\n'), "{what}");
}

/// Exports that end in float64, and labels, which are whole.
#[test]
fn outputs_of_other_numbers_are_read_as_float32() {
    for kind in [1, 7, 11] {
        let mut made = net();
        made.node("Cast", "y", &["x"], &[("to", Int(kind))]);
        let bytes = encoded(&made.proto(&["y"]));
        let manifest = lapwing_engine::Manifest::parse(lapwing_models::DETECT_NANO.manifest).unwrap();
        let input = lapwing_engine::manifest::InputSpec { width: 32, height: 32, ..manifest.input };
        let file = crate::OnnxFile { bytes: &bytes, input: &input, outputs: &[], origin: "y.onnx" };
        let mut engine = crate::FloatEngine::load(file).unwrap();
        let outputs = engine.run(&[3.0; 3 * 32 * 32]).unwrap();
        assert_eq!(outputs.get(0), Some([3.0; 3 * 32 * 32].as_slice()), "kind {kind}");
    }
}

#[test]
fn constants_that_together_take_too_long_are_refused_by_name() {
    let mut net = net();
    net.longs("shape", &[1, 16, 512, 512]);
    let names: Vec<String> = (0..20).map(|index| format!("culprit{index}")).collect();
    names.iter().for_each(|name| net.node("ConstantOfShape", name, &["shape"], &[]));
    let mut sum = names[0].clone();
    for (index, name) in names.iter().enumerate().skip(1) {
        let next = format!("sum{index}");
        net.node("Add", &next, &[&sum, name], &[]);
        sum = next;
    }
    let what = load(&net.proto(&[&sum])).expect_err("it computes 700 MB");
    assert!(what.contains("node ") && what.contains("more than loading may compute"), "{what}");
}

#[test]
fn numbers_that_wrap_are_refused_by_name() {
    let mut made = net();
    for (name, value) in [("from", 1i64 << 62), ("to", i64::MIN), ("axis", 2), ("step", 1)] {
        made.longs(name, &[value]);
    }
    made.node("Slice", "culprit", &["x", "from", "to", "axis", "step"], &[]);
    // an empty result is no error, a broken one is
    if let Err(what) = load(&made.proto(&["culprit"])) {
        assert!(what.contains("culprit") && !what.contains('\n'), "{what}");
    }
    let shapes: [&[i64]; 4] = [&[i64::MAX, i64::MAX], &[-1, i64::MIN], &[1 << 62, 4], &[-7]];
    for shape in shapes {
        let mut made = net();
        made.longs("shape", shape);
        made.node("Reshape", "culprit", &["x", "shape"], &[]);
        if let Err(what) = load(&made.proto(&["culprit"])) {
            assert!(what.contains("culprit") && !what.contains('\n'), "{what}");
        }
    }
    let windows: [&[i64]; 4] = [&[0, 3], &[-3, 3], &[1 << 20, 1 << 20], &[i64::MAX, 1]];
    for window in windows {
        refused(&mut net(), "MaxPool", &["x"], &[("kernel_shape", Ints(window))]);
    }
    for stride in [0, -1, i64::MAX] {
        let strides = [stride, 1];
        let attributes = [("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&strides))];
        refused(&mut net(), "AveragePool", &["x"], &attributes);
    }
    for axis in [i64::MAX, i64::MIN, 77] {
        assert!(refused(&mut net(), "Softmax", &["x"], &[("axis", Int(axis))]).contains("no axis"));
    }
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    let proto = |change: &dyn Fn(&mut ModelProto)| {
        let mut net = net();
        net.constant("c", &[3, 1, 1], vec![0.1, 0.2, 0.3]);
        net.node("Add", "y", &["x", "c"], &[]);
        let mut proto = net.proto(&["y"]);
        change(&mut proto);
        load(&proto).map(|_| ()).expect_err("it contradicts itself")
    };
    let constant =
        |change: &dyn Fn(&mut TensorProto)| proto(&|proto| change(&mut proto.graph.as_mut().unwrap().initializer[0]));
    let what = constant(&|c| c.dims = vec![4, 1, 1]);
    assert!(what.contains("\"c\"") && what.contains("3 values"), "{what}");
    let what = constant(&|c| c.dims = vec![1 << 40, 1 << 40]);
    assert!(what.contains("\"c\"") && what.contains("more than"), "{what}");
    assert!(constant(&|c| c.dims = vec![-3]).contains("below zero"));
    assert!(constant(&|c| c.data_type = 99).contains("data type"));
    assert!(constant(&|c| c.data_location = Some(1)).contains("another file"));
    assert!(constant(&|c| (c.float_data, c.raw_data) = (Vec::new(), vec![0; 11])).contains("cut"));
    let what = proto(&|proto| proto.graph.as_mut().unwrap().output[0].name = "nobody".into());
    assert!(what.contains("\"nobody\"") && what.contains("nothing writes it"), "{what}");
    let inner = |proto: &mut ModelProto| {
        let g = proto.graph.clone();
        let attribute = AttributeProto { name: "body".into(), g, ..AttributeProto::default() };
        proto.graph.as_mut().unwrap().node[0].attribute.push(attribute);
    };
    assert!(proto(&inner).contains("control flow"));
    assert!(proto(&|proto| proto.graph = None).contains("no graph"));
}

/// A chain of so many nodes.
fn chain(nodes: usize) -> ModelProto {
    let mut net = net();
    net.conv("n0", "x", [4, 3, 1], &[]);
    for index in 1..nodes {
        net.node("Relu", &format!("n{index}"), &[&format!("n{}", index - 1)], &[]);
    }
    net.proto(&[&format!("n{}", nodes - 1)])
}

/// Processor time of this thread.
fn cpu() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn a_chain_takes_a_second_a_thousand_nodes_or_is_refused() {
    // a build with checks, on a processor that others use too
    const SLOWER: f64 = 4.0;
    for nodes in [64, 2000, bounds::NODES_MAX] {
        let start = cpu();
        load(&chain(nodes)).unwrap();
        let took = (cpu() - start).as_secs_f64();
        assert!(took < SLOWER * (0.1 + nodes as f64 / 1000.0), "{nodes} nodes took {took:.2} s");
    }
    let start = cpu();
    let what = load(&chain(bounds::NODES_MAX + 1)).map(|_| ()).expect_err("too long");
    assert!(what.contains(&format!("limit of {}", bounds::NODES_MAX)), "{what}");
    assert!(cpu() - start < std::time::Duration::from_secs(1));
}

#[test]
fn a_run_that_breaks_off_names_its_node_and_the_next_one_is_good() {
    let mut net = net();
    net.node("Relu", "good", &["x"], &[]);
    net.node("Neg", "after", &["good"], &[]);
    let plan = load(&net.proto(&["after"])).unwrap();
    let mut state = plan.spawn().unwrap();
    // fewer values than the plan was made for
    let wrong = Tensor::zero::<f32>(&[1, 3, 2, 2]).unwrap();
    let what = run(&mut state, tvec!(wrong.into_tvalue())).map(|_| ());
    let input = Tensor::zero::<f32>(&[1, 3, 32, 32]).unwrap();
    let good = run(&mut state, tvec!(input.into_tvalue()));
    assert!(good.is_ok(), "{what:?}, then {good:?}");
}

/// tract looks for the moves of such an order for ever, and keeps them all. Found by the fuzzer.
#[test]
fn an_order_of_axes_that_is_none_is_refused() {
    for perm in [&[0, 0, 0, 0][..], &[0, 1, 2, 4], &[0, 1, 3, -1], &[1, 2, 3, 3]] {
        let what = refused(&mut net(), "Transpose", &["x"], &[("perm", Ints(perm))]);
        assert!(what.contains("perm"), "{what}");
    }
    let mut made = net();
    made.node("Transpose", "y", &["x"], &[("perm", Ints(&[0, 2, 3, 1]))]);
    load(&made.proto(&["y"])).unwrap();
}

/// A tensor without values may have an extent that no memory holds. Found by the fuzzer.
#[test]
fn an_extent_beside_one_of_zero_counts() {
    let mut made = net();
    made.constant("scales", &[4], vec![0.0, 4.0, 5e11, 8.0]);
    let what = refused(&mut made, "Resize", &["x", "", "scales"], &[]);
    assert!(what.contains("limit"), "{what}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_network_is_taken_or_refused(recipe in prop::collection::vec(any::<u8>(), 0..120)) {
        crate::fuzz_targets::network(&recipe);
    }

    #[test]
    fn any_file_is_taken_or_refused(number in 0usize..8, at: prop::sample::Index, to: u8) {
        let files = files();
        let mut file = files[number % files.len()].clone();
        let at = at.index(file.len());
        file[at] = to;
        crate::fuzz_targets::bytes(&file);
        crate::fuzz_targets::bytes(&file[..at]);
    }
}

/// Recipes of [`structured`] for a search to begin with.
pub(crate) fn recipes() -> Vec<Vec<u8>> {
    (0..8u64)
        .map(|seed| (0..60u64).map(|i| (seed.wrapping_mul(0x9e37_79b9) + i * i * 31 + i * 7) as u8).collect())
        .collect()
}

/// Small files for a search to begin with.
pub(crate) fn files() -> Vec<Vec<u8>> {
    let mut small = net();
    small.conv("a", "x", [4, 3, 3], &[("pads", Ints(&[1, 1, 1, 1]))]);
    small.node("Relu", "b", &["a"], &[]);
    small.longs("shape", &[1, -1]);
    small.node("Reshape", "c", &["b", "shape"], &[]);
    [small.proto(&["c"]), chain(3)]
        .iter()
        .chain(&recipes().iter().map(|r| structured::network(r)).collect::<Vec<_>>())
        .map(encoded)
        .collect()
}

/// A field of protobuf: its number, and bytes with their length.
fn field(to: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    varint(to, u64::from(number) << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend(bytes);
}

fn whole(to: &mut Vec<u8>, number: u8, value: i64) {
    varint(to, u64::from(number) << 3);
    varint(to, value.cast_unsigned());
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        to.push(value as u8 | 128);
        value >>= 7;
    }
    to.push(value as u8);
}

/// A file of those parts of ONNX that the tests use.
fn encoded(proto: &ModelProto) -> Vec<u8> {
    let graph = proto.graph.as_ref().unwrap();
    let mut body = Vec::new();
    for node in &graph.node {
        let mut made = Vec::new();
        node.input.iter().for_each(|name| field(&mut made, 1, name.as_bytes()));
        node.output.iter().for_each(|name| field(&mut made, 2, name.as_bytes()));
        field(&mut made, 3, node.name.as_bytes());
        field(&mut made, 4, node.op_type.as_bytes());
        node.attribute.iter().for_each(|attribute| field(&mut made, 5, &encoded_attribute(attribute)));
        field(&mut body, 1, &made);
    }
    for tensor in &graph.initializer {
        let mut made = Vec::new();
        tensor.dims.iter().for_each(|&extent| whole(&mut made, 1, extent));
        whole(&mut made, 2, i64::from(tensor.data_type));
        let floats = tensor.float_data.iter().flat_map(|v| v.to_le_bytes());
        let longs = tensor.int64_data.iter().flat_map(|v| v.to_le_bytes());
        let raw: Vec<u8> = tensor.raw_data.iter().copied().chain(floats).chain(longs).collect();
        field(&mut made, 8, tensor.name.as_bytes());
        field(&mut made, 9, &raw);
        field(&mut body, 5, &made);
    }
    graph.input.iter().for_each(|value| field(&mut body, 11, &encoded_value(value)));
    graph.output.iter().for_each(|value| field(&mut body, 12, &encoded_value(value)));
    let mut file = Vec::new();
    whole(&mut file, 1, proto.ir_version);
    field(&mut file, 7, &body);
    let mut opset = Vec::new();
    whole(&mut opset, 2, proto.opset_import[0].version);
    field(&mut file, 8, &opset);
    file
}

fn encoded_attribute(attribute: &AttributeProto) -> Vec<u8> {
    let mut made = Vec::new();
    field(&mut made, 1, attribute.name.as_bytes());
    if attribute.r#type == AttributeType::Float as i32 {
        varint(&mut made, 2 << 3 | 5);
        made.extend(attribute.f.to_le_bytes());
    }
    whole(&mut made, 3, attribute.i);
    field(&mut made, 4, &attribute.s);
    attribute.ints.iter().for_each(|&int| whole(&mut made, 8, int));
    varint(&mut made, 20 << 3);
    varint(&mut made, u64::from(attribute.r#type.cast_unsigned()));
    made
}

fn encoded_value(value: &ValueInfoProto) -> Vec<u8> {
    let mut made = Vec::new();
    field(&mut made, 1, value.name.as_bytes());
    if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        let mut shape = Vec::new();
        for extent in tensor.shape.iter().flat_map(|shape| &shape.dim) {
            let mut dimension = Vec::new();
            if let Some(Value::DimValue(extent)) = extent.value {
                whole(&mut dimension, 1, extent);
            }
            field(&mut shape, 1, &dimension);
        }
        let mut kind = Vec::new();
        whole(&mut kind, 1, i64::from(tensor.elem_type));
        field(&mut kind, 2, &shape);
        let mut outer = Vec::new();
        field(&mut outer, 1, &kind);
        field(&mut made, 2, &outer);
    }
    made
}

#[test]
fn files_are_what_they_were_made_of() {
    let proto = chain(5);
    let read = tract_onnx::onnx().proto_model_for_read(&mut &*encoded(&proto)).unwrap();
    let (read, made) = (read.graph.unwrap(), proto.graph.unwrap());
    assert_eq!((read.node, read.input), (made.node, made.input));
    assert!(load(&chain(5)).is_ok());
}
