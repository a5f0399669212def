//! A file in other numbers becomes one in float32, before tract sees it.
//!
//! | in the file | here |
//! |---|---|
//! | half precision | float32 of the same values |
//! | dynamic quantization (`DynamicQuantizeLinear`, `ConvInteger`, `MatMulInteger`) | the weights times one, in float32; the scales stay |
//! | a batch of several pictures | one picture |
//! | pictures of one channel, grey | of three, whose luma the first node takes |
//! | nodes in any order | each behind those that it reads |

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Extent;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, type_proto};
use tract_onnx::prelude::f16;

const FLOAT: i32 = DataType::Float as i32;
const HALF: i32 = DataType::Float16 as i32;

/// Rewrites a graph within its bounds; tells whether it was made for a batch of several pictures.
///
/// # Errors
/// The constant that cannot be rewritten, and why.
pub(super) fn rewrite(proto: &mut ModelProto) -> Result<bool, String> {
    let Some(graph) = &mut proto.graph else { return Ok(false) };
    sort(graph)?;
    to_float32(graph)?;
    without_dynamic_scales(graph)?;
    in_colour(graph);
    Ok(one_picture(graph))
}

/// Puts each node behind those that it reads, and else in the order of the file (Kahn, "Topological sorting of large
/// networks", 1962).
fn sort(graph: &mut GraphProto) -> Result<(), String> {
    let nodes = std::mem::take(&mut graph.node);
    let mut writers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        writers.extend(node.output.iter().filter(|name| !name.is_empty()).map(|name| (name.as_str(), index)));
    }
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut missing = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for writer in node.input.iter().filter_map(|name| writers.get(name.as_str())) {
            readers[*writer].push(index);
            missing[index] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&index| missing[index] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &reader in &readers[index] {
            missing[reader] -= 1;
            if missing[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if let Some(stuck) = missing.iter().position(|&missing| missing > 0) {
        return Err(format!(
            "node {:?} ({}): it needs its own result",
            nodes[stuck].name,
            nodes[stuck].op_type.escape_debug()
        ));
    }
    let mut nodes: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
    graph.node = order.into_iter().filter_map(|index| nodes[index].take()).collect();
    Ok(())
}

/// Half precision becomes float32: constants, casts, inputs.
fn to_float32(graph: &mut GraphProto) -> Result<(), String> {
    graph.initializer.iter_mut().try_for_each(widen)?;
    for node in &mut graph.node {
        let is_cast = node.op_type == "Cast";
        for attribute in &mut node.attribute {
            attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(widen)?;
            if is_cast && attribute.name == "to" && attribute.i == i64::from(HALF) {
                attribute.i = i64::from(FLOAT);
            }
        }
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|t| t.value.as_mut())
            && tensor.elem_type == HALF
        {
            tensor.elem_type = FLOAT;
        }
    }
    Ok(())
}

fn widen(tensor: &mut TensorProto) -> Result<(), String> {
    if tensor.data_type != HALF {
        return Ok(());
    }
    let bits: Vec<u16> = if tensor.raw_data.is_empty() {
        tensor.int32_data.iter().map(|&bits| bits as u16).collect()
    } else {
        tensor.raw_data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    tensor.int32_data.clear();
    tensor.raw_data = bits.iter().flat_map(|&bits| f16::from_bits(bits).to_f32().to_le_bytes()).collect();
    tensor.data_type = FLOAT;
    Ok(())
}

/// `DynamicQuantizeLinear` gives bytes, a scale and a zero point: here the values themselves, 1 and 0. Products of
/// whole numbers become products of float32.
fn without_dynamic_scales(graph: &mut GraphProto) -> Result<(), String> {
    if !graph.node.iter().any(|node| node.op_type == "DynamicQuantizeLinear") {
        return Ok(());
    }
    let mut ones: Vec<TensorProto> = Vec::new();
    let mut products: Vec<(String, Option<String>)> = Vec::new();
    for node in &mut graph.node {
        match node.op_type.as_str() {
            "DynamicQuantizeLinear" => {
                let [_, scale, zero] = node.output.as_slice() else {
                    return Err(format!("node {:?} (DynamicQuantizeLinear): it has not three outputs", node.name));
                };
                ones.push(scalar(scale, 1.0));
                ones.push(scalar(zero, 0.0));
                node.op_type = "Identity".to_owned();
                node.output.truncate(1);
            }
            "ConvInteger" | "MatMulInteger" => {
                let [_, weights, rest @ ..] = node.input.as_slice() else {
                    return Err(format!("node {:?} ({}): it has no weights", node.name, node.op_type.escape_debug()));
                };
                products.push((weights.clone(), rest.get(1).filter(|zero| !zero.is_empty()).cloned()));
                node.op_type = node.op_type.trim_end_matches("Integer").to_owned();
                node.input.truncate(2);
            }
            _ => {}
        }
    }
    let constants: HashMap<&str, usize> =
        graph.initializer.iter().enumerate().map(|(index, tensor)| (tensor.name.as_str(), index)).collect();
    let mut made: HashMap<usize, TensorProto> = HashMap::new();
    for (weights, zero) in &products {
        let at = |name: &str| constants.get(name).copied();
        let index =
            at(weights).ok_or_else(|| format!("constant {weights:?}: weights of whole numbers are computed"))?;
        let zeros = match zero.as_deref() {
            None => vec![0.0],
            Some(name) => {
                let tensor = at(name).and_then(|index| graph.initializer.get(index));
                whole(tensor.ok_or_else(|| format!("constant {name:?}: a zero point is computed"))?)?
            }
        };
        made.insert(index, float_weights(&graph.initializer[index], &zeros)?);
    }
    made.into_iter().for_each(|(index, tensor)| graph.initializer[index] = tensor);
    graph.initializer.extend(ones);
    Ok(())
}

/// Weights less their zero point, of which there is one, or one for each output channel.
fn float_weights(tensor: &TensorProto, zeros: &[f32]) -> Result<TensorProto, String> {
    let values = whole(tensor)?;
    let each = values.len().checked_div(zeros.len()).filter(|each| *each > 0 && each * zeros.len() == values.len());
    let each = each.ok_or_else(|| format!("constant {:?}: its zero points do not fit its channels", tensor.name))?;
    let raw_data = values.iter().enumerate().flat_map(|(at, value)| (value - zeros[at / each]).to_le_bytes()).collect();
    Ok(TensorProto {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        data_type: FLOAT,
        raw_data,
        ..Default::default()
    })
}

/// Bytes with or without sign as numbers.
fn whole(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    let signed = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int8) => true,
        Ok(DataType::Uint8) => false,
        _ => return Err(format!("constant {:?}: a factor of whole numbers is not of bytes", tensor.name)),
    };
    if tensor.raw_data.is_empty() {
        return Ok(tensor.int32_data.iter().map(|&value| value as f32).collect());
    }
    Ok(tensor.raw_data.iter().map(|&byte| if signed { f32::from(byte as i8) } else { f32::from(byte) }).collect())
}

