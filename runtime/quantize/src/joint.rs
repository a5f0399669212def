//! Equalisation of channels that are joined, moved, added or gated on their way to the convolutions that read them.
//!
//! Where the maps of many convolutions share one quantization, because they are concatenated, shuffled or added, one channel
//! of great reach makes the steps of all others coarse, and no convolution can be equalised alone (`equalise`, `split`).
//! Here all channels of such a neighbourhood are followed: channels that hold the same values, or sums of them, are one
//! variable with one scale. It is 1 where something reads them that is not homogeneous; else the convolutions (or the tables
//! behind them, by groups of channels) divide by it, and the weights that read the channels are multiplied by it. A
//! neighbourhood is taken as a whole: by itself, none of its convolutions would gain anything.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::Classes;
use super::equalise::{SCALE_MAX, SCALE_OFF_MIN, Undo, divide, input_reach, is_homogeneous, multiply};
use super::split::{GROUPS_MAX, Group, SCALE_SHARE, Split};
use crate::calibrate::Observed;
use crate::network::{FloatNetwork, MapId, RealOp};

/// A neighbourhood whose channels can be scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    /// The convolutions that divide.
    pub producers: Vec<Producer>,
    /// Maps with channels whose scale is not 1, and the scale of each channel.
    pub maps: BTreeMap<MapId, Vec<f32>>,
}

/// A convolution that divides its channels.
#[derive(Debug, Clone, PartialEq)]
pub enum Producer {
    /// In its weights.
    Whole(usize),
    /// In the tables of groups of channels.
    Split(Split),
}

impl Producer {
    /// The convolution.
    pub fn node(&self) -> usize {
        match self {
            Producer::Whole(node) => *node,
            Producer::Split(split) => split.producer,
        }
    }
}

impl Joint {
    /// Applies it to the network's weights.
    pub fn apply(&self, network: &mut FloatNetwork) -> Undo {
        let mut undo = Undo::default();
        for (map, scales) in &self.maps {
            let reads = |node: usize| network.nodes[node].inputs.first() == Some(map);
            let readers: Vec<usize> = (0..network.nodes.len()).filter(|&node| reads(node)).collect();
            undo.extend(multiply(network, &readers, scales));
        }
        for producer in &self.producers {
            if let Producer::Whole(node) = producer
                && let Some(scales) = self.maps.get(&network.nodes[*node].output)
            {
                undo.extend(divide(network, *node, scales));
            }
        }
        undo
    }

    /// The convolutions that are split.
    pub fn splits(&self) -> impl Iterator<Item = &Split> {
        self.producers.iter().filter_map(|producer| match producer {
            Producer::Split(split) => Some(split),
            Producer::Whole(_) => None,
        })
    }
}

/// Finds all neighbourhoods, of convolutions that are not `alone` in what reads them; `observed` needs extremes only.
pub fn find(network: &FloatNetwork, classes: &Classes, observed: &[Observed], alone: &BTreeSet<usize>) -> Vec<Joint> {
    let channels = Channels::of(network, classes, alone);
    let wanted = channels.wanted(network, observed);
    let mut neighbourhoods: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, node) in network.nodes.iter().enumerate() {
        if matches!(node.op, RealOp::Conv(_)) && !alone.contains(&index) {
            let root = channels.neighbourhood(classes.stored(network, index));
            neighbourhoods.entry(root).or_default().push(index);
        }
    }
    let of = |(root, producers): (usize, Vec<usize>)| {
        let is_here = |map: &MapId| channels.neighbourhood(*map) == root;
        let maps: Vec<MapId> = (0..network.maps.len()).filter(is_here).collect();
        let scales = channels.scales(network, classes, observed, &wanted, &maps, &producers)?;
        let of_map = |map: MapId| -> Vec<f32> {
            (0..network.maps[map].shape.channels).map(|c| scales[&channels.variable(map, c)]).collect()
        };
        let is_scaled = |scales: &Vec<f32>| scales.iter().any(|&scale| scale != 1.0);
        let mut made = Joint { producers: Vec::new(), maps: BTreeMap::new() };
        for map in maps {
            made.maps.extend(Some((map, of_map(map))).filter(|(_, scales)| is_scaled(scales)));
        }
        for producer in producers {
            let (stored, before) = (classes.stored(network, producer), network.nodes[producer].output);
            let Some(scales) = made.maps.get(&stored).cloned() else { continue };
            if channels.is_whole(network, classes, producer) {
                made.maps.insert(before, scales);
                made.producers.push(Producer::Whole(producer));
            } else {
                let groups = groups(&scales);
                let (consumers, maps) = (Vec::new(), Vec::new());
                made.producers.push(Producer::Split(Split { producer, consumers, maps, before, groups }));
            }
        }
        (!made.producers.is_empty()).then_some(made)
    };
    neighbourhoods.into_iter().filter_map(of).collect()
}

