//! From tract's graph to a [`FloatNetwork`]: which node is which operation, and which stays with tract.
//!
//! Every value of tract's graph is given a meaning: a constant, a map, a function of a map's values,
//! values of maps in another order, or a float32 value that tract computes. Nodes that only move values
//! (reshapes, transpositions, gathers, slices, resizing) are not matched by pattern: tract itself
//! evaluates them on the indices 0, 1, 2, ..., and the order they come out in is the meaning. So a
//! channel shuffle is recognised in whatever way it is spelt.
//!
//! Nodes without a rule divide the graph into levels: those with a rule have odd ones, the others
//! even ones, and no node's level is below that of what it reads. All nodes of an odd level are one
//! region: whatever path leaves it never comes back.

mod affine;
mod attention;
mod constants;
mod conv;
mod dense;
mod meaning;
mod moved;
mod offsets;
mod order;
mod pointwise;
mod pool;
mod products;
mod qdq;
mod tail;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Pad, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::Reduce;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::network::{FloatNetwork, Map, MapId, RealNode, RealOp, RealOutput, RealPart, Remaining};
use crate::onnx::{at, guarded};
use lapwing_engine::ir::Shape;
use meaning::{Meaning, Refusal, concrete, shape_of, words};
pub use tail::tail;

use affine::affine;
use constants::constants;

/// A region behind the first is worth its borders if it has at least this share of all
/// multiplications.
const REGION_SHARE_MIN: f64 = 0.02;

/// Most turns in which nodes are found that must stay with tract after all.
const TURNS_MAX: usize = 64;
/// Most values of all movements together; each keeps where its values come from.
const MOVED_MAX: usize = 1 << 27;

/// What the caller decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names of nodes that are to stay in float32.
    pub real: BTreeSet<String>,
    /// Whatever follows a node in float32 stays in float32: all of it lies behind the regions
    /// and can become a tail.
    pub behind: bool,
}

/// Imports a typed graph with one picture for its input, of which every node has a rule.
///
/// # Errors
/// The first node without a rule, by name, and why; or what is wrong with the file, and the cure.
pub fn import(model: TypedModel) -> Result<FloatNetwork, String> {
    let network = regions(model, &Options::default())?;
    match network.remaining.first() {
        None => Ok(network),
        Some(Remaining { name, op, why, .. }) => {
            Err(format!("node {name:?} ({op}): {why}; end the model before it, or run the float model"))
        }
    }
}

/// Finds the regions of a typed graph with one picture for its input.
///
/// # Errors
/// The node, what is wrong with it and the cure; or why no node can be quantized.
pub fn regions(model: TypedModel, options: &Options) -> Result<FloatNetwork, String> {
    guarded(|| found(model, options))
}

fn found(mut model: TypedModel, options: &Options) -> Result<FloatNetwork, String> {
    constants(&mut model)?;
    let mut forced: BTreeMap<usize, String> = BTreeMap::new();
    for name in &options.real {
        let id = model.nodes.iter().find(|n| n.name == *name).map(|n| n.id);
        let id = id.ok_or_else(|| format!("it has no node {name:?} that could stay in float32"))?;
        forced.insert(id, "it was chosen to stay in float32".into());
    }
    for _ in 0..TURNS_MAX {
        let before = forced.len();
        let mut importer = Importer::new(&model, options.behind);
        if let Some(more) = importer.run(&forced)? {
            forced.extend(more);
        } else {
            let mut network = importer.network();
            if network.nodes.is_empty() {
                let why = network.remaining.first();
                let why = why.map_or("it has none".into(), |r| format!("node {:?} ({}): {}", r.name, r.op, r.why));
                return Err(format!(
                    "none of its nodes can run in eight bits: {why}; run it in float32, as it is, or export a network with convolutions"
                ));
            }
            network.model = model;
            return Ok(network);
        }
        if forced.len() == before {
            break;
        }
    }
    Err("its nodes do not divide into regions; run it in float32, as it is".into())
}

