//! Bytes become a small network, most often one that makes sense: what a search through bytes alone seldom finds.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// Most nodes.
const NODES_MAX: usize = 24;
/// Numbers at which something changes.
const NUMBERS: [i64; 24] = [
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    12,
    16,
    -1,
    -2,
    -3,
    100,
    1000,
    16_384,
    300_000,
    1 << 24,
    1 << 31,
    1 << 40,
    -(1 << 31),
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    -1000,
];

/// Name, inputs, attributes with their kinds.
type Operation = (&'static str, &'static str, &'static [(&'static str, char)]);

/// What follows the values that a node reads: constants and attributes, see [`Maker::node`]. In the order of the
/// operation's inputs: `v` a value, `i` whole numbers, `f` a tensor of numbers, `s` one number, `p` a whole one;
/// behind a stroke attributes.
const OPERATIONS: [Operation; 62] = [
    ("Relu", "v", &[]),
    ("Sigmoid", "v", &[]),
    ("Exp", "v", &[]),
    ("Sqrt", "v", &[]),
    ("Neg", "v", &[]),
    ("Abs", "v", &[]),
    ("Tanh", "v", &[]),
    ("HardSwish", "v", &[]),
    ("LeakyRelu", "v", &[("alpha", 'f')]),
    ("Clip", "vss", &[]),
    ("Softmax", "v", &[("axis", 'i')]),
    ("Erf", "v", &[]),
    ("Floor", "v", &[]),
    ("Not", "v", &[]),
    ("Identity", "v", &[]),
    ("Shape", "v", &[]),
    ("Cast", "v", &[("to", 'k')]),
    ("Add", "vv", &[]),
    ("Add", "vf", &[]),
    ("Sub", "vf", &[]),
    ("Mul", "vv", &[]),
    ("Mul", "vf", &[]),
    ("Div", "vf", &[]),
    ("Div", "vv", &[]),
    ("Pow", "vs", &[]),
    ("Max", "vv", &[]),
    ("Mod", "vv", &[]),
    ("Equal", "vf", &[]),
    ("Where", "vvv", &[]),
    ("MatMul", "vf", &[]),
    ("MatMul", "vv", &[]),
    ("Gemm", "vf", &[("transA", 'i'), ("transB", 'i')]),
    ("Conv", "vf", &[("strides", 'w'), ("pads", 'W'), ("dilations", 'w'), ("group", 'i')]),
    ("Conv", "vff", &[("pads", 'W'), ("kernel_shape", 'w')]),
    ("ConvTranspose", "vf", &[("strides", 'w'), ("pads", 'W'), ("output_padding", 'w')]),
    ("MaxPool", "v", &[("kernel_shape", 'w'), ("strides", 'w'), ("pads", 'W'), ("ceil_mode", 'i')]),
    ("AveragePool", "v", &[("kernel_shape", 'w'), ("strides", 'w'), ("pads", 'W'), ("count_include_pad", 'i')]),
    ("GlobalAveragePool", "v", &[]),
    ("ReduceMean", "v", &[("axes", 'l'), ("keepdims", 'i')]),
    ("ReduceMax", "v", &[("axes", 'l'), ("keepdims", 'i')]),
    ("ReduceSum", "vi", &[("keepdims", 'i')]),
    ("ArgMax", "v", &[("axis", 'i'), ("keepdims", 'i')]),
    ("Reshape", "vi", &[]),
    ("Flatten", "v", &[("axis", 'i')]),
    ("Squeeze", "vi", &[]),
    ("Unsqueeze", "vi", &[]),
    ("Transpose", "v", &[("perm", 'l')]),
    ("Concat", "vv", &[("axis", 'i')]),
    ("Concat", "vvv", &[("axis", 'i')]),
    ("Slice", "viiii", &[]),
    ("Split", "vi", &[("axis", 'i')]),
    ("Gather", "vi", &[("axis", 'i')]),
    ("Expand", "vi", &[]),
    ("Tile", "vi", &[]),
    ("Pad", "vis", &[]),
    ("Resize", "veS", &[("mode", 'm')]),
    ("ConstantOfShape", "i", &[]),
    ("Range", "ppp", &[]),
    ("DepthToSpace", "v", &[("blocksize", 'i')]),
    ("SpaceToDepth", "v", &[("blocksize", 'i')]),
    ("TopK", "vi", &[("axis", 'i')]),
    ("CumSum", "vp", &[]),
];

struct Maker<'a> {
    bytes: &'a [u8],
    graph: GraphProto,
    /// Names of what can be read.
    values: Vec<String>,
}

/// The network that `bytes` describe.
pub fn network(bytes: &[u8]) -> ModelProto {
    let graph = GraphProto { name: "made".into(), input: vec![picture()], ..GraphProto::default() };
    let mut maker = Maker { bytes, graph, values: vec!["image".into()] };
    let opset = [17, 13, 11, 18][maker.below(4)];
    while !maker.bytes.is_empty() && maker.graph.node.len() < NODES_MAX {
        maker.node();
    }
    let outputs = 1 + maker.below(2);
    let ends: Vec<String> = maker.values.iter().rev().take(outputs).cloned().collect();
    let end = |name| ValueInfoProto { name, ..ValueInfoProto::default() };
    maker.graph.output = ends.into_iter().map(end).collect();
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { version: opset, ..OperatorSetIdProto::default() }],
        graph: Some(maker.graph),
        ..ModelProto::default()
    }
}

