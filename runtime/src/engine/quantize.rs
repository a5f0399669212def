//! A network in real numbers becomes a [`Graph`] of eight-bit ones.
//!
//! Weights: one scale a output channel, symmetric. Activations: one range a tensor, clipped where
//! that lowers the mean squared error over the calibration pictures; tensors that are joined, moved
//! or pooled share one range, so that none of these needs arithmetic. A function after a convolution
//! becomes the table of its store, and the range before the table is chosen by the error after it.
//! The mean error that rounding the weights adds to a channel is taken off its bias.

use std::collections::HashMap;

use super::calibrate::Observed;
use super::ir::{Conv, Graph, Node, Op, Output, Part, Tensor, TensorId};
use super::network::{Function, MapId, Network, RealConv, RealOp};
use super::quant::{Quant, Table};

/// Shares of a range that are tried as clipping.
const CLIPS: [f32; 12] = [1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.74, 0.68, 0.6, 0.5, 0.4, 0.3];

/// Quantises a calibrated network. `input` is the quantisation of the first map: the pixels'.
///
/// # Errors
/// The node and what is wrong with it.
pub fn quantize(network: &Network, observed: &[Observed], input: Quant) -> Result<Graph, String> {
    let fused = fused(network);
    let quants = Ranges::of(network, observed, input).quants();
    let mut builder = Builder { network, observed, quants, tensors: HashMap::new(), graph: Graph::default() };
    for &map in &network.inputs {
        let input = builder.tensor(map);
        builder.graph.inputs.push(input);
    }
    for (index, node) in network.nodes.iter().enumerate() {
        if let RealOp::Pointwise(_) = node.op
            && fused.values().any(|&f| f == index)
        {
            continue; // the convolution before it stores its result
        }
        builder.node(index, fused.get(&index).copied()).map_err(|what| format!("node {:?}: {what}", node.name))?;
    }
    for output in &network.outputs {
        let part = |p: &super::network::RealPart| Part {
            tensor: builder.tensors.get(&p.map).copied().unwrap_or(TensorId(u32::MAX)),
            base: p.base,
            strides: p.strides,
        };
        let parts = output.parts.iter().map(part).collect();
        builder.graph.outputs.push(Output { name: output.name.clone(), shape: output.shape.clone(), parts });
    }
    builder.graph.check()?;
    Ok(builder.graph)
}

/// Convolutions whose result only one function reads: node of the convolution -> node of the function.
fn fused(network: &Network) -> HashMap<usize, usize> {
    let mut readers: HashMap<MapId, Vec<usize>> = HashMap::new();
    for (index, node) in network.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&map| readers.entry(map).or_default().push(index));
    }
    let is_output = |map: MapId| network.outputs.iter().flat_map(|o| &o.parts).any(|p| p.map == map);
    let mut found = HashMap::new();
    for (index, node) in network.nodes.iter().enumerate() {
        if let (RealOp::Conv(_), Some([reader])) = (&node.op, readers.get(&node.output).map(Vec::as_slice))
            && let RealOp::Pointwise(_) = network.nodes[*reader].op
            && !is_output(node.output)
        {
            found.insert(index, *reader);
        }
    }
    found
}

/// Maps that must share one quantisation, and what they hold.
struct Ranges<'a> {
    parents: Vec<MapId>,
    observed: &'a [Observed],
    input: Quant,
}

impl<'a> Ranges<'a> {
    fn of(network: &Network, observed: &'a [Observed], input: Quant) -> Ranges<'a> {
        let mut ranges = Ranges { parents: (0..network.maps.len()).collect(), observed, input };
        for node in &network.nodes {
            if node.op.keeps_numbers() {
                node.inputs.iter().for_each(|&map| ranges.unite(map, node.output));
            }
        }
        ranges
    }

    fn root(&self, mut map: MapId) -> MapId {
        while self.parents[map] != map {
            map = self.parents[map];
        }
        map
    }

    fn unite(&mut self, a: MapId, b: MapId) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b); // the input's class keeps the input for its root
    }

    fn quants(&self) -> Vec<Quant> {
        let mut members: HashMap<MapId, Vec<&Observed>> = HashMap::new();
        for (map, observed) in self.observed.iter().enumerate() {
            members.entry(self.root(map)).or_default().push(observed);
        }
        let chosen: HashMap<MapId, Quant> =
            members.iter().map(|(&root, seen)| (root, if root == 0 { self.input } else { clipped(seen) })).collect();
        (0..self.observed.len()).map(|map| chosen[&self.root(map)]).collect()
    }
}

/// The range with the least squared error over all values of `seen`.
fn clipped(seen: &[&Observed]) -> Quant {
    let low = seen.iter().map(|o| o.low).fold(0.0, f32::min);
    let high = seen.iter().map(|o| o.high).fold(0.0, f32::max);
    let error = |quant: Quant| -> f64 {
        let of = |x: f32| f64::from(quant.real(quant.quantise(x)) - x).powi(2);
        seen.iter().flat_map(|o| o.bins()).map(|(x, share)| of(x) * f64::from(share)).sum()
    };
    least(low, high, error)
}

