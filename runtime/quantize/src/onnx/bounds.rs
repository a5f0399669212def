//! What a file may ask for before tract sees it.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

/// Most nodes, and most constants beside them.
pub const NODES_MAX: usize = 4096;
/// Most values that nodes read and write, all together.
pub const ENDS_MAX: usize = 16 * NODES_MAX;
/// Most values of a tensor.
pub const VALUES_MAX: u64 = 1 << 28;
/// Most extents of a tensor.
pub const AXES_MAX: usize = 12;
/// Most places of a window.
pub const WINDOW_MAX: u64 = 1 << 16;
/// Largest step, distance and padding of a window.
pub const STEP_MAX: i64 = 1 << 14;

/// Checks a network.
///
/// # Errors
/// The node, tensor or limit, and the cure.
pub fn check(proto: &ModelProto) -> Result<(), String> {
    let graph = proto.graph.as_ref().ok_or("it holds no graph: it is no ONNX network")?;
    let counts = [graph.node.len(), graph.initializer.len(), graph.input.len() + graph.output.len()];
    if let Some(count) = counts.into_iter().find(|&count| count > NODES_MAX) {
        return Err(format!(
            "it has {count} nodes or constants, more than the limit of {NODES_MAX}; simplify it (onnxsim), or end it earlier"
        ));
    }
    let ends: usize = graph.node.iter().map(|node| node.input.len() + node.output.len()).sum();
    if ends > ENDS_MAX {
        return Err(format!("its nodes read and write {ends} values, more than the limit of {ENDS_MAX}"));
    }
    for tensor in &graph.initializer {
        constant(tensor).map_err(|what| format!("constant {:?}: {what}", tensor.name))?;
    }
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse.values.as_ref().map_or("", |values| &values.name);
        return Err(format!("constant {name:?}: it is sparse; export it dense"));
    }
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        declared(value).map_err(|what| format!("value {:?}: {what}", value.name))?;
    }
    for node in &graph.node {
        let named = |what| format!("node {:?} ({}): {what}", name(node), node.op_type.escape_debug());
        node.attribute.iter().try_for_each(attribute).map_err(named)?;
    }
    ends_exist(graph)
}

/// A node's name, or that of what it writes.
fn name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// Somebody writes every output.
fn ends_exist(graph: &GraphProto) -> Result<(), String> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let constants = graph.initializer.iter().map(|tensor| &tensor.name);
    let written: HashSet<&String> =
        graph.node.iter().flat_map(|node| &node.output).chain(inputs).chain(constants).collect();
    match graph.output.iter().find(|output| !written.contains(&output.name)) {
        None => Ok(()),
        Some(output) => Err(format!("output {:?}: nothing writes it", output.name)),
    }
}

/// Values of a tensor of these extents.
fn values(extents: impl IntoIterator<Item = i64>) -> Result<u64, String> {
    let (mut product, mut extended, mut axes) = (1u64, 1u64, 0);
    for extent in extents {
        let extent = u64::try_from(extent).map_err(|_| format!("its extent {extent} is below zero"))?;
        product = product.saturating_mul(extent);
        extended = extended.saturating_mul(extent.max(1)); // one of zero makes no other smaller
        axes += 1;
    }
    if axes > AXES_MAX {
        return Err(format!("it has {axes} extents, more than {AXES_MAX}"));
    }
    if extended > VALUES_MAX { Err(format!("it has more than {VALUES_MAX} values")) } else { Ok(product) }
}

fn constant(tensor: &TensorProto) -> Result<(), String> {
    let count = values(tensor.dims.iter().copied())?;
    if tensor.data_location == Some(1) {
        return Err("its values lie in another file; save the network in one file".into());
    }
    let size = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint8 | DataType::Int8 | DataType::Bool) => 1,
        Ok(DataType::Uint16 | DataType::Int16 | DataType::Float16) => 2,
        Ok(DataType::Uint32 | DataType::Int32 | DataType::Float) => 4,
        Ok(DataType::Uint64 | DataType::Int64 | DataType::Double) => 8,
        Ok(DataType::String) if tensor.raw_data.is_empty() => 0,
        _ => return Err(format!("no rule for its data type {}", tensor.data_type)),
    };
    let found = if tensor.raw_data.is_empty() {
        let typed = [
            tensor.float_data.len(),
            tensor.int32_data.len(),
            tensor.int64_data.len(),
            tensor.double_data.len(),
            tensor.uint64_data.len(),
            tensor.string_data.len(),
        ];
        typed.into_iter().max().unwrap_or(0) as u64
    } else {
        let bytes = tensor.raw_data.len() as u64;
        if !bytes.is_multiple_of(size) {
            return Err("a value is cut".into());
        }
        bytes / size
    };
    if found == count { Ok(()) } else { Err(format!("it holds {found} values, its extents say {count}")) }
}

/// A value that is declared with its shape, or parts of it.
fn declared(value: &ValueInfoProto) -> Result<(), String> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Ok(());
    };
    let extents = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|extent| match &extent.value {
        Some(Value::DimValue(extent)) => (*extent).max(0),
        _ => 1,
    });
    values(extents).map(|_| ())
}

fn attribute(attribute: &AttributeProto) -> Result<(), String> {
    let AttributeProto { name, ints, .. } = attribute;
    if attribute.g.is_some() || !attribute.graphs.is_empty() {
        return Err("it holds a network of its own; export without control flow (If, Loop, Scan)".into());
    }
    attribute.t.iter().chain(&attribute.tensors).try_for_each(constant)?;
    if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
        return Err("its constant is sparse; export it dense".into());
    }
    match name.as_str() {
        "axis" if attribute.i.unsigned_abs() > AXES_MAX as u64 => {
            return Err(format!("there is no axis {}", attribute.i));
        }
        "kernel_shape" => {
            let places = ints.iter().try_fold(1u64, |all, &n| Some(all.saturating_mul(u64::try_from(n).ok()?)));
            if places.is_none_or(|places| !(1..=WINDOW_MAX).contains(&places)) {
                return Err(format!("its window {ints:?} has no place or more than {WINDOW_MAX}"));
            }
        }
        "perm" => {
            let mut axes = ints.clone();
            axes.sort_unstable();
            if axes.iter().zip(0..).any(|(axis, at)| *axis != at) {
                return Err(format!("its perm {ints:?} does not name each axis once"));
            }
        }
        "strides" | "dilations" if ints.iter().any(|n| !(1..=STEP_MAX).contains(n)) => {
            return Err(format!("its {name} {ints:?} are not from 1 to {STEP_MAX}"));
        }
        "pads" | "output_padding" if ints.iter().any(|n| !(-STEP_MAX..=STEP_MAX).contains(n)) => {
            return Err(format!("its {name} {ints:?} are not up to {STEP_MAX}"));
        }
        _ => {}
    }
    Ok(())
}
