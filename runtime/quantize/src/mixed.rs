//! A model whose regions run in eight bits and whose other nodes stay with tract.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::int8_region::Int8Region;
use super::network::FloatNetwork;
use lapwing_engine::ir::{Checked, Graph, Output, Part, TensorId};
use lapwing_engine::kernels::Kernels;

/// The whole model for tract: `graph`, which was made from `network`, as one operation a region.
///
/// # Errors
/// The node and what is wrong with it.
pub fn model(
    network: &FloatNetwork,
    graph: &Graph,
    kernels: &'static Kernels,
    threads: usize,
) -> Result<TypedModel, String> {
    let parts = split(network, graph)?;
    let mut wiring = Wiring {
        network,
        graph,
        parts,
        kernels,
        threads,
        made: TypedModel::default(),
        wired: HashMap::new(),
        crossing: HashMap::new(),
        done: BTreeSet::new(),
    };
    let ends = network.model.output_outlets().map_err(words)?.to_vec();
    let outlets = ends.iter().map(|o| wiring.outlet(*o)).collect::<Result<Vec<_>, _>>()?;
    wiring.made.select_output_outlets(&outlets).map_err(words)?;
    Ok(wiring.made)
}

fn words(error: TractError) -> String {
    format!("{error:#}")
}

/// A region's own graph, and where its ends lie in the whole.
struct RegionPart {
    graph: Graph,
    /// The whole graph's tensor of each input.
    inputs: Vec<TensorId>,
    /// The whole graph's output of each output; behind them come tensors for other regions.
    outputs: Vec<usize>,
    /// Tensors that later regions read.
    crossing: Vec<TensorId>,
}

/// The whole graph region by region, by region number.
fn split(network: &FloatNetwork, graph: &Graph) -> Result<HashMap<usize, RegionPart>, String> {
    // a tensor belongs to the region that writes it, an input to the first that could read it
    let mut region: Vec<usize> = vec![0; graph.tensors.len()];
    for (&map, id) in network.inputs.iter().zip(&graph.inputs) {
        region[id.at()] = network.maps[map].level | 1;
    }
    let mut of_node = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let found = node.inputs.iter().map(|id| region[id.at()]).max().unwrap_or(1);
        region[node.output.at()] = found;
        of_node.push(found);
    }
    let written = |id: TensorId| graph.nodes.iter().position(|n| n.output == id).map(|n| of_node[n]);
    let mut parts = HashMap::new();
    for number in of_node.iter().copied().collect::<BTreeSet<_>>() {
        let mut part = RegionPart {
            graph: Graph { tensors: graph.tensors.clone(), ..Graph::default() },
            inputs: Vec::new(),
            outputs: Vec::new(),
            crossing: Vec::new(),
        };
        for (node, _) in graph.nodes.iter().zip(&of_node).filter(|(_, r)| **r == number) {
            for &id in &node.inputs {
                if written(id) != Some(number) && !part.inputs.contains(&id) {
                    part.inputs.push(id);
                }
            }
            part.graph.nodes.push(node.clone());
        }
        part.graph.inputs = part.inputs.clone();
        for (index, output) in graph.outputs.iter().enumerate() {
            let here = output.parts.iter().filter(|p| written(p.tensor) == Some(number)).count();
            if here == output.parts.len() {
                part.outputs.push(index);
                part.graph.outputs.push(output.clone());
            } else if here > 0 {
                return Err(format!("output {:?} is put together from several regions", output.name));
            }
        }
        for (node, _) in graph.nodes.iter().zip(&of_node).filter(|(_, r)| **r != number) {
            for &id in node.inputs.iter().filter(|id| written(**id) == Some(number)) {
                if !part.crossing.contains(&id) {
                    part.crossing.push(id);
                }
            }
        }
        for &id in &part.crossing {
            let shape = graph.tensor(id).shape;
            let strides = [shape.width, 1, shape.height * shape.width];
            part.graph.outputs.push(Output {
                name: format!("tensor {}", id.0),
                shape: vec![1, shape.channels, shape.height, shape.width],
                parts: vec![Part { tensor: id, base: 0, strides }],
            });
        }
        parts.insert(number, part);
    }
    Ok(parts)
}