struct Importer<'a> {
    model: &'a TypedModel,
    /// See [`Options::behind`].
    behind: bool,
    maps: Vec<Map>,
    inputs: Vec<MapId>,
    nodes: Vec<RealNode>,
    meanings: HashMap<OutletId, Meaning>,
    /// Outlets that are the same value as another.
    aliases: HashMap<OutletId, OutletId>,
    /// Meanings that were found before their node's turn.
    ready: HashMap<usize, Meaning>,
    /// Level of each node that stays with tract.
    real: HashMap<usize, usize>,
    /// What is left of [`MOVED_MAX`].
    moved_left: usize,
    /// What leaves the regions.
    wanted: Vec<OutletId>,
    outputs: Vec<RealOutput>,
    remaining: Vec<Remaining>,
}

impl<'a> Importer<'a> {
    fn new(model: &'a TypedModel, behind: bool) -> Importer<'a> {
        Importer {
            model,
            behind,
            maps: Vec::new(),
            inputs: Vec::new(),
            nodes: Vec::new(),
            meanings: HashMap::new(),
            aliases: HashMap::new(),
            ready: HashMap::new(),
            real: HashMap::new(),
            moved_left: MOVED_MAX,
            wanted: Vec::new(),
            outputs: Vec::new(),
            remaining: Vec::new(),
        }
    }

    /// Gives every value its meaning. Tells nodes that must stay with tract after all, with the
    /// reason, or none if the regions stand.
    fn run(&mut self, forced: &BTreeMap<usize, String>) -> Result<Option<BTreeMap<usize, String>>, String> {
        let model = self.model;
        for id in model.eval_order().map_err(|e| words(&e))? {
            let node = model.node(id);
            at(&node.name);
            let named = |what: String| format!("node {:?} ({}): {what}", node.name, node.op.name());
            let found = match forced.get(&id) {
                Some(why) if !node.op_is::<TypedSource>() => Err(Refusal::NoRule(why.clone())),
                _ => self.node(node),
            };
            match found {
                Ok(meaning) => {
                    self.meanings.insert(OutletId::new(id, 0), meaning);
                }
                Err(Refusal::NoRule(why)) => self.keep(node, why),
                Err(Refusal::Broken(what)) => return Err(named(what)),
            }
        }
        let mut more = BTreeMap::new();
        let ends = model.output_outlets().map_err(|e| words(&e))?;
        let mut wanted: Vec<OutletId> = Vec::new();
        for &outlet in ends.iter().chain(&self.wanted.clone()) {
            let known = matches!(self.meaning(outlet), Some(Meaning::Real | Meaning::Constant(_)) | None);
            if !known && !wanted.contains(&outlet) {
                wanted.push(outlet);
            }
        }
        for outlet in wanted {
            match self.output(outlet) {
                Ok(output) => self.outputs.push(output),
                Err(Refusal::NoRule(why)) => {
                    more.insert(outlet.node, why);
                }
                Err(Refusal::Broken(what)) => return Err(format!("node {:?}: {what}", model.node(outlet.node).name)),
            }
        }
        if !more.is_empty() {
            return Ok(Some(more));
        }
        self.prune();
        more.extend(self.without_scales());
        more.extend(self.slight());
        Ok((!more.is_empty()).then_some(more))
    }

    /// A node stays with tract; what it reads leaves the regions.
    fn keep(&mut self, node: &TypedNode, why: String) {
        let mut level = 0;
        for &input in &node.inputs {
            match self.meaning(input) {
                None | Some(Meaning::Constant(_)) => {}
                Some(Meaning::Real) => level = level.max(self.real.get(&input.node).copied().unwrap_or(0)),
                Some(meaning) => {
                    let source = matches!(&meaning, Meaning::Map(map) if self.inputs.first() == Some(map));
                    if !source || !self.model.node(input.node).op_is::<TypedSource>() {
                        self.wanted.push(input);
                    }
                    let inner = self.level_of(&meaning);
                    level = level.max(inner.next_multiple_of(2));
                }
            }
        }
        self.real.insert(node.id, level);
        for slot in 0..node.outputs.len() {
            let known = node.outputs[slot].fact.konst.clone();
            self.meanings.insert(OutletId::new(node.id, slot), known.map_or(Meaning::Real, Meaning::Constant));
        }
        self.remaining.push(Remaining { node: node.id, name: node.name.clone(), op: node.op.name().into_owned(), why });
    }

    fn level_of(&self, meaning: &Meaning) -> usize {
        match meaning {
            Meaning::Constant(_) | Meaning::Real => 0,
            Meaning::Map(map) => self.maps[*map].level,
            // what is computed from a map of level l is computed in the region of l or the next
            Meaning::Pointwise(map, _) => self.maps[*map].level | 1,
            Meaning::Moved(moved) => moved.sources.iter().map(|&m| self.maps[m].level | 1).max().unwrap_or(1),
            Meaning::Products(products) => products.maps().map(|m| self.maps[m].level | 1).max().unwrap_or(1),
        }
    }

    fn meaning(&self, outlet: OutletId) -> Option<Meaning> {
        self.meanings.get(&self.original(outlet)).cloned()
    }

    fn original(&self, outlet: OutletId) -> OutletId {
        self.aliases.get(&outlet).copied().unwrap_or(outlet)
    }

    fn node(&mut self, node: &TypedNode) -> Result<Meaning, Refusal> {
        let outlet = OutletId::new(node.id, 0);
        if let Some(constant) = &node.outputs[0].fact.konst {
            return Ok(Meaning::Constant(constant.clone()));
        }
        let shape = concrete(self.model, outlet)?;
        if node.op_is::<TypedSource>() {
            let map = self.map(shape_of(&shape).map_err(Refusal::Broken)?, outlet, 0);
            self.inputs.push(map);
            return Ok(Meaning::Map(map));
        }
        if let Some(meaning) = self.ready.remove(&node.id) {
            return Ok(meaning);
        }
        if node.outputs.len() != 1 {
            return Err("no rule for it".into());
        }
        let inputs: Vec<Meaning> =
            node.inputs.iter().map(|&i| self.meaning(i).ok_or("an input has no meaning")).collect::<Result<_, _>>()?;
        if self.behind && inputs.iter().any(|m| matches!(m, Meaning::Real)) {
            return Err("it follows nodes in float32".into());
        }
        if let Some(meaning) = self.scaled(node, &inputs)? {
            return Ok(meaning);
        }
        if let Some(meaning) = self.attention(node, &inputs)? {
            return Ok(meaning);
        }
        if let Some(conv) = node.op_as::<Conv>() {
            return self.conv(node, conv, &inputs);
        }
        if let Some(deconv) = node.op_as::<Deconv>() {
            return self.deconv(node, deconv, &inputs);
        }
        if let Some(product) = node.op_as::<EinSum>() {
            return self.dense(node, product, &inputs);
        }
        if !inputs.iter().any(|m| matches!(m, Meaning::Map(_) | Meaning::Pointwise(..) | Meaning::Moved(_))) {
            return Err("it follows nodes in float32 and multiplies nothing".into());
        }
        if let Some(pool) = node.op_as::<MaxPool>() {
            return self.max_pool(node, pool, &inputs);
        }
        if let Some(pool) = node.op_as::<SumPool>() {
            return self.sum_pool(node, pool, &inputs);
        }
        if let Some(reduce) = node.op_as::<Reduce>() {
            return self.reduce(node, reduce, &inputs);
        }
        if let Some(pad) = node.op_as::<Pad>()
            && let Some(meaning) = self.pad(node, pad, &inputs)?
        {
            return Ok(meaning);
        }
        if node.op_is::<TypedBinOp>() || node.op_is::<ElementWiseOp>() {
            if let Some(meaning) = self.pointwise(node, &inputs)? {
                return Ok(meaning);
            }
            if let Some(meaning) = self.affine(node, &inputs)? {
                return Ok(meaning);
            }
            return self.binary(node, &inputs);
        }
        if let Some(concat) = node.op_as::<TypedConcat>()
            && concat.axis == 1
            && shape_of(&shape).is_ok()
        {
            return self.concat(node, &inputs);
        }
        match self.moved(node, &inputs, &shape) {
            Err(Refusal::NoRule(why)) if node.op.name().contains("Resize") => {
                self.bilinear(node, &inputs)?.ok_or(Refusal::NoRule(why))
            }
            other => other,
        }
    }

    fn map(&mut self, shape: Shape, outlet: OutletId, level: usize) -> MapId {
        self.maps.push(Map { shape, outlet, ordered: true, quant: None, level });
        self.maps.len() - 1
    }

    fn push(&mut self, node: &TypedNode, op: RealOp, inputs: Vec<MapId>, shape: Shape) -> MapId {
        let level = inputs.iter().map(|&m| self.maps[m].level | 1).max().unwrap_or(1);
        let output = self.map(shape, OutletId::new(node.id, 0), level);
        let first = self.maps[inputs[0]].quant;
        if op.keeps_numbers() && inputs.iter().all(|&m| self.maps[m].quant == first) {
            self.maps[output].quant = first;
        }
        if let RealOp::Pointwise(function) = &op {
            self.maps[output].quant = function.unrounded().1;
        }
        let origin = vec![node.id];
        self.nodes.push(RealNode { name: node.name.clone(), op, inputs, output, origin, region: level });
        output
    }

    /// The meaning of `outlet` as a map; functions and movements become nodes, once.
    fn mapped(&mut self, outlet: OutletId, meaning: &Meaning) -> Result<MapId, Refusal> {
        let outlet = self.original(outlet);
        let meaning = match self.meanings.get(&outlet) {
            Some(Meaning::Map(map)) => return Ok(*map),
            _ => meaning,
        };
        let node = self.model.node(outlet.node);
        let made = match meaning {
            Meaning::Map(map) => return Ok(*map),
            Meaning::Constant(_) => return Err("a constant stands where a map is needed".into()),
            Meaning::Pointwise(root, function) => {
                let shape = self.maps[*root].shape;
                self.push(node, RealOp::Pointwise(function.clone()), vec![*root], shape)
            }
            Meaning::Moved(moved) => self.rearranged(node, moved)?,
            Meaning::Products(_) => return Err(products::UNKNOWN.into()),
            Meaning::Real => {
                let shape = shape_of(&concrete(self.model, outlet)?)?;
                let map = self.map(shape, outlet, self.real.get(&outlet.node).copied().unwrap_or(0));
                self.inputs.push(map);
                map
            }
        };
        self.meanings.insert(outlet, Meaning::Map(made));
        Ok(made)
    }

    fn unary(&mut self, node: &TypedNode, input: &Meaning, op: RealOp) -> Result<Meaning, Refusal> {
        let from = self.mapped(node.inputs[0], input)?;
        let shape = shape_of(&concrete(self.model, OutletId::new(node.id, 0))?)?;
        Ok(Meaning::Map(self.push(node, op, vec![from], shape)))
    }

    fn output(&mut self, outlet: OutletId) -> Result<RealOutput, Refusal> {
        let model = self.model;
        let name = model.outlet_label(outlet).unwrap_or(&model.node(outlet.node).name).to_owned();
        let shape = concrete(model, outlet)?;
        let meaning = self.meaning(outlet).ok_or("it has no meaning")?;
        let Meaning::Moved(moved) = meaning else {
            let map = self.mapped(outlet, &meaning)?;
            if self.maps[map].level == 0 {
                return Err("it gives the picture itself".into());
            }
            let Shape { height, width, .. } = self.maps[map].shape;
            let parts = vec![RealPart { map, base: 0, strides: [width, 1, height * width] }];
            return Ok(RealOutput { name, outlet, shape, parts });
        };
        let mut regions = moved.sources.iter().map(|&m| self.maps[m].level);
        let first = regions.next();
        if regions.any(|r| Some(r) != first) {
            return Err("it joins values of several regions".into());
        }
        let mut places = vec![None; moved.sources.iter().map(|&m| self.maps[m].shape.elements()).sum()];
        for (place, &from) in moved.index.iter().enumerate() {
            if places[from as usize].replace(place).is_some() {
                return Err("it holds a value twice".into());
            }
        }
        let mut parts = Vec::new();
        let mut first = 0;
        for &map in &moved.sources {
            if self.maps[map].level.is_multiple_of(2) {
                return Err("it only moves float32 values".into());
            }
            let shape = self.maps[map].shape;
            let part = affine(map, shape, &places[first..first + shape.elements()]);
            parts.push(part.ok_or("no rule for the order of its values")?);
            first += shape.elements();
        }
        Ok(RealOutput { name, outlet, shape, parts })
    }

    /// Drops nodes that nothing reads, and their maps.
    fn prune(&mut self) {
        let mut needed: Vec<bool> = vec![false; self.maps.len()];
        self.outputs.iter().flat_map(|o| &o.parts).for_each(|p| needed[p.map] = true);
        for node in self.nodes.iter().rev() {
            if needed[node.output] {
                node.inputs.iter().for_each(|&m| needed[m] = true);
            }
        }
        if let Some(&picture) = self.inputs.first() {
            needed[picture] = true;
        }
        let mut moved_to = vec![usize::MAX; self.maps.len()];
        for (kept, (map, _)) in needed.iter().enumerate().filter(|(_, n)| **n).enumerate() {
            moved_to[map] = kept;
        }
        let mut index = 0;
        self.maps.retain(|_| {
            index += 1;
            needed[index - 1]
        });
        self.nodes.retain(|n| needed[n.output]);
        self.inputs.retain(|&m| needed[m]);
        self.inputs.iter_mut().for_each(|m| *m = moved_to[*m]);
        for node in &mut self.nodes {
            node.inputs.iter_mut().for_each(|m| *m = moved_to[*m]);
            node.output = moved_to[node.output];
        }
        self.outputs.iter_mut().flat_map(|o| &mut o.parts).for_each(|p| p.map = moved_to[p.map]);
    }

    /// Nodes of regions that are not worth their borders.
    fn slight(&self) -> BTreeMap<usize, String> {
        let macs = |node: &RealNode| match &node.op {
            RealOp::Conv(conv) => {
                let Shape { height, width, .. } = self.maps[node.output].shape;
                (conv.weights.len() * height * width) as f64
            }
            _ => 0.0,
        };
        let total: f64 = self.nodes.iter().map(macs).sum();
        let mut of_region: BTreeMap<usize, f64> = BTreeMap::new();
        self.nodes.iter().for_each(|n| *of_region.entry(n.region).or_default() += macs(n));
        let alone = self.remaining.is_empty();
        let slight = |region: usize| !alone && of_region[&region] < (total * REGION_SHARE_MIN).max(1.0);
        let nodes = self.nodes.iter().filter(|n| slight(n.region)).flat_map(|n| &n.origin);
        nodes.map(|&id| (id, "its region multiplies too little to be worth its borders".into())).collect()
    }

    fn network(self) -> FloatNetwork {
        FloatNetwork {
            model: TypedModel::default(),
            maps: self.maps,
            inputs: self.inputs,
            nodes: self.nodes,
            outputs: self.outputs,
            remaining: self.remaining,
        }
    }
}
