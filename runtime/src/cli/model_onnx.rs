//! `lapwing model info` of an ONNX file: what it is, how that was found, and which of it runs in eight bits.

use std::collections::BTreeMap;

use lapwing_camera::frame::printable::Printable;
use lapwing_quantize::OnnxNetwork;
use lapwing_quantize::network::RealOp;
use lapwing_quantize::onnx::{Declared, OnnxGraph};
use lapwing_vision::Model;

use super::out::{Failure, Out, complain, line};

/// What is inside.
pub fn info(model: &Model, bytes: &[u8], out: &mut Out) -> Result<(), Failure> {
    let manifest = model.manifest();
    line!(out, "model      {} ({})", Printable(&manifest.name), Printable(model.origin()))?;
    let graph = OnnxGraph::read(bytes).map_err(Failure::Job)?;
    for (kind, values) in [("input", graph.inputs()), ("output", graph.outputs())] {
        for value in values {
            line!(out, "{kind:<10} {}", declared(&value))?;
        }
    }
    let metadata = graph.metadata();
    for key in ["author", "description", "version", "task", "head", "imgsz", "stride", "license"] {
        if let Some(value) = metadata.get(key) {
            line!(out, "metadata   {key} = {}", Printable(value))?;
        }
    }
    match model.why() {
        [] => line!(out, "recognised by its manifest, or by its checksum")?,
        [first, rest @ ..] => {
            line!(out, "recognised {}", Printable(first))?;
            for why in rest {
                line!(out, "           {}", Printable(why))?;
            }
        }
    }
    let names = &manifest.classes.names;
    let more =
        if names.len() > NAMES_SHOWN { format!(", and {} more", names.len() - NAMES_SHOWN) } else { String::new() };
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    line!(out, "classes    {}{more}", Printable(shown))?;
    match model.onnx().map(OnnxNetwork::import) {
        Some(Ok(network)) => eight_bits(&network, out),
        Some(Err(error)) => line!(out, "eight bits none: {error}"),
        None => Ok(()),
    }
}

/// Class names, and nodes in float32, that are told one by one.
const NAMES_SHOWN: usize = 10;
const NODES_SHOWN: usize = 40;

/// `"images" 1x3x?x?`
fn declared(value: &Declared) -> String {
    let extents: Vec<String> = value.extents.iter().map(|e| e.map_or("?".to_owned(), |e| e.to_string())).collect();
    format!("{} {}", Printable(&value.name), extents.join("x"))
}

fn eight_bits(network: &OnnxNetwork, out: &mut Out) -> Result<(), Failure> {
    let float = network.network();
    let convolutions = float.nodes.iter().filter(|node| matches!(node.op, RealOp::Conv(_))).count();
    line!(
        out,
        "eight bits {} nodes, of which {convolutions} convolutions, {:.3} GMAC",
        float.nodes.len(),
        float.macs() as f64 / 1e9
    )?;
    if network.scales_dropped() {
        line!(out, "           the file states scales for a part of them only, which are passed over: calibrate it")?;
    } else if network.has_own_scales() {
        line!(out, "           with the scales that the file states: it needs no calibration")?;
    }
    if float.remaining.is_empty() {
        return line!(out, "float32    nothing");
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    float.remaining.iter().for_each(|node| *kinds.entry(&node.op).or_default() += 1);
    let kinds: Vec<String> = kinds.iter().map(|(op, count)| format!("{count} {op}")).collect();
    line!(out, "float32    {} nodes: {}", float.remaining.len(), kinds.join(", "))?;
    for node in float.remaining.iter().take(NODES_SHOWN) {
        line!(out, "           {} {}: {}", node.op, Printable(&node.name), Printable(&node.why))?;
    }
    if float.remaining.len() > NODES_SHOWN {
        complain!("and {} more nodes in float32", float.remaining.len() - NODES_SHOWN);
    }
    Ok(())
}
