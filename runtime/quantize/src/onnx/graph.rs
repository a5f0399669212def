//! An ONNX graph as it stands in its file: what it takes and gives, where its last convolutions are, parts of it.
//!
//! Exports end in what a program needs after the network: softmax, anchors, sigmoid, sorting. Here such a graph is
//! ended earlier ([`OnnxGraph::ended_at`]), and what was cut off can be run alone ([`OnnxGraph::behind`]), so that
//! whoever replaces it can be held to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Extent;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use tract_onnx::prelude::*;

use super::{Parsed, bounds, guarded, output_shapes, rewrite, run, runnable, words};

/// A graph within [`bounds`], in float32 throughout.
#[derive(Clone)]
pub struct OnnxGraph {
    proto: ModelProto,
    /// Size of the file.
    bytes: usize,
    /// It was made for several pictures at once; it is run on one.
    batched: bool,
}

/// A declared input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its extents; `None` for those that the file leaves open.
    pub extents: Vec<Option<usize>>,
}

/// A convolution behind which outputs are no longer made by convolutions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastConvolution {
    /// The tensor that it writes.
    pub own: String,
    /// That tensor with the constants that are added to it and multiply it; the same if there are none.
    pub name: String,
}

/// Extents of an output, and its values in row-major order.
pub type Values = (Vec<usize>, Vec<f32>);

impl OnnxGraph {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// What is wrong with it, or which limit it exceeds.
    pub fn read(bytes: &[u8]) -> Result<OnnxGraph, String> {
        let mut rest = bytes;
        let read = guarded(|| tract_onnx::onnx().proto_model_for_read(&mut rest).map_err(|e| words(&e)));
        let proto =
            read.map_err(|what| format!("it is no ONNX network, or a part of one; copy or export it again: {what}"))?;
        OnnxGraph::of(proto, bytes.len())
    }

    /// What a file of so many bytes holds.
    ///
    /// # Errors
    /// As for [`OnnxGraph::read`].
    pub fn of(mut proto: ModelProto, bytes: usize) -> Result<OnnxGraph, String> {
        bounds::check(&proto)?;
        let batched = rewrite::rewrite(&mut proto)?;
        if let Some(graph) = &proto.graph {
            finite_weights(graph)?;
        }
        Ok(OnnxGraph { proto, bytes, batched })
    }

    /// Whether the file was made for several pictures at once. What decodes them behind the network may then not run.
    pub fn is_batched(&self) -> bool {
        self.batched
    }

    /// What the exporter wrote beside the network, by key.
    pub fn metadata(&self) -> BTreeMap<&str, &str> {
        self.proto.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
    }

    /// Inputs that are no constants.
    pub fn inputs(&self) -> Vec<Declared> {
        let Some(graph) = &self.proto.graph else { return Vec::new() };
        let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        graph.input.iter().filter(|value| !constants.contains(value.name.as_str())).map(declared).collect()
    }

    /// Outputs.
    pub fn outputs(&self) -> Vec<Declared> {
        self.proto.graph.iter().flat_map(|graph| &graph.output).map(declared).collect()
    }

    /// The tensors at which the outputs are no longer made by convolutions: each is the result of a convolution with
    /// trained weights (and of constants that are added to it or multiply it), and no way from it to an output leads
    /// through another. In the order of the file.
    pub fn last_convolutions(&self) -> Vec<LastConvolution> {
        let Some(graph) = &self.proto.graph else { return Vec::new() };
        let ends = Ends::of(graph);
        let mut waiting: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        let mut seen: HashSet<&str> = waiting.iter().copied().collect();
        let mut found: Vec<usize> = Vec::new();
        while let Some(name) = waiting.pop() {
            let Some(&writer) = ends.writers.get(name) else { continue };
            if ends.is_trained(&graph.node[writer]) {
                found.push(writer);
                continue;
            }
            if SIZES.contains(&graph.node[writer].op_type.as_str()) {
                continue; // it asks for extents, not for values
            }
            let read = graph.node[writer].input.iter().map(String::as_str);
            waiting.extend(read.filter(|name| !name.is_empty() && seen.insert(name)));
        }
        found.sort_unstable();
        let of = |own: &String| LastConvolution { own: own.clone(), name: ends.past_constants(own) };
        found.iter().filter_map(|&node| graph.node[node].output.first()).map(of).collect()
    }