/// The range before `function` with the least squared error after it.
fn clipped_before(seen: &Observed, function: &Function, to: Quant) -> Result<Quant, String> {
    let bins: Vec<(f32, f32)> = seen.bins().collect();
    let points: Vec<f32> = bins.iter().map(|b| b.0).collect();
    let exact = function.eval(&points).map_err(|e| format!("{e:#}"))?;
    let mut failed = None;
    let error = |quant: Quant| -> f64 {
        match table(quant, to, function) {
            Ok(table) => bins
                .iter()
                .zip(&exact)
                .map(|((x, share), y)| {
                    f64::from(to.real(table[usize::from(quant.quantise(*x))]) - y).powi(2) * f64::from(*share)
                })
                .sum(),
            Err(what) => {
                failed = Some(what);
                f64::INFINITY
            }
        }
    };
    let best = least(seen.low.min(0.0), seen.high.max(0.0), error);
    failed.map_or(Ok(best), Err)
}

fn least(low: f32, high: f32, mut error: impl FnMut(Quant) -> f64) -> Quant {
    let mut best = (f64::INFINITY, Quant::covering(low, high));
    for down in CLIPS {
        for up in CLIPS {
            if (low == 0.0 && down != 1.0) || (high == 0.0 && up != 1.0) {
                continue;
            }
            let quant = Quant::covering(low * down, high * up);
            let found = error(quant);
            if found < best.0 {
                best = (found, quant);
            }
        }
    }
    best.1
}

fn table(from: Quant, to: Quant, function: &Function) -> Result<Box<Table>, String> {
    let points: Vec<f32> = (0..=255).map(|q| from.real(q)).collect();
    let values = function.eval(&points).map_err(|e| format!("{e:#}"))?;
    Ok(Box::new(std::array::from_fn(|q| to.quantise(values[q]))))
}

struct Builder<'a> {
    network: &'a Network,
    observed: &'a [Observed],
    quants: Vec<Quant>,
    tensors: HashMap<MapId, TensorId>,
    graph: Graph,
}

impl Builder<'_> {
    fn tensor(&mut self, map: MapId) -> TensorId {
        if let Some(&made) = self.tensors.get(&map) {
            return made;
        }
        let id = TensorId(self.graph.tensors.len() as u32);
        self.graph.tensors.push(Tensor { shape: self.network.maps[map].shape, quant: self.quants[map] });
        self.tensors.insert(map, id);
        id
    }

    fn node(&mut self, index: usize, function: Option<usize>) -> Result<(), String> {
        let node = &self.network.nodes[index];
        let of = |map: usize| self.quants[node.inputs[map]];
        let mut output = node.output;
        let to = self.quants[output];
        let op = match &node.op {
            RealOp::Conv(conv) => {
                let after = function.map(|f| &self.network.nodes[f]);
                if let Some(after) = after {
                    output = after.output;
                }
                let function = after.and_then(|a| if let RealOp::Pointwise(f) = &a.op { Some(f) } else { None });
                Op::Conv(self.conv(conv, node.inputs[0], node.output, output, function)?)
            }
            RealOp::Pointwise(function) => Op::Table(table(of(0), to, function)?),
            RealOp::Add => Op::Add { multipliers: [of(0).scale / to.scale, of(1).scale / to.scale] },
            RealOp::Sub => Op::Add { multipliers: [of(0).scale / to.scale, -of(1).scale / to.scale] },
            RealOp::Mul => Op::Mul { multiplier: of(0).scale * of(1).scale / to.scale },
            RealOp::MaxPool(window) => Op::MaxPool(*window),
            RealOp::MeanPool(window) => Op::MeanPool(*window),
            RealOp::Upsample(factor) => Op::Upsample { factor: *factor },
            RealOp::Concat => Op::Concat,
            RealOp::Gather { .. } | RealOp::Pick { .. } | RealOp::DepthToSpace { .. } | RealOp::Bilinear { .. } => {
                self.network.moving(node, to).ok_or("it has no rule")?
            }
        };
        let inputs = node.inputs.iter().map(|&map| self.tensor(map)).collect();
        let output = self.tensor(output);
        self.graph.nodes.push(Node { name: node.name.clone(), op, inputs, output });
        Ok(())
    }

    fn conv(
        &self,
        conv: &RealConv,
        input: MapId,
        before: MapId,
        output: MapId,
        function: Option<&Function>,
    ) -> Result<Conv, String> {
        let to = self.quants[output];
        // a clamp needs no table where the output's range already ends at its bounds
        let clamp = function.map(Function::clamp).transpose().map_err(|e| format!("{e:#}"))?.flatten();
        let direct = clamp.is_some_and(|(low, high)| {
            let (least, greatest) = to.range();
            low - to.scale / 2.0 <= least && greatest <= high + to.scale / 2.0
        });
        let (pre, table) = match function {
            Some(function) if !direct => {
                let pre = clipped_before(&self.observed[before], function, to)?;
                (pre, Some(table(pre, to, function)?))
            }
            _ => (to, None),
        };
        let outputs = conv.bias.len();
        let products = conv.weights.len() / outputs;
        let area = conv.window.kernel[0] * conv.window.kernel[1];
        let per_group = products / area;
        let scale_in = self.quants[input].scale;
        let means = &self.observed[input].means;
        let mut made = Conv {
            window: conv.window,
            groups: conv.groups,
            weights: Vec::with_capacity(conv.weights.len()),
            bias: Vec::with_capacity(outputs),
            multiplier: Vec::with_capacity(outputs),
            pre_zero: pre.zero,
            table,
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
                made.weights.push(q as i8);
                added += f64::from(q * scale - w) * f64::from(means[first + at % per_group]);
            }
            let bias = f64::from(conv.bias[o]) - added;
            made.bias.push((bias / f64::from(scale_in) / f64::from(scale)).round_ties_even() as i32);
            made.multiplier.push(scale_in * scale / pre.scale);
        }
        Ok(made)
    }
}