/// Channels by scale, the greatest first.
fn groups(scales: &[f32]) -> Vec<Group> {
    let mut order: Vec<usize> = (0..scales.len()).collect();
    order.sort_by(|&a, &b| scales[b].total_cmp(&scales[a]));
    let mut groups: Vec<Group> = Vec::new();
    for channel in order {
        match groups.last_mut() {
            Some(group) if group.scale == scales[channel] => group.channels.push(channel),
            _ => groups.push(Group { channels: vec![channel], scale: scales[channel] }),
        }
    }
    groups
}

/// All channels of all maps; those that must have one scale are one variable.
struct Channels {
    /// The first channel of each map.
    first: Vec<usize>,
    /// By channel, a member of its variable.
    variables: Vec<usize>,
    /// Variables whose scale is 1, by their root.
    fixed: BTreeSet<usize>,
    /// By map, a member of its neighbourhood.
    neighbours: Vec<usize>,
}

fn root(parents: &[usize], mut at: usize) -> usize {
    while parents[at] != at {
        at = parents[at];
    }
    at
}

fn unite(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

impl Channels {
    fn of(network: &FloatNetwork, classes: &Classes, alone: &BTreeSet<usize>) -> Channels {
        let mut first = Vec::with_capacity(network.maps.len());
        let mut count = 0;
        for map in &network.maps {
            first.push(count);
            count += map.shape.channels;
        }
        let (variables, neighbours) = ((0..count).collect(), (0..network.maps.len()).collect());
        let mut made = Channels { first, variables, fixed: BTreeSet::new(), neighbours };
        let mut fixed: Vec<MapId> = network.inputs.clone();
        // nothing is known of their single channels
        fixed.extend((0..network.maps.len()).filter(|&map| !network.maps[map].ordered));
        fixed.extend(network.outputs.iter().flat_map(|output| output.parts.iter().map(|part| part.map)));
        for (index, node) in network.nodes.iter().enumerate() {
            made.follow(network, classes, index, &mut fixed);
            let is_alone = matches!(node.op, RealOp::Conv(_)) && alone.contains(&index);
            fixed.extend(is_alone.then(|| classes.stored(network, index)));
        }
        for map in fixed {
            for channel in 0..network.maps[map].shape.channels {
                let variable = made.variable(map, channel);
                made.fixed.insert(variable);
            }
        }
        // what shares a quantization is scaled with one norm, whatever joins it
        (0..network.maps.len()).for_each(|map| unite(&mut made.neighbours, map, classes.root(map)));
        // roots of what was united later
        made.fixed = made.fixed.iter().map(|&variable| root(&made.variables, variable)).collect();
        made
    }

    /// Unites what node `index` reads and writes; what it cannot scale is added to `fixed`.
    fn follow(&mut self, network: &FloatNetwork, classes: &Classes, index: usize, fixed: &mut Vec<MapId>) {
        let node = &network.nodes[index];
        let output = node.output;
        let channels = network.maps[output].shape.channels;
        match &node.op {
            RealOp::Conv(conv) => {
                let divides = self.is_whole(network, classes, index) || conv.groups == 1 || conv.is_depthwise();
                fixed.extend((!divides).then(|| classes.stored(network, index)));
                // before a table nothing is scaled
                let stored = classes.stored(network, index);
                fixed.extend((stored != output && !self.is_whole(network, classes, index)).then_some(output));
            }
            RealOp::Pointwise(_) if classes.fused.values().any(|&fused| fused == index) => {}
            RealOp::Pointwise(function) if is_homogeneous(function) => self.alike(node.inputs[0], output, channels),
            RealOp::MaxPool(_) | RealOp::MeanPool(_) | RealOp::Upsample(_) | RealOp::Bilinear { .. } => {
                self.alike(node.inputs[0], output, channels);
            }
            RealOp::Pick { fill, .. } if *fill == 0.0 => self.alike(node.inputs[0], output, channels),
            RealOp::Add | RealOp::Sub => {
                node.inputs.iter().for_each(|&input| self.alike(input, output, channels));
            }
            RealOp::Mul => {
                self.alike(node.inputs[0], output, channels);
                fixed.push(node.inputs[1]);
            }
            RealOp::Concat => {
                let mut at = 0;
                for &input in &node.inputs {
                    for channel in 0..network.maps[input].shape.channels {
                        self.unite([(input, channel), (output, at)]);
                        at += 1;
                    }
                }
            }
            RealOp::Gather { from, .. } => {
                for (channel, source) in from.iter().enumerate() {
                    self.unite([(node.inputs[0], source.channel), (output, channel)]);
                }
            }
            RealOp::Pointwise(_) | RealOp::Pick { .. } | RealOp::DepthToSpace { .. } | RealOp::Attention(_) => {
                fixed.extend(node.inputs.iter().copied().chain([output]))
            }
        }
    }

    /// The channels of two maps are the same variables, one by one.
    fn alike(&mut self, a: MapId, b: MapId, channels: usize) {
        (0..channels).for_each(|channel| self.unite([(a, channel), (b, channel)]));
    }

    fn unite(&mut self, [(a, i), (b, j)]: [(MapId, usize); 2]) {
        let [from, to] = [self.first[a] + i, self.first[b] + j];
        unite(&mut self.variables, from, to);
        unite(&mut self.neighbours, a, b);
    }

    fn variable(&self, map: MapId, channel: usize) -> usize {
        root(&self.variables, self.first[map] + channel)
    }

    /// Maps whose quantizations or scales hang together.
    fn neighbourhood(&self, map: MapId) -> usize {
        root(&self.neighbours, map)
    }

    /// Whether a convolution divides in its weights: nothing but what is homogeneous follows it.
    fn is_whole(&self, network: &FloatNetwork, classes: &Classes, producer: usize) -> bool {
        classes.function(network, producer).is_none_or(is_homogeneous)
    }

    /// The scale that each variable wants: as in `equalise`, by its reach and that of the weights that read it.
    fn wanted(&self, network: &FloatNetwork, observed: &[Observed]) -> BTreeMap<usize, f32> {
        // reach, reach of weights, whether only depthwise convolutions read it
        let mut seen: BTreeMap<usize, (f32, f32, bool)> = BTreeMap::new();
        for (map, observed) in observed.iter().enumerate() {
            for (channel, range) in observed.channels.iter().enumerate() {
                let entry = seen.entry(self.variable(map, channel)).or_insert((0.0, 0.0, true));
                entry.0 = entry.0.max(range.reach());
            }
        }
        for node in &network.nodes {
            let RealOp::Conv(conv) = &node.op else { continue };
            let input = node.inputs[0];
            let channels = network.maps[input].shape.channels;
            for (channel, reach) in input_reach(conv, channels).into_iter().enumerate() {
                let entry = seen.entry(self.variable(input, channel)).or_insert((0.0, 0.0, true));
                entry.1 = entry.1.max(reach);
                entry.2 &= conv.groups == channels;
            }
        }
        let scale = |(variable, (reach, weights, depthwise)): (usize, (f32, f32, bool))| {
            let is_used = reach.is_finite() && reach > 0.0 && weights > 0.0 && !self.fixed.contains(&variable);
            is_used.then(|| (variable, if depthwise { reach } else { (reach / weights).sqrt() }))
        };
        seen.into_iter().filter_map(scale).collect()
    }

    /// The scale of each variable of `maps`: the greatest reach stays as it is. Where a table divides, scales are those of
    /// few groups.
    fn scales(
        &self,
        network: &FloatNetwork,
        classes: &Classes,
        observed: &[Observed],
        wanted: &BTreeMap<usize, f32>,
        maps: &[MapId],
        producers: &[usize],
    ) -> Option<BTreeMap<usize, f32>> {
        let (mut most, mut after) = (0f32, 0f32);
        let mut scales = BTreeMap::new();
        for &map in maps {
            for (channel, range) in observed[map].channels.iter().enumerate() {
                let (variable, reach) = (self.variable(map, channel), range.reach());
                let scale = wanted.get(&variable).copied();
                // what is not used, or fixed, does not say what the others come to
                if let Some(scale) = scale {
                    (most, after) = (most.max(reach), after.max(reach / scale));
                }
                scales.insert(variable, scale);
            }
        }
        let norm = after / most;
        if !(norm.is_finite() && norm > 0.0) {
            return None;
        }
        let in_table = |producer: &&usize| !self.is_whole(network, classes, **producer);
        let by_groups: BTreeSet<usize> = producers
            .iter()
            .filter(in_table)
            .map(|&producer| classes.stored(network, producer))
            .flat_map(|map| (0..network.maps[map].shape.channels).map(move |channel| (map, channel)))
            .map(|(map, channel)| self.variable(map, channel))
            .collect();
        let bounded = |scale: f32| (scale * norm).clamp(1.0 / SCALE_MAX, SCALE_MAX);
        let greatest = by_groups.iter().filter_map(|v| wanted.get(v)).map(|&s| bounded(s)).fold(0f32, f32::max);
        let level = |scale: f32| {
            let level = ((scale / greatest).ln() / SCALE_SHARE.ln()).floor();
            greatest * SCALE_SHARE.powf(level.clamp(0.0, GROUPS_MAX as f32 - 1.0))
        };
        let of = |(variable, scale): (usize, Option<f32>)| {
            let in_groups = |scale: f32| if by_groups.contains(&variable) { level(scale) } else { scale };
            let scale = scale.map(bounded).map_or(1.0, in_groups);
            // here, where all that hold the channel follow: it is divided and multiplied everywhere, or nowhere
            (variable, if (scale - 1.0).abs() > SCALE_OFF_MIN { scale } else { 1.0 })
        };
        Some(scales.into_iter().map(of).collect())
    }
}