    /// What the softmax reads that writes the only output; `None` if something else writes it.
    pub fn before_softmax(&self) -> Option<String> {
        let graph = self.proto.graph.as_ref()?;
        let [output] = graph.output.as_slice() else { return None };
        let node = graph.node.iter().find(|node| node.output.contains(&output.name))?;
        node.input.first().filter(|_| node.op_type == "Softmax").cloned()
    }

    /// The non-maximum suppression; `None` if there are none or several.
    fn only_suppression(&self) -> Option<&NodeProto> {
        let nodes = &self.proto.graph.as_ref()?.node;
        let mut found = nodes.iter().filter(|node| node.op_type == "NonMaxSuppression");
        found.next().filter(|_| found.next().is_none())
    }

    /// What the only non-maximum suppression reads: corners of boxes (1, boxes, 4), scores (1, classes, boxes). `None` if
    /// there is none, or several, or it reads centres and sizes.
    pub fn before_suppression(&self) -> Option<[String; 2]> {
        let node = self.only_suppression()?;
        let has_centres =
            node.attribute.iter().any(|attribute| attribute.name == "center_point_box" && attribute.i != 0);
        match node.input.as_slice() {
            [boxes, scores, ..] if !has_centres => Some([boxes.clone(), scores.clone()]),
            _ => None,
        }
    }

    /// The overlap (intersection over union) above which the only non-maximum suppression suppresses; `None` if there is
    /// none, or several, or the file does not tell.
    pub fn suppression_overlap(&self) -> Option<f32> {
        let graph = self.proto.graph.as_ref()?;
        let name = self.only_suppression()?.input.get(3).filter(|name| !name.is_empty())?;
        let written = graph.node.iter().find(|node| node.op_type == "Constant" && node.output.contains(name));
        let tensor = match written {
            Some(node) => node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?,
            None => graph.initializer.iter().find(|tensor| tensor.name == *name)?,
        };
        floats(tensor).next().filter(|overlap| (0.0..=1.0).contains(overlap))
    }