struct Wiring<'a> {
    network: &'a FloatNetwork,
    graph: &'a Graph,
    parts: HashMap<usize, RegionPart>,
    kernels: &'static Kernels,
    threads: usize,
    made: TypedModel,
    /// Outlets of the file's model in the one that is made.
    wired: HashMap<OutletId, OutletId>,
    /// Tensors that pass from region to region.
    crossing: HashMap<TensorId, OutletId>,
    done: BTreeSet<usize>,
}

impl Wiring<'_> {
    /// The outlet in the new model; what it needs is wired first.
    fn outlet(&mut self, old: OutletId) -> Result<OutletId, String> {
        if let Some(&new) = self.wired.get(&old) {
            return Ok(new);
        }
        let model = &self.network.model;
        let node = model.node(old.node);
        let named = |e: TractError| format!("node {:?} ({}): {e:#}", node.name, node.op.name());
        if let Some(value) = &node.outputs[old.slot].fact.konst {
            let new = self.made.add_const(format!("{}.{}", node.name, old.slot), value.clone()).map_err(named)?;
            self.wired.insert(old, new);
            return Ok(new);
        }
        if node.op_is::<TypedSource>() {
            let new = self.made.add_source(&node.name, node.outputs[old.slot].fact.clone()).map_err(named)?;
            self.wired.insert(old, new);
            return Ok(new);
        }
        if self.network.remaining.iter().any(|r| r.node == old.node) {
            let inputs = node.inputs.iter().map(|i| self.outlet(*i)).collect::<Result<Vec<_>, _>>()?;
            let made = self.made.wire_node(&node.name, node.op.clone(), &inputs).map_err(named)?;
            for (slot, new) in made.into_iter().enumerate() {
                self.wired.insert(OutletId::new(old.node, slot), new);
            }
        } else {
            let index = self.network.outputs.iter().position(|o| o.outlet == old);
            let index = index.ok_or_else(|| format!("node {:?}: no region gives it", node.name))?;
            let region = self.parts.iter().find(|(_, p)| p.outputs.contains(&index)).map(|(n, _)| *n);
            self.region(region.ok_or_else(|| format!("node {:?}: no region gives it", node.name))?)?;
        }
        self.wired.get(&old).copied().ok_or_else(|| format!("node {:?}: it is not wired", node.name))
    }

    fn region(&mut self, number: usize) -> Result<(), String> {
        if !self.done.insert(number) {
            return Err(format!("region {number} needs its own result"));
        }
        let Some(part) = self.parts.get(&number) else { return Err(format!("there is no region {number}")) };
        let (ids, graph) = (part.inputs.clone(), part.graph.clone());
        let (outputs, crossing) = (part.outputs.clone(), part.crossing.clone());
        let mut inputs = Vec::new();
        for id in ids {
            let given = self.graph.inputs.iter().position(|i| *i == id).map(|i| self.network.inputs[i]);
            inputs.push(match given {
                Some(map) => self.outlet(self.network.maps[map].outlet)?,
                None => {
                    let from = self.parts.iter().find(|(_, p)| p.crossing.contains(&id)).map(|(n, _)| *n);
                    if !self.crossing.contains_key(&id) {
                        self.region(from.ok_or_else(|| format!("no region gives tensor {}", id.0))?)?;
                    }
                    self.crossing.get(&id).copied().ok_or_else(|| format!("no region gives tensor {}", id.0))?
                }
            });
        }
        let region = Int8Region::new(Checked::new(graph)?, self.kernels, self.threads);
        let made = self.made.wire_node(format!("region.{number}"), region, &inputs).map_err(words)?;
        for (slot, index) in outputs.iter().enumerate() {
            self.wired.insert(self.network.outputs[*index].outlet, made[slot]);
        }
        for (slot, id) in crossing.into_iter().enumerate() {
            self.crossing.insert(id, made[outputs.len() + slot]);
        }
        Ok(())
    }
}
