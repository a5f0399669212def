//! A convolution is split by the reach of its channels, so that each group has a range of its own.
//!
//! Where channels of very different reach share one range, the small ones are lost in its steps. If
//! only a depthwise convolution reads them, which mixes no channels, both become one convolution a
//! group; the depthwise ones store side by side again, and a permutation restores the order of channels.
//! Unlike equalisation this holds for every function between them. It costs some speed: narrower
//! convolutions and one pass over the result.

use super::super::calibrate::Observed;
use super::super::ir::{Conv, Node, Op, Source, Tensor, TensorId};
use super::super::network::{MapId, Network, RealOp};
use super::build::{Lowered, Origin};
use super::choices::{Part, table};
use super::classes::{Classes, is_output, readers};

/// Most groups of one convolution.
const GROUPS_MAX: usize = 4;
/// A group holds channels that reach at least this share of its greatest.
const REACH_SHARE: f32 = 0.35;

/// A convolution that can be split.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The node of the convolution.
    pub producer: usize,
    /// The depthwise convolution that reads it.
    pub consumer: usize,
    /// Channels of each group.
    pub groups: Vec<Vec<usize>>,
}

impl Split {
    /// What the convolution stores, and what it computes before the function.
    pub fn maps(&self, network: &Network, classes: &Classes) -> [MapId; 2] {
        [classes.stored(network, self.producer), network.nodes[self.producer].output]
    }
}

/// Finds all places; `observed` needs extremes only.
pub fn find(network: &Network, classes: &Classes, observed: &[Observed]) -> Vec<Split> {
    let readers = readers(network);
    let mut found = Vec::new();
    for (producer, node) in network.nodes.iter().enumerate() {
        let RealOp::Conv(conv) = &node.op else { continue };
        let stored = classes.stored(network, producer);
        let Some(&[consumer]) = readers.get(&stored).map(Vec::as_slice) else { continue };
        let RealOp::Conv(reader) = &network.nodes[consumer].op else { continue };
        let channels = conv.bias.len();
        let depthwise = reader.groups == channels && reader.bias.len() == channels;
        if conv.groups != 1 || !depthwise || channels < 2 || is_output(network, stored) {
            continue;
        }
        let groups = groups(&observed[stored]);
        if groups.len() > 1 {
            found.push(Split { producer, consumer, groups });
        }
    }
    found
}

/// Channels by falling reach, a new group where it falls below a share of the group's first.
fn groups(seen: &Observed) -> Vec<Vec<usize>> {
    let reach = |c: usize| seen.channels[c].low.abs().max(seen.channels[c].high.abs());
    let mut order: Vec<usize> = (0..seen.channels.len()).collect();
    order.sort_by(|&a, &b| reach(b).total_cmp(&reach(a)));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut first = f32::INFINITY;
    for channel in order {
        let full = groups.len() == GROUPS_MAX;
        match groups.last_mut() {
            Some(group) if full || reach(channel) >= first * REACH_SHARE => group.push(channel),
            _ => {
                first = reach(channel);
                groups.push(vec![channel]);
            }
        }
    }
    groups
}