    /// Where the graph may be ended so that nothing in it chooses rows by their values, each by its tensors, the nearest
    /// to its end first: what a non-maximum suppression reads, and single tensors through which all goes that depends
    /// on the inputs.
    pub fn before_choice(&self) -> Vec<Vec<String>> {
        let Some(graph) = &self.proto.graph else { return Vec::new() };
        let ends = Ends::of(graph);
        let depends = |name: &&str| !ends.constants.contains_key(name);
        // those that are read later on
        let mut waiting: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).filter(depends).collect();
        let mut single = Vec::new();
        for (index, node) in graph.node.iter().enumerate() {
            if CHOICES.contains(&node.op_type.as_str()) {
                break;
            }
            if !node.output.iter().any(|name| depends(&name.as_str())) {
                continue;
            }
            waiting.extend(node.output.iter().map(String::as_str));
            waiting.retain(|name| ends.is_read_behind(index, name));
            single.extend(waiting.iter().filter(|_| waiting.len() == 1).map(|name| vec![(*name).to_owned()]));
        }
        let suppression = self.before_suppression().map(Vec::from);
        suppression.into_iter().chain(single.into_iter().rev().take(SINGLE_MAX)).collect()
    }

    /// The graph, ended at the tensors of these names; whole if there are none.
    ///
    /// # Errors
    /// The name that no node writes.
    pub fn ended_at(mut self, names: &[String]) -> Result<OnnxGraph, String> {
        if names.is_empty() {
            return Ok(self);
        }
        let graph = self.proto.graph.as_mut().ok_or("it holds no graph")?;
        let written: HashSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
        if let Some(name) = names.iter().find(|name| !written.contains(name)) {
            return Err(format!("`head.outputs` names {name:?}, which no node of it writes; correct the manifest"));
        }
        graph.output = names.iter().map(|name| ValueInfoProto { name: name.clone(), ..Default::default() }).collect();
        keep_needed(graph, &HashSet::new());
        Ok(self)
    }

    /// What follows the tensors of these names and shapes, as a graph of its own that reads them; and the input, of
    /// shape `input`, where a part of it does not lead through them (exports that are dynamic ask for its size).
    ///
    /// # Errors
    /// If there is no graph.
    pub fn behind(mut self, tensors: &[(String, Vec<usize>)], input: &[usize]) -> Result<OnnxGraph, String> {
        let whole = self.inputs();
        let graph = self.proto.graph.as_mut().ok_or("it holds no graph")?;
        let names: HashSet<String> = tensors.iter().map(|(name, _)| name.clone()).collect();
        keep_needed(graph, &names);
        let read: HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
        let more = whole.iter().filter(|declared| read.contains(&declared.name)).map(|d| value(&d.name, input));
        graph.input = tensors.iter().map(|(name, shape)| value(name, shape)).chain(more).collect();
        // an output that is one of them is a copy of it
        for (index, output) in graph.output.iter_mut().enumerate().filter(|(_, output)| names.contains(&output.name)) {
            let copy = format!("{} (copy {index})", output.name);
            let (input, output) = (vec![std::mem::replace(&mut output.name, copy.clone())], vec![copy]);
            graph.node.push(NodeProto { op_type: "Identity".to_owned(), input, output, ..Default::default() });
        }
        Ok(self)
    }

    /// Whether the file states rounding (QDQ): of its weights, and most often of its values.
    pub fn states_rounding(&self) -> bool {
        self.proto.graph.iter().flat_map(|graph| &graph.node).any(|node| node.op_type == "DequantizeLinear")
    }

    /// The graph without the rounding of its values that the file states (`QuantizeLinear` and `DequantizeLinear` behind
    /// it); weights stay rounded.
    pub fn without_stated_rounding(mut self) -> OnnxGraph {
        if let Some(graph) = &mut self.proto.graph {
            let quantized: HashMap<String, String> = graph
                .node
                .iter()
                .filter(|node| node.op_type == "QuantizeLinear")
                .filter_map(|node| Some((node.output.first()?.clone(), node.input.first()?.clone())))
                .collect();
            for node in graph.node.iter_mut().filter(|node| node.op_type == "DequantizeLinear") {
                if let Some(origin) = node.input.first().and_then(|name| quantized.get(name)) {
                    node.op_type = "Identity".to_owned();
                    node.input = vec![origin.clone()];
                    node.attribute.clear();
                }
            }
            keep_needed(graph, &HashSet::new());
        }
        self
    }

    /// Shapes of the outputs where the only input has this one.
    ///
    /// # Errors
    /// The node, and what is wrong with it.
    pub fn output_shapes(self, input: [usize; 4]) -> Result<Vec<Vec<usize>>, String> {
        let mut parsed = self.parsed()?;
        parsed.model.set_input_fact(0, f32::fact(input).into()).map_err(|e| words(&e))?;
        output_shapes(&parsed.typed()?)
    }

    /// The graph with this shape for its input, where it has one.
    pub fn with_input(mut self, shape: &[usize]) -> OnnxGraph {
        let inputs = self.inputs();
        if let (Some(graph), [input]) = (&mut self.proto.graph, &inputs[..]) {
            graph.input = vec![value(&input.name, shape)];
        }
        self
    }

    /// Runs a graph whose inputs have fixed extents once on `inputs`, flat and in row-major order; on zeros where there
    /// are none.
    ///
    /// # Errors
    /// The node, and what is wrong with it; or that an output is not of numbers.
    pub fn evaluate(self, inputs: &[Vec<f32>]) -> Result<Vec<Values>, String> {
        let declared = self.inputs();
        let mut tensors = tvec!();
        for (index, input) in declared.iter().enumerate() {
            let shape: Vec<usize> = input.extents.iter().map(|extent| extent.unwrap_or(1)).collect();
            let made = match inputs.get(index) {
                Some(values) => Tensor::from_shape(&shape, values),
                None => Tensor::zero::<f32>(&shape),
            };
            tensors.push(made.map_err(|e| words(&e))?.into_tvalue());
        }
        let plan = runnable(self.parsed()?.typed()?)?;
        let mut state = plan.spawn().map_err(|e| words(&e))?;
        let outputs = run(&mut state, tensors)?;
        let float = |value: &TValue| {
            let cast = value.cast_to::<f32>().map_err(|e| words(&e))?;
            let plain = cast.as_plain_ram().ok_or("an output is not of numbers")?;
            Ok((value.shape().to_vec(), plain.as_slice::<f32>().map_err(|e| words(&e))?.to_vec()))
        };
        outputs.iter().map(float).collect()
    }

    /// As tract understands it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parsed(self) -> Result<Parsed, String> {
        let OnnxGraph { proto, bytes, .. } = self;
        // what a file says of shapes between its ends is right for its own input only
        let tract = tract_onnx::onnx().with_ignore_value_info(true);
        let model = guarded(|| tract.model_for_proto_model(&proto).map_err(|e| words(&e)))?;
        Ok(Parsed { model, bytes })
    }
}