fn picture() -> ValueInfoProto {
    let extent = |n| Dimension { value: Some(dimension::Value::DimValue(n)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: [1, 3, 16, 16].map(extent).to_vec() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: "image".into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

impl Maker<'_> {
    /// The next byte; 0 behind the last.
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.byte() % bound
    }

    /// Small most often.
    fn number(&mut self) -> i64 {
        let byte = self.byte();
        if byte < 192 { NUMBERS[byte % 12] } else { NUMBERS[byte % NUMBERS.len()] }
    }

    fn numbers(&mut self, most: usize) -> Vec<i64> {
        (0..self.below(most + 1)).map(|_| self.number()).collect()
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto { name: name.clone(), ..tensor });
        name
    }

    fn longs(&mut self, values: &[i64], single: bool) -> String {
        let dims = if single { Vec::new() } else { vec![values.len() as i64] };
        let int64_data = values.to_vec();
        self.constant(TensorProto { dims, data_type: DataType::Int64 as i32, int64_data, ..TensorProto::default() })
    }

    fn floats(&mut self, dims: Vec<i64>) -> String {
        let count: i64 = dims.iter().product();
        let float_data = (0..count).map(|i| ((i * 37) % 19) as f32 * 0.11 - 1.0).collect();
        self.constant(TensorProto { dims, data_type: DataType::Float as i32, float_data, ..TensorProto::default() })
    }

    fn input(&mut self, kind: char) -> String {
        match kind {
            'v' => {
                // the newest most often
                let back = self.below(256);
                let back = if back < 160 { 0 } else { back % self.values.len() };
                self.values[self.values.len() - 1 - back].clone()
            }
            'i' => {
                let numbers = self.numbers(5);
                self.longs(&numbers, false)
            }
            'p' => {
                let number = self.number();
                self.longs(&[number], true)
            }
            's' => {
                let value = self.number() as f32 * 0.5;
                let (data_type, float_data) = (DataType::Float as i32, vec![value]);
                self.constant(TensorProto { data_type, float_data, ..TensorProto::default() })
            }
            // scales of a resizing
            'S' => {
                let float_data: Vec<f32> = (0..4).map(|_| self.number() as f32 * 0.5).collect();
                let data_type = DataType::Float as i32;
                self.constant(TensorProto { dims: vec![4], data_type, float_data, ..TensorProto::default() })
            }
            // none
            'e' => String::new(),
            _ => {
                let small = [1, 1, 2, 3, 3, 4, 8, 16];
                let dims = (0..[4, 4, 1, 2, 3, 0][self.below(6)]).map(|_| small[self.below(8)]).collect();
                self.floats(dims)
            }
        }
    }

    fn attribute(&mut self, name: &str, kind: char) -> AttributeProto {
        let mut made = AttributeProto { name: name.into(), ..AttributeProto::default() };
        let ints = |made: &mut AttributeProto, ints: Vec<i64>| {
            made.ints = ints;
            made.r#type = AttributeType::Ints as i32;
        };
        match kind {
            'w' => {
                let pair = vec![self.number(), self.number()];
                ints(&mut made, pair);
            }
            'W' => {
                let four = (0..4).map(|_| self.number()).collect();
                ints(&mut made, four);
            }
            'l' => {
                let list = self.numbers(5);
                ints(&mut made, list);
            }
            'f' => {
                made.f = self.number() as f32 * 0.1;
                made.r#type = AttributeType::Float as i32;
            }
            'm' => {
                made.s = [&b"nearest"[..], b"linear", b"cubic"][self.below(3)].to_vec();
                made.r#type = AttributeType::String as i32;
            }
            'k' => {
                made.i = [1, 7, 6, 9, 11, 2, 10, 3][self.below(8)];
                made.r#type = AttributeType::Int as i32;
            }
            _ => {
                made.i = self.number();
                made.r#type = AttributeType::Int as i32;
            }
        }
        made
    }

    fn node(&mut self) {
        let (operation, inputs, attributes) = OPERATIONS[self.below(OPERATIONS.len())];
        let input: Vec<String> = inputs.chars().map(|kind| self.input(kind)).collect();
        let attribute = attributes.iter().map(|&(name, kind)| (self.below(4), name, kind)).collect::<Vec<_>>();
        let attribute = attribute
            .into_iter()
            .filter(|(given, ..)| *given > 0)
            .map(|(_, n, kind)| self.attribute(n, kind))
            .collect();
        let name = format!("n{}", self.graph.node.len());
        let outputs = if matches!(operation, "Split" | "TopK") { 2 } else { 1 };
        let output: Vec<String> = (0..outputs).map(|slot| format!("{name}.{slot}")).collect();
        self.values.extend(output.iter().cloned());
        let op_type = operation.into();
        self.graph.node.push(NodeProto { name, op_type, input, output, attribute, ..NodeProto::default() });
    }
}
