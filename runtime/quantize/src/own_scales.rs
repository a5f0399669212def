//! A network whose file states all scales (QDQ) becomes a [`Graph`] with exactly these.
//!
//! Weights and biases keep the file's whole numbers; where one does not fit (-128, or a zero point
//! that is not the middle), its channel is rounded anew. A function behind a convolution becomes the
//! table of its store.

use std::collections::HashMap;

use super::network::{FloatNetwork, Function, MapId, RealConv, RealNode, RealOp};
use lapwing_engine::ir::{Conv, Graph, Node, Op, Output, Part, Tensor, TensorId, Weights, Wide};
use lapwing_engine::quant::{Quant, Table};

/// The graph of a network of which [`FloatNetwork::has_own_scales`] holds.
///
/// # Errors
/// The node and what is wrong with it.
pub fn graph(network: &FloatNetwork) -> Result<Graph, String> {
    let readers = network.readers();
    let mut builder = Builder { network, tensors: HashMap::new(), graph: Graph::default() };
    for &map in &network.inputs {
        let quant = network.maps[map].quant;
        let unread = !readers.contains_key(&map);
        let quant =
            quant.or(unread.then(|| Quant::covering(0.0, 1.0))).ok_or("the file states no scale for an input")?;
        let tensor = builder.tensor(map, quant);
        builder.graph.inputs.push(tensor);
    }
    let mut stored = vec![false; network.nodes.len()];
    for (index, node) in network.nodes.iter().enumerate() {
        if stored[index] {
            continue; // by the node before it
        }
        let next = readers.get(&node.output).map_or(&[][..], Vec::as_slice);
        let after = match next {
            [one] if !network.is_output(node.output) => Some(*one),
            _ => None,
        };
        let after = after.filter(|&a| matches!(network.nodes[a].op, RealOp::Pointwise(_)));
        let taken = builder.node(node, after.map(|a| &network.nodes[a]));
        if taken.map_err(|what| format!("node {:?}: {what}", node.name))?
            && let Some(after) = after
        {
            stored[after] = true;
        }
    }
    for output in &network.outputs {
        let part = |p: &super::network::RealPart| {
            let tensor = builder.tensors.get(&p.map).copied().ok_or("an output is not computed")?;
            Ok(Part { tensor, base: p.base, strides: p.strides })
        };
        let parts = output.parts.iter().map(part).collect::<Result<_, String>>()?;
        builder.graph.outputs.push(Output { name: output.name.clone(), shape: output.shape.clone(), parts });
    }
    builder.graph.check()?;
    Ok(builder.graph)
}

struct Builder<'a> {
    network: &'a FloatNetwork,
    tensors: HashMap<MapId, TensorId>,
    graph: Graph,
}

impl Builder<'_> {
    fn tensor(&mut self, map: MapId, quant: Quant) -> TensorId {
        *self.tensors.entry(map).or_insert_with(|| {
            self.graph.tensors.push(Tensor { shape: self.network.maps[map].shape, quant });
            TensorId(self.graph.tensors.len() as u32 - 1)
        })
    }

    fn read(&self, map: MapId) -> Result<(TensorId, Quant), String> {
        let id = self.tensors.get(&map).copied().ok_or("it reads what nothing computes")?;
        Ok((id, self.graph.tensor(id).quant))
    }

    /// Adds the node; true if it stores the result of `after`.
    fn node(&mut self, node: &RealNode, after: Option<&RealNode>) -> Result<bool, String> {
        let inputs = node.inputs.iter().map(|&m| self.read(m)).collect::<Result<Vec<_>, _>>()?;
        let own = self.network.maps[node.output].quant;
        let function = after.and_then(|a| if let RealOp::Pointwise(f) = &a.op { Some((a, f)) } else { None });
        // the numbers of the sum, and what happens to them in the store
        let (pre, table, to, fused) = match (function, own) {
            (Some((a, function)), own) if own.is_none() || matches!(node.op, RealOp::Conv(_)) => {
                let to = self.network.maps[a.output].quant.ok_or("the file states no scale for its result")?;
                let pre = match own {
                    Some(quant) => quant,
                    None if cuts_only(function, to)? => to,
                    None => before(function, to)?,
                };
                let table = if own.is_none() && pre == to { None } else { Some(table(pre, to, function)?) };
                (pre, table, to, Some(a))
            }
            (_, Some(quant)) => (quant, None, quant, None),
            (_, None) => return Err("the file states no scale for its result".into()),
        };
        let of = |input: usize| inputs[input].1.scale;
        let mut table = table;
        let op = match &node.op {
            RealOp::Conv(real) => {
                let mut conv = conv(real, inputs[0].1, pre);
                conv.table = table.take();
                Op::Conv(conv)
            }
            RealOp::Pointwise(function) => Op::Table(self::table(inputs[0].1, pre, function)?),
            RealOp::Add => Op::Add { multipliers: [of(0) / pre.scale, of(1) / pre.scale] },
            RealOp::Sub => Op::Add { multipliers: [of(0) / pre.scale, -of(1) / pre.scale] },
            RealOp::Mul => Op::Mul { multiplier: of(0) * of(1) / pre.scale },
            _ => self.network.moving(node, pre).ok_or("it has no rule")?,
        };
        let inputs = inputs.iter().map(|i| i.0).collect();
        let written = fused.map_or(node.output, |a| a.output);
        if let Some(table) = table {
            // only convolutions have a table in their store
            let middle = self.tensor(node.output, pre);
            self.graph.nodes.push(Node { name: node.name.clone(), op, inputs, output: middle });
            let output = self.tensor(written, to);
            let name = fused.map_or(&node.name, |a| &a.name).clone();
            self.graph.nodes.push(Node { name, op: Op::Table(table), inputs: vec![middle], output });
        } else {
            let output = self.tensor(written, to);
            self.graph.nodes.push(Node { name: node.name.clone(), op, inputs, output });
        }
        Ok(fused.is_some())
    }
}