/// Operations whose constants are weights.
const WEIGHTED: [&str; 5] = ["Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"];

/// The numbers of a tensor of float32.
fn floats(tensor: &TensorProto) -> impl Iterator<Item = f32> {
    let raw = tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    raw.chain(tensor.float_data.iter().copied())
}

/// What a weight that is no number comes to is not seen in the outputs for sure: comparisons on the way make numbers of it.
fn finite_weights(graph: &GraphProto) -> Result<(), String> {
    let constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    for node in graph.node.iter().filter(|node| WEIGHTED.contains(&node.op_type.as_str())) {
        for tensor in node.input.iter().filter_map(|name| constants.get(name.as_str())) {
            let is_float = tensor.data_type == DataType::Float as i32;
            let found = floats(tensor).enumerate().find(|(_, value)| !value.is_finite());
            if let Some((at, value)) = found.filter(|_| is_float) {
                return Err(format!(
                    "node {:?} ({}): value {at} of its constant {:?} is {value}; the training went wrong, or the file is \
                     damaged: export it again",
                    node.name, node.op_type, tensor.name
                ));
            }
        }
    }
    Ok(())
}

/// Who writes a tensor, who reads it, and which do not depend on the input.
struct Ends<'a> {
    graph: &'a GraphProto,
    writers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    constants: HashMap<&'a str, Option<&'a [i64]>>,
    outputs: HashSet<&'a str>,
}

/// Operations that tell extents.
const SIZES: [&str; 2] = ["Shape", "Size"];

/// Operations that choose rows by their values, how many nobody knows beforehand.
const CHOICES: [&str; 3] = ["NonZero", "NonMaxSuppression", "TopK"];

/// Most single tensors that are told before a choice: operations behind the last concatenation are few.
const SINGLE_MAX: usize = 4;

/// Operations behind a convolution that still belong to it where all that they read beside it is constant.
const BELONGING: [&str; 5] = ["Add", "Mul", "Cast", "Identity", "BatchNormalization"];

impl<'a> Ends<'a> {
    /// Whether a node behind `index`, or who runs the graph, reads a tensor.
    fn is_read_behind(&self, index: usize, name: &str) -> bool {
        let last = self.readers.get(name).and_then(|readers| readers.last());
        self.outputs.contains(name) || last.is_some_and(|&reader| reader > index)
    }

