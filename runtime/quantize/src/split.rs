//! Equalisation through a function that is not homogeneous, such as SiLU: by groups of channels.
//!
//! Where channels of very different reach share one range, the small ones are lost in its steps. The
//! convolution is split into one a group, each with a range before and a table of its own, and the
//! table divides by the group's scale; the weights that read the channels are multiplied by it. The
//! groups store side by side, and a permutation restores the order of channels. It costs some speed:
//! narrower convolutions and one pass over the result.

use super::classes::Classes;
use super::equalise::{Undo, is_homogeneous, multiply, reached, scales};
use super::lookup::table;
use super::lowered::{Lowered, Origin};
use super::quants::Part;
use crate::calibrate::Observed;
use crate::network::{FloatNetwork, MapId, RealOp};
use lapwing_engine::ir::{Conv, Node, Op, Shape, Source, Tensor, TensorId, Wide};
use lapwing_engine::quant::Quant;

/// Most groups of one convolution.
pub(super) const GROUPS_MAX: usize = 4;
/// A group holds channels whose wanted scale is at least this share of its greatest.
pub(super) const SCALE_SHARE: f32 = 0.4;

/// A convolution that can be split.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The node of the convolution.
    pub producer: usize,
    /// Those that read it.
    pub consumers: Vec<usize>,
    /// Maps whose channels are divided: what it stores, and what holds the same channels.
    pub maps: Vec<MapId>,
    /// The map before the function.
    pub before: MapId,
    /// At least two; one where the whole tensor is divided.
    pub groups: Vec<Group>,
}

/// Channels with one scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The channels.
    pub channels: Vec<usize>,
    /// What they are divided by.
    pub scale: f32,
}

impl Split {
    /// The scale of each channel.
    pub fn scales(&self) -> Vec<f32> {
        let mut scales = vec![1.0; self.groups.iter().map(|g| g.channels.len()).sum()];
        for group in &self.groups {
            group.channels.iter().for_each(|&c| scales[c] = group.scale);
        }
        scales
    }

    /// Multiplies the weights of the readers.
    pub fn apply(&self, network: &mut FloatNetwork) -> Undo {
        multiply(network, &self.consumers, &self.scales())
    }
}

/// Finds all places; `observed` needs extremes only.
pub fn find(network: &FloatNetwork, classes: &Classes, observed: &[Observed]) -> Vec<Split> {
    let mut found = Vec::new();
    for (producer, node) in network.nodes.iter().enumerate() {
        let RealOp::Conv(conv) = &node.op else { continue };
        let Some(function) = classes.function(network, producer) else { continue };
        if is_homogeneous(function) || !(conv.groups == 1 || conv.is_depthwise()) {
            continue;
        }
        let stored = classes.stored(network, producer);
        let Some((maps, consumers)) = reached(network, stored) else { continue };
        let Some(wanted) = scales(network, &consumers, &observed[stored]) else { continue };
        let groups = groups(&wanted);
        if groups.len() > 1 {
            found.push(Split { producer, consumers, maps, before: node.output, groups });
        }
    }
    found
}

/// Channels by falling scale, a new group where it falls below a share of the group's first.
fn groups(wanted: &[f32]) -> Vec<Group> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[b].total_cmp(&wanted[a]));
    let mut groups: Vec<Group> = Vec::new();
    for channel in order {
        let full = groups.len() == GROUPS_MAX;
        match groups.last_mut() {
            Some(group) if full || wanted[channel] >= group.scale * SCALE_SHARE => group.channels.push(channel),
            _ => groups.push(Group { channels: vec![channel], scale: wanted[channel] }),
        }
    }
    groups
}

/// Splits the convolution of network node `producer` in a lowered graph.
///
/// # Errors
/// The node whose function cannot be evaluated.
pub fn lower(
    lowered: &mut Lowered,
    network: &FloatNetwork,
    classes: &Classes,
    producer: usize,
    parts: &[Part],
) -> Result<(), String> {
    let Some(at) = lowered.origins.iter().position(|o| o.node == producer) else { return Ok(()) };
    let (whole, origin) = (lowered.graph.nodes[at].clone(), lowered.origins[at].clone());
    let (Op::Conv(conv), Some(function)) = (&whole.op, classes.function(network, producer)) else { return Ok(()) };
    let tensor = lowered.graph.tensor(whole.output).clone();
    let source = lowered.graph.tensor(whole.inputs[0]).clone();
    let tensors = &mut lowered.graph.tensors;
    let mut add = |like: &Tensor, channels: usize| {
        tensors.push(Tensor { shape: Shape { channels, ..like.shape }, quant: like.quant });
        TensorId(tensors.len() as u32 - 1)
    };
    let is_alone = parts.len() == 1;
    let (mut made, mut joined) = (Vec::new(), Vec::new());
    for (group, part) in parts.iter().enumerate() {
        let count = part.channels.len();
        let mut filters = filters(conv, &part.channels);
        let mut inputs = whole.inputs.clone();
        if conv.groups > 1 && !is_alone {
            // a depthwise filter reads its own channel only
            filters.groups = count;
            let output = add(&source, count);
            let from = part.channels.iter().map(|&channel| Source { row: 0, column: 0, channel }).collect();
            let op = Op::Gather { stride: [1, 1], from };
            made.push((Node { op, inputs, output, ..whole.clone() }, origin.clone()));
            inputs = vec![output];
        }
        let to = Quant { scale: tensor.quant.scale * part.scale, ..tensor.quant };
        filters.pre_zero = part.before.zero;
        filters.table = Some(table(part.before, to, function)?);
        filters.multiplier.iter_mut().for_each(|m| *m *= origin.before.scale / part.before.scale);
        // alone, nothing is mixed: it stores where it did
        let output = if is_alone { whole.output } else { add(&tensor, count) };
        joined.push(output);
        let node = Node { op: Op::Conv(filters), inputs, output, ..whole.clone() };
        let channels = Some(part.channels.clone());
        made.push((node, Origin { before: part.before, channels, group: Some(group), ..origin.clone() }));
    }
    if !is_alone {
        let order: Vec<usize> = parts.iter().flat_map(|p| p.channels.iter().copied()).collect();
        let mixed = add(&tensor, order.len());
        let moved = Origin { channels: Some(order.clone()), ..origin.clone() };
        made.push((Node { op: Op::Concat, inputs: joined, output: mixed, ..whole.clone() }, moved));
        let mut from = vec![Source { row: 0, column: 0, channel: 0 }; order.len()];
        order.iter().enumerate().for_each(|(place, &channel)| from[channel].channel = place);
        made.push((Node { op: Op::Gather { stride: [1, 1], from }, inputs: vec![mixed], ..whole.clone() }, origin));
    }
    let (nodes, origins): (Vec<Node>, Vec<Origin>) = made.into_iter().unzip();
    lowered.graph.nodes.splice(at..=at, nodes);
    lowered.origins.splice(at..=at, origins);
    Ok(())
}

/// Some filters of a convolution.
fn filters(conv: &Conv, channels: &[usize]) -> Conv {
    let products = conv.weights.len() / conv.bias.len().max(1);
    Conv {
        window: conv.window,
        groups: conv.groups,
        weights: channels
            .iter()
            .flat_map(|&c| conv.weights[c * products..(c + 1) * products].iter().copied())
            .collect(),
        bias: channels.iter().map(|&c| conv.bias[c]).collect(),
        multiplier: channels.iter().map(|&c| conv.multiplier[c]).collect(),
        pre_zero: conv.pre_zero,
        table: None,
        wide: Wide::default(),
    }
}
