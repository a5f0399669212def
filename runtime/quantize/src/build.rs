//! A network in float32 and its quantizations become a [`Graph`].
//!
//! Weights: one scale a output channel, symmetric. A function after a convolution becomes the table
//! of its store. The mean error that rounding the weights adds to a channel can be taken off its
//! bias (M. Nagel et al., "Data-free quantization through weight equalization and bias correction",
//! arXiv:1906.04721, section 4.2, with the means that were seen).

use std::collections::HashMap;

use super::classes::Classes;
use super::lookup::{curve, table};
use super::lowered::{Lowered, Origin};
use super::quants::Quants;
use super::split;
use crate::calibrate::Observed;
use crate::network::{FloatNetwork, MapId, RealConv, RealOp, RealPart};
use lapwing_engine::ir::attention::STEPS;
use lapwing_engine::ir::{Attention, Conv, Graph, Node, Op, Output, Part, Shape, Tensor, TensorId, Weights, Wide};
use lapwing_engine::quant::Quant;

/// Lowers a network. `rounding` takes the mean error of rounded weights off the biases.
///
/// # Errors
/// The node and what is wrong with it.
pub fn lower(
    network: &FloatNetwork,
    classes: &Classes,
    observed: &[Observed],
    quants: &Quants,
    rounding: bool,
) -> Result<Lowered, String> {
    let lowered = Lowered { graph: Graph::default(), origins: Vec::new() };
    let (tensors, wide) = (HashMap::new(), HashMap::new());
    let mut builder = Builder { network, classes, observed, quants, rounding, tensors, wide, lowered };
    for &map in &network.inputs {
        let input = builder.tensor(map);
        builder.lowered.graph.inputs.push(input);
    }
    for (index, node) in network.nodes.iter().enumerate() {
        if let RealOp::Pointwise(_) = node.op
            && classes.fused.values().any(|&f| f == index)
        {
            continue; // the convolution before it stores its result
        }
        builder.node(index).map_err(|what| format!("node {:?}: {what}", node.name))?;
    }
    for output in &network.outputs {
        let part = |p: &RealPart| Part {
            tensor: builder.tensors.get(&p.map).copied().unwrap_or(TensorId(u32::MAX)),
            base: p.base,
            strides: p.strides,
        };
        let parts = output.parts.iter().map(part).collect();
        let made = Output { name: output.name.clone(), shape: output.shape.clone(), parts };
        builder.lowered.graph.outputs.push(made);
    }
    let mut lowered = builder.lowered;
    for (&producer, parts) in &quants.parts {
        split::lower(&mut lowered, network, classes, producer, parts)?;
    }
    lowered.graph.check()?;
    Ok(lowered)
}

struct Builder<'a> {
    network: &'a FloatNetwork,
    classes: &'a Classes,
    observed: &'a [Observed],
    quants: &'a Quants,
    rounding: bool,
    tensors: HashMap<MapId, TensorId>,
    /// Values and rests of maps that have sixteen bits.
    wide: HashMap<MapId, TensorId>,
    lowered: Lowered,
}