    fn of(graph: &'a GraphProto) -> Ends<'a> {
        let mut ends = Ends {
            graph,
            writers: HashMap::new(),
            readers: HashMap::new(),
            constants: graph.initializer.iter().map(|t| (t.name.as_str(), Some(t.dims.as_slice()))).collect(),
            outputs: graph.output.iter().map(|output| output.name.as_str()).collect(),
        };
        for (index, node) in graph.node.iter().enumerate() {
            ends.writers.extend(node.output.iter().map(|name| (name.as_str(), index)));
            let read: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            read.iter().for_each(|name| ends.readers.entry(name).or_default().push(index));
            if read.iter().all(|name| ends.constants.contains_key(name)) {
                // scales keep the extents of what they scale
                let extents = read.first().and_then(|name| *ends.constants.get(name)?);
                ends.constants.extend(node.output.iter().map(|name| (name.as_str(), extents)));
            }
        }
        ends
    }

    /// A convolution with trained weights; one that only sums what softmax gave (one output, no bias) is none.
    fn is_trained(&self, node: &NodeProto) -> bool {
        let Some(weights) = node.input.get(1).and_then(|name| self.constants.get(name.as_str())) else { return false };
        let has_bias = node.input.get(2).is_some_and(|name| !name.is_empty());
        node.op_type == "Conv" && (has_bias || weights.is_none_or(|extents| extents.first() != Some(&1)))
    }

    /// The tensor behind `name` once constants were added to it and multiplied with it.
    fn past_constants(&self, name: &'a str) -> String {
        let mut name = name;
        while !self.outputs.contains(name) {
            let Some([reader]) = self.readers.get(name).map(Vec::as_slice) else { break };
            let node = &self.graph.node[*reader];
            let others = node.input.iter().filter(|other| *other != name && !other.is_empty());
            let belongs = BELONGING.contains(&node.op_type.as_str())
                && others.clone().all(|other| {
                    // one number, or one a channel: (c, 1, 1) and the like
                    let extents = self.constants.get(other.as_str()).map(|e| e.unwrap_or(&[]));
                    extents.is_some_and(|extents| extents.iter().filter(|e| **e != 1).count() <= 1)
                });
            let Some(output) = node.output.first().filter(|_| belongs) else { break };
            name = output;
        }
        name.to_owned()
    }
}

/// Drops nodes and constants that no output needs; what makes the tensors of `given` is not looked at.
fn keep_needed(graph: &mut GraphProto, given: &HashSet<String>) {
    let mut needed: HashSet<&String> = graph.output.iter().map(|output| &output.name).collect();
    let mut keep = vec![false; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| needed.contains(name) && !given.contains(name)) {
            keep[index] = true;
            needed.extend(node.input.iter());
        }
    }
    let needed: HashSet<String> = needed.into_iter().cloned().collect();
    let mut keep = keep.into_iter();
    graph.node.retain(|_| keep.next().unwrap_or(false));
    // older exporters declare constants as inputs too
    let dropped: HashSet<String> =
        graph.initializer.iter().map(|tensor| &tensor.name).filter(|name| !needed.contains(*name)).cloned().collect();
    graph.input.retain(|input| !dropped.contains(&input.name));
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
}

fn declared(value: &ValueInfoProto) -> Declared {
    let shape = value
        .r#type
        .as_ref()
        .and_then(|t| t.value.as_ref())
        .and_then(|type_proto::Value::TensorType(tensor)| tensor.shape.as_ref());
    let extent = |dimension: &Dimension| match &dimension.value {
        Some(Extent::DimValue(extent)) => usize::try_from(*extent).ok().filter(|extent| *extent > 0),
        _ => None,
    };
    Declared { name: value.name.clone(), extents: shape.iter().flat_map(|shape| &shape.dim).map(extent).collect() }
}

fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim =
        |extent: &usize| Dimension { value: Some(dimension::Value::DimValue(*extent as i64)), ..Dimension::default() };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}
