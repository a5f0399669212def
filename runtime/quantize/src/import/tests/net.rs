//! Small ONNX models, written node by node.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};
use tract_onnx::prelude::*;

pub struct Net {
    graph: GraphProto,
    pub opset: i64,
    state: u32,
    /// Extents of the input `x`.
    pub input: [usize; 4],
}

pub enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

use Attribute::{Float, Int, Ints, Text};

fn value(name: &str, shape: Option<&[usize]>) -> ValueInfoProto {
    let dim = |&n: &usize| Dimension { value: Some(dimension::Value::DimValue(n as i64)), ..Dimension::default() };
    let shape = shape.map(|s| TensorShapeProto { dim: s.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

impl Net {
    pub fn new(input: [usize; 4]) -> Net {
        let graph = GraphProto { name: "net".into(), input: vec![value("x", Some(&input))], ..GraphProto::default() };
        Net { graph, opset: 17, state: 12345, input }
    }

    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn constant(&mut self, name: &str, shape: &[usize], data: Vec<f32>) {
        let dims = shape.iter().map(|&d| d as i64).collect();
        let data_type = DataType::Float as i32;
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type,
            float_data: data,
            ..TensorProto::default()
        });
    }

    pub fn longs(&mut self, name: &str, data: &[i64]) {
        let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(name, &[data.len()], DataType::Int64, raw);
    }

    pub fn raw(&mut self, name: &str, shape: &[usize], kind: DataType, raw: Vec<u8>) {
        let dims = shape.iter().map(|&d| d as i64).collect();
        let data_type = kind as i32;
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type,
            raw_data: raw,
            ..TensorProto::default()
        });
    }

    /// A constant of random numbers in -size..size.
    pub fn noise(&mut self, name: &str, shape: &[usize], size: f32) {
        let data = (0..shape.iter().product()).map(|_| self.random() * size).collect();
        self.constant(name, shape, data);
    }

    /// A node named after its output.
    pub fn node(&mut self, op: &str, output: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) {
        let made = attributes.iter().map(|(name, value)| {
            let mut made = AttributeProto { name: (*name).into(), ..AttributeProto::default() };
            let kind = match value {
                Int(i) => {
                    made.i = *i;
                    AttributeType::Int
                }
                Ints(all) => {
                    made.ints = all.to_vec();
                    AttributeType::Ints
                }
                Float(f) => {
                    made.f = *f;
                    AttributeType::Float
                }
                Text(s) => {
                    made.s = s.as_bytes().to_vec();
                    AttributeType::String
                }
            };
            made.r#type = kind as i32;
            made
        });
        self.graph.node.push(NodeProto {
            name: output.into(),
            op_type: op.into(),
            input: inputs.iter().map(|s| (*s).into()).collect(),
            output: output.split(',').map(Into::into).collect(),
            attribute: made.collect(),
            ..NodeProto::default()
        });
    }

    /// A convolution with random weights.
    pub fn conv(&mut self, output: &str, input: &str, [o, i, k]: [usize; 3], attributes: &[(&str, Attribute<'_>)]) {
        let (w, b) = (format!("{output}.w"), format!("{output}.b"));
        self.noise(&w, &[o, i, k, k], 1.5 / ((i * k * k) as f32).sqrt());
        self.noise(&b, &[o], 0.2);
        self.node("Conv", output, &[input, &w, &b], attributes);
    }

    pub fn proto(&self, outputs: &[&str]) -> ModelProto {
        let mut graph = self.graph.clone();
        graph.output = outputs.iter().map(|o| value(o, None)).collect();
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { version: self.opset, ..OperatorSetIdProto::default() }],
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    pub fn typed(&self, outputs: &[&str]) -> TypedModel {
        let parsed = tract_onnx::onnx().parse(&self.proto(outputs), None).unwrap();
        parsed.model.with_input_fact(0, f32::fact(self.input).into()).unwrap().into_typed().unwrap()
    }

    /// A picture of random numbers in -1..1.
    pub fn picture(&mut self) -> Vec<f32> {
        (0..self.input.iter().product()).map(|_| self.random()).collect()
    }
}