impl Builder<'_> {
    fn tensor(&mut self, map: MapId) -> TensorId {
        if let Some(&made) = self.tensors.get(&map) {
            return made;
        }
        let id = self.add(self.network.maps[map].shape, map);
        self.tensors.insert(map, id);
        id
    }

    fn add(&mut self, shape: Shape, map: MapId) -> TensorId {
        let tensors = &mut self.lowered.graph.tensors;
        tensors.push(Tensor { shape, quant: self.quants.maps[map] });
        TensorId(tensors.len() as u32 - 1)
    }

    /// True if node `index` reads the rests of what has sixteen bits: a convolution that is not split.
    fn reads_rests(&self, index: usize) -> bool {
        matches!(self.network.nodes[index].op, RealOp::Conv(_)) && !self.quants.parts.contains_key(&index)
    }

    /// The tensor that node `index`, a convolution, writes sixteen bits to.
    fn widened(&mut self, index: usize, map: MapId) -> Option<TensorId> {
        if !self.quants.wide.contains(&index) {
            return None;
        }
        let shape = self.network.maps[map].shape;
        let id = self.add(Shape { channels: 2 * shape.channels, ..shape }, map);
        self.wide.insert(map, id);
        Some(id)
    }

    /// The values alone, if anything needs them so.
    fn values(&mut self, wide: TensorId, name: &str, origin: Origin) {
        let map = origin.map;
        let mut readers = (0..self.network.nodes.len()).filter(|&n| self.network.nodes[n].inputs.contains(&map));
        if self.network.is_output(map) || !readers.all(|reader| self.reads_rests(reader)) {
            let output = self.tensor(map);
            let (name, op) = (name.to_owned(), Op::Slice { start: 0 });
            self.lowered.graph.nodes.push(Node { name, op, inputs: vec![wide], output });
            self.lowered.origins.push(origin);
        }
    }

    fn node(&mut self, index: usize) -> Result<(), String> {
        let node = &self.network.nodes[index];
        let of = |map: usize| self.quants.maps[node.inputs[map]];
        let map = self.classes.stored(self.network, index);
        let to = self.quants.maps[map];
        let before = self.quants.before.get(&index).copied().unwrap_or(to);
        let mut op = match &node.op {
            RealOp::Conv(conv) => Op::Conv(self.conv(index, conv, before, to)?),
            RealOp::Pointwise(function) => Op::Table(table(of(0), to, function)?),
            RealOp::Add => Op::Add { multipliers: [of(0).scale / to.scale, of(1).scale / to.scale] },
            RealOp::Sub => Op::Add { multipliers: [of(0).scale / to.scale, -of(1).scale / to.scale] },
            RealOp::Attention(attention) => Op::Attention(Box::new(Attention {
                tokens: attention.tokens,
                key: attention.key,
                value: attention.value,
                heads: attention.heads.clone(),
                multiplier: of(0).scale * of(1).scale * attention.factor * STEPS as f32,
                store: of(2).scale / to.scale,
            })),
            RealOp::Mul => Op::Mul { multiplier: of(0).scale * of(1).scale / to.scale },
            _ => self.network.moving(node, to).ok_or("it has no rule")?,
        };
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &map in &node.inputs {
            match (&mut op, self.wide.get(&map).copied()) {
                (Op::Conv(conv), Some(wide)) if self.reads_rests(index) => {
                    conv.wide.input = true;
                    inputs.push(wide);
                }
                _ => inputs.push(self.tensor(map)),
            }
        }
        let origin = Origin { node: index, map, before, channels: None, group: None };
        let wide = self.widened(index, map);
        let output = wide.unwrap_or_else(|| self.tensor(map));
        self.lowered.graph.nodes.push(Node { name: node.name.clone(), op, inputs, output });
        self.lowered.origins.push(origin.clone());
        if let Some(wide) = wide {
            self.values(wide, &node.name, origin);
        }
        Ok(())
    }

    fn conv(&self, index: usize, conv: &RealConv, before: Quant, to: Quant) -> Result<Conv, String> {
        let function = self.classes.function(self.network, index).filter(|_| self.quants.before.contains_key(&index));
        let mut wide = Wide { output: self.quants.wide.contains(&index), ..Wide::default() };
        let mut eight = None;
        match function {
            Some(function) if wide.output => wide.curve = Some(curve(before, to, function)?),
            Some(function) => eight = Some(table(before, to, function)?),
            None => {}
        }
        let input = self.network.nodes[index].inputs[0];
        let outputs = conv.bias.len();
        let products = conv.weights.len() / outputs;
        let area = conv.window.kernel[0] * conv.window.kernel[1];
        let per_group = products / area;
        let scale_in = self.quants.maps[input].scale;
        let seen = &self.observed[input].channels;
        let mut rounded = Vec::with_capacity(conv.weights.len());
        let mut made = Conv {
            window: conv.window,
            groups: conv.groups,
            weights: Weights::default(),
            bias: Vec::with_capacity(outputs),
            multiplier: Vec::with_capacity(outputs),
            pre_zero: before.zero,
            table: eight,
            wide,
        };
        for (o, weights) in conv.weights.chunks_exact(products).enumerate() {
            let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
            // so that the bias fits in 32 bits beside the sum
            let enough = conv.bias[o].abs() / scale_in / (1 << 29) as f32;
            let scale = (largest / 127.0).max(enough).max(f32::MIN_POSITIVE * 1e6);
            let first = o / (outputs / conv.groups) * per_group;
            let mut added = 0f64;
            for (at, &w) in weights.iter().enumerate() {
                let q = (w / scale).round_ties_even().clamp(-127.0, 127.0);
                rounded.push(q as i8);
                added += f64::from(q * scale - w) * f64::from(seen[first + at % per_group].mean);
            }
            let bias = f64::from(conv.bias[o]) - if self.rounding { added } else { 0.0 };
            made.bias.push((bias / f64::from(scale_in) / f64::from(scale)).round_ties_even() as i32);
            made.multiplier.push(scale_in * scale / before.scale);
        }
        made.weights = rounded.into();
        Ok(made)
    }
}