fn words(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// True if, before rounding to `to`, the function only cuts off what `to` cannot hold either.
fn cuts_only(function: &Function, to: Quant) -> Result<bool, String> {
    let clamp = function.unrounded().0.clamp().map_err(words)?;
    let (least, greatest) = to.range();
    let half = to.scale / 2.0;
    Ok(clamp.is_some_and(|(low, high)| low - half <= least && greatest <= high + half))
}

/// The range outside of which the function gives nothing new.
fn before(function: &Function, to: Quant) -> Result<Quant, String> {
    let grid: Vec<f32> = (-4000..=4000).map(|i| (i as f32 * 0.002).sinh() * 0.1).collect();
    let values: Vec<u8> = function.eval(&grid).map_err(words)?.into_iter().map(|v| to.quantize(v)).collect();
    let (first, last) = (values[0], values[values.len() - 1]);
    let low = values.iter().position(|v| *v != first).map_or(0.0, |at| grid[at.saturating_sub(1)]);
    let high = values.iter().rposition(|v| *v != last).map_or(0.0, |at| grid[(at + 1).min(grid.len() - 1)]);
    Ok(Quant::covering(low.min(high), high.max(low)))
}

fn table(from: Quant, to: Quant, function: &Function) -> Result<Box<Table>, String> {
    let points: Vec<f32> = (0..=255).map(|q| from.real(q)).collect();
    let values = function.eval(&points).map_err(words)?;
    Ok(Box::new(std::array::from_fn(|q| to.quantize(values[q]))))
}

fn conv(real: &RealConv, from: Quant, to: Quant) -> Conv {
    let outputs = real.bias.len();
    let products = real.weights.len() / outputs.max(1);
    let mut rounded = Vec::with_capacity(real.weights.len());
    let mut made = Conv {
        window: real.window,
        groups: real.groups,
        weights: Weights::default(),
        bias: Vec::with_capacity(outputs),
        multiplier: Vec::with_capacity(outputs),
        pre_zero: to.zero,
        table: None,
        wide: Wide::default(),
    };
    for (o, weights) in real.weights.chunks_exact(products).enumerate() {
        let scale = match whole(weights) {
            Some((codes, scale)) => {
                rounded.extend(codes.iter().map(|&c| c as i8));
                scale
            }
            None => {
                let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
                let scale = (largest / 127.0).max(f32::MIN_POSITIVE * 1e6);
                rounded.extend(weights.iter().map(|w| (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8));
                scale
            }
        };
        let product = from.scale * scale;
        made.bias.push((f64::from(real.bias[o]) / f64::from(product)).round_ties_even() as i32);
        made.multiplier.push(product / to.scale);
    }
    made.weights = rounded.into();
    made
}

/// The whole numbers, at most 127, of which the weights are multiples, and the scale; tract gives
/// weights only after multiplying the two. The scale is the file's to within rounding in f32.
fn whole(weights: &[f32]) -> Option<(Vec<i32>, f32)> {
    const OFF_MAX: f32 = 1e-4;
    let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
    if largest < f32::MIN_POSITIVE * 1e6 {
        return None;
    }
    (1..=127i16).find_map(|most| {
        let scale = largest / f32::from(most);
        let near = weights.iter().all(|w| (w / scale - (w / scale).round()).abs() < OFF_MAX);
        near.then(|| (weights.iter().map(|w| (w / scale).round() as i32).collect(), scale))
    })
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn whole_numbers_are_found_behind_their_products() {
        let codes: Vec<i32> = vec![-91, 127, 3, 0, -64, 127, 55];
        let weights: Vec<f32> = codes.iter().map(|&c| c as f32 * 0.003_217_5).collect();
        let (found, scale) = whole(&weights).unwrap();
        assert_eq!(found, codes);
        assert!((scale / 0.003_217_5 - 1.0).abs() < 1e-6);
        assert!(whole(&[0.3, 0.271_828, -0.141_59, 0.577_21]).is_none());
    }
}