fn scalar(name: &str, value: f32) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: FLOAT,
        raw_data: value.to_le_bytes().to_vec(),
        ..TensorProto::default()
    }
}

/// Luma of red, green and blue by BT.601, as OpenCV and Pillow make grey of colours.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
/// The most tensors whose names are looked at for a free one.
const NAMES_MAX: usize = 1000;

/// Where the only input is a picture of one channel, (n, 1, h, w), it becomes one of three, and a convolution in front of
/// the network makes grey of it.
fn in_colour(graph: &mut GraphProto) {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut inputs = graph.input.iter_mut().filter(|input| !constants.contains(input.name.as_str()));
    let (Some(input), None) = (inputs.next(), inputs.next()) else { return };
    let name = input.name.clone();
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
        return;
    };
    let Some([_, channels, ..]) = tensor.shape.as_mut().map(|shape| &mut shape.dim[..]).filter(|dim| dim.len() == 4)
    else {
        return;
    };
    // a last extent of three is a picture in colour whose channels come last
    if !matches!(channels.value, Some(Extent::DimValue(1))) || tensor.elem_type != FLOAT {
        return;
    }
    let taken: HashSet<&str> = graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    let free = |what: &str| {
        let names = (0..NAMES_MAX).map(|count| format!("{name}/{what}{count}"));
        names.into_iter().find(|name| !taken.contains(name.as_str()) && !constants.contains(name.as_str()))
    };
    let (Some(grey), Some(weights)) = (free("grey"), free("luma")) else { return };
    channels.value = Some(Extent::DimValue(LUMA.len() as i64));
    for read in graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|read| **read == name) {
        read.clone_from(&grey);
    }
    graph.initializer.push(TensorProto {
        name: weights.clone(),
        dims: vec![1, LUMA.len() as i64, 1, 1],
        data_type: FLOAT,
        raw_data: LUMA.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
        ..TensorProto::default()
    });
    graph.node.insert(
        0,
        NodeProto {
            name: grey.clone(),
            op_type: "Conv".to_owned(),
            input: vec![name, weights],
            output: vec![grey],
            ..NodeProto::default()
        },
    );
}

/// Where the only input is a batch of several pictures, shapes that were exported for it become those of one. Whether it
/// is.
fn one_picture(graph: &mut GraphProto) -> bool {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut inputs = graph.input.iter_mut().filter(|input| !constants.contains(input.name.as_str()));
    let (Some(input), None) = (inputs.next(), inputs.next()) else { return false };
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
        return false;
    };
    let Some(dimensions) = tensor.shape.as_mut().map(|shape| &mut shape.dim).filter(|dim| dim.len() == 4) else {
        return false;
    };
    let Some(Extent::DimValue(batch)) = dimensions[0].value else { return false };
    if batch <= 1 {
        return false;
    }
    dimensions[0].value = Some(Extent::DimValue(1));
    let shapes: HashSet<String> = graph.node.iter().filter_map(shape_input).cloned().collect();
    for tensor in graph.initializer.iter_mut().filter(|tensor| shapes.contains(&tensor.name)) {
        unbatch(tensor, batch);
    }
    for node in graph.node.iter_mut().filter(|node| node.output.first().is_some_and(|name| shapes.contains(name))) {
        node.attribute
            .iter_mut()
            .filter_map(|attribute| attribute.t.as_mut())
            .for_each(|tensor| unbatch(tensor, batch));
    }
    true
}

/// The input of a node that holds a whole shape, the batch first.
fn shape_input(node: &NodeProto) -> Option<&String> {
    let place = match node.op_type.as_str() {
        "Reshape" | "Expand" => 1,
        "Resize" => 3,
        _ => return None,
    };
    node.input.get(place).filter(|name| !name.is_empty())
}

fn unbatch(tensor: &mut TensorProto, batch: i64) {
    if tensor.data_type != DataType::Int64 as i32 {
        return;
    }
    if tensor.int64_data.first() == Some(&batch) {
        tensor.int64_data[0] = 1;
    }
    if let Some(first) = tensor.raw_data.first_chunk_mut::<8>()
        && i64::from_le_bytes(*first) == batch
    {
        *first = 1i64.to_le_bytes();
    }
}