/// Splits the convolution of network node `producer` and its reader in a lowered graph.
///
/// # Errors
/// The node whose function cannot be evaluated.
pub fn apply(
    lowered: &mut Lowered,
    network: &Network,
    classes: &Classes,
    producer: usize,
    parts: &[Part],
) -> Result<(), String> {
    let find = |node: usize| lowered.origins.iter().position(|o| o.node == node && o.channels.is_none());
    let Some(at) = find(producer) else { return Ok(()) };
    let stored = lowered.graph.nodes[at].output;
    let Some(reader) = lowered.graph.nodes.iter().position(|n| n.inputs == [stored]) else { return Ok(()) };
    let (first, second) = (lowered.graph.nodes[at].clone(), lowered.graph.nodes[reader].clone());
    let (first_origin, second_origin) = (lowered.origins[at].clone(), lowered.origins[reader].clone());
    let (Op::Conv(one), Op::Conv(two)) = (&first.op, &second.op) else { return Ok(()) };
    let tensors = &mut lowered.graph.tensors;
    let (whole, result) = (tensors[stored.at()].clone(), tensors[second.output.at()].clone());
    let add = |tensors: &mut Vec<Tensor>, tensor: Tensor| {
        tensors.push(tensor);
        TensorId(tensors.len() as u32 - 1)
    };
    let (mut ones, mut twos, mut joined) = (Vec::new(), Vec::new(), Vec::new());
    for (group, part) in parts.iter().enumerate() {
        let count = part.channels.len();
        let mut shape = whole.shape;
        shape.channels = count;
        let between = add(tensors, Tensor { shape, quant: part.to });
        let mut shape = result.shape;
        shape.channels = count;
        let out = add(tensors, Tensor { shape, quant: result.quant });
        let before = part.before.unwrap_or(part.to);
        let activation = match (classes.function(network, producer), part.before) {
            (Some(function), Some(before)) => Some(table(before, part.to, function)?),
            _ => None,
        };
        let mut conv = Conv { pre_zero: before.zero, table: activation, ..filters(one, &part.channels) };
        conv.multiplier.iter_mut().for_each(|m| *m *= first_origin.before.scale / before.scale);
        ones.push((
            Node { op: Op::Conv(conv), output: between, ..first.clone() },
            Origin { before, channels: Some(part.channels.clone()), group: Some(group), ..first_origin.clone() },
        ));
        let finer = whole.quant.scale / part.to.scale;
        let mut conv = Conv { groups: count, ..filters(two, &part.channels) };
        conv.multiplier.iter_mut().for_each(|m| *m /= finer);
        conv.bias.iter_mut().for_each(|b| *b = (f64::from(*b) * f64::from(finer)).round_ties_even() as i32);
        twos.push((
            Node { op: Op::Conv(conv), inputs: vec![between], output: out, ..second.clone() },
            Origin { channels: Some(part.channels.clone()), group: Some(group), ..second_origin.clone() },
        ));
        joined.push(out);
    }
    let order: Vec<usize> = parts.iter().flat_map(|p| p.channels.iter().copied()).collect();
    let mixed = add(tensors, result);
    let origin = Origin { channels: Some(order.clone()), group: None, ..second_origin };
    twos.push((Node { op: Op::Concat, inputs: joined, output: mixed, ..second.clone() }, origin.clone()));
    let mut from = vec![Source { row: 0, column: 0, channel: 0 }; order.len()];
    order.iter().enumerate().for_each(|(place, &channel)| from[channel].channel = place);
    twos.push((
        Node { op: Op::Gather { stride: [1, 1], from }, inputs: vec![mixed], ..second.clone() },
        Origin { channels: Some((0..order.len()).collect()), ..origin },
    ));
    replace(lowered, reader, twos);
    replace(lowered, at, ones);
    prune(lowered, stored);
    Ok(())
}

/// Some filters of a convolution; a depthwise one keeps one group a filter.
fn filters(conv: &Conv, channels: &[usize]) -> Conv {
    let products = conv.weights.len() / conv.bias.len().max(1);
    Conv {
        window: conv.window,
        groups: conv.groups,
        weights: channels.iter().flat_map(|&c| conv.weights[c * products..(c + 1) * products].iter().copied()).collect(),
        bias: channels.iter().map(|&c| conv.bias[c]).collect(),
        multiplier: channels.iter().map(|&c| conv.multiplier[c]).collect(),
        pre_zero: conv.pre_zero,
        table: conv.table.clone(),
    }
}

fn replace(lowered: &mut Lowered, at: usize, by: Vec<(Node, Origin)>) {
    let (nodes, origins): (Vec<Node>, Vec<Origin>) = by.into_iter().unzip();
    lowered.graph.nodes.splice(at..=at, nodes);
    lowered.origins.splice(at..=at, origins);
}

/// Removes a tensor that nothing writes any more.
fn prune(lowered: &mut Lowered, gone: TensorId) {
    let graph = &mut lowered.graph;
    graph.tensors.remove(gone.at());
    let moved = |id: &mut TensorId| {
        if id.0 > gone.0 {
            id.0 -= 1;
        }
    };
    graph.inputs.iter_mut().for_each(moved);
    for node in &mut graph.nodes {
        node.inputs.iter_mut().for_each(moved);
        moved(&mut node.output);
    }
    graph.outputs.iter_mut().flat_map(|o| &mut o.parts).for_each(|p| moved(&mut p.tensor));
}
