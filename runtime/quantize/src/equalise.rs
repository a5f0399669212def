//! Cross-layer equalisation: channels of one tensor are given like ranges, the float function unchanged.
//!
//! Between a convolution and those that read it, channel i may be divided by any s_i > 0: the first
//! one's filter i and bias i are divided, the weights of the others that read channel i multiplied.
//! This holds where everything between is positively homogeneous, f(s x) = s f(x): nothing, ReLU,
//! LeakyReLU, pools, enlargement (M. Nagel et al., arXiv:1906.04721, section 4.1). It does not hold
//! for SiLU, nor for a clamp from above, so neither is touched.

use super::classes::Classes;
use crate::calibrate::{Channel, Observed};
use crate::network::{FloatNetwork, Function, MapId, RealConv, RealOp};

/// Scales lie between 1/this and this.
pub(super) const SCALE_MAX: f32 = 64.0;
/// What lies closer to 1 is not worth a scale.
pub(super) const SCALE_OFF_MIN: f32 = 0.05;

/// A place where channels can be scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Equalisation {
    /// The convolution that is divided.
    pub producer: usize,
    /// Those that are multiplied.
    pub consumers: Vec<usize>,
    /// Maps whose channels are divided.
    pub maps: Vec<MapId>,
    /// One a channel.
    pub scales: Vec<f32>,
}

/// The convolutions of an [`Equalisation`] as they were before it.
#[derive(Debug, Clone, Default)]
pub struct Undo(Vec<(usize, RealConv)>);

/// Finds all places; `observed` needs extremes only.
pub fn find(network: &FloatNetwork, classes: &Classes, observed: &[Observed]) -> Vec<Equalisation> {
    let mut found = Vec::new();
    for (producer, node) in network.nodes.iter().enumerate() {
        let RealOp::Conv(_) = node.op else { continue };
        if classes.function(network, producer).is_some_and(|f| !is_homogeneous(f)) {
            continue;
        }
        let stored = classes.stored(network, producer);
        let Some((mut maps, consumers)) = reached(network, stored) else { continue };
        if node.output != stored {
            maps.push(node.output);
        }
        if let Some(scales) = scales(network, &consumers, &observed[stored]) {
            found.push(Equalisation { producer, consumers, maps, scales });
        }
    }
    found
}

/// The maps that hold `stored`'s channels and the convolutions that read them, if nothing else does.
pub(super) fn reached(network: &FloatNetwork, stored: MapId) -> Option<(Vec<MapId>, Vec<usize>)> {
    let readers = network.readers();
    let mut maps = vec![stored];
    let mut consumers = Vec::new();
    let mut at = 0;
    while let Some(&map) = maps.get(at) {
        at += 1;
        if network.is_output(map) {
            return None;
        }
        for &reader in readers.get(&map)? {
            match network.nodes[reader].op {
                RealOp::Conv(_) => consumers.push(reader),
                RealOp::MaxPool(_) | RealOp::MeanPool(_) | RealOp::Upsample(_) => {
                    maps.push(network.nodes[reader].output);
                }
                _ => return None,
            }
        }
    }
    Some((maps, consumers))
}

impl Equalisation {
    /// Applies it to the network's weights.
    pub fn apply(&self, network: &mut FloatNetwork) -> Undo {
        let mut undo = multiply(network, &self.consumers, &self.scales);
        undo.extend(divide(network, self.producer, &self.scales));
        undo
    }
}

/// Multiplies the weights that read each channel by its scale.
pub(super) fn multiply(network: &mut FloatNetwork, consumers: &[usize], scales: &[f32]) -> Undo {
    let mut undo = Vec::new();
    for &consumer in consumers {
        if let RealOp::Conv(conv) = &mut network.nodes[consumer].op {
            undo.push((consumer, conv.clone()));
            each_input(conv, scales.len(), |channel, w| *w *= scales[channel]);
        }
    }
    Undo(undo)
}

/// Divides the filters and biases of a convolution.
pub(super) fn divide(network: &mut FloatNetwork, producer: usize, scales: &[f32]) -> Undo {
    let RealOp::Conv(conv) = &mut network.nodes[producer].op else { return Undo::default() };
    let undo = Undo(vec![(producer, conv.clone())]);
    let products = conv.weights.len() / conv.bias.len().max(1);
    for ((filter, bias), scale) in conv.weights.chunks_exact_mut(products.max(1)).zip(&mut conv.bias).zip(scales) {
        filter.iter_mut().chain([bias]).for_each(|w| *w /= scale);
    }
    undo
}

impl Undo {
    /// Adds what was done after it.
    pub(super) fn extend(&mut self, later: Undo) {
        self.0.extend(later.0);
    }

    /// Puts the weights back: the last change first.
    pub fn apply(self, network: &mut FloatNetwork) {
        for (index, conv) in self.0.into_iter().rev() {
            network.nodes[index].op = RealOp::Conv(conv);
        }
    }
}

/// f(s x) = s f(x) for all s > 0, as far as some points tell.
pub(super) fn is_homogeneous(function: &Function) -> bool {
    let points = [-9.0f32, -2.5, -0.3, -0.01, 0.0, 0.01, 0.7, 3.0, 20.0];
    let Ok(plain) = function.eval(&points) else { return false };
    [0.001f32, 0.3, 7.0, 5000.0].iter().all(|s| {
        let scaled: Vec<f32> = points.iter().map(|x| x * s).collect();
        function.eval(&scaled).is_ok_and(|found| {
            found.iter().zip(&plain).all(|(f, p)| (f - p * s).abs() <= 1e-5 * (p * s).abs().max(1e-6 * s))
        })
    })
}

/// Calls `f` with the input channel of each weight.
fn each_input(conv: &mut RealConv, channels: usize, mut f: impl FnMut(usize, &mut f32)) {
    let outputs = conv.bias.len();
    let per_group = channels / conv.groups.max(1);
    let products = conv.weights.len() / outputs.max(1);
    for (o, filter) in conv.weights.chunks_exact_mut(products.max(1)).enumerate() {
        let first = o / (outputs / conv.groups).max(1) * per_group;
        filter.iter_mut().enumerate().for_each(|(at, w)| f(first + at % per_group, w));
    }
}

/// The greatest magnitude of the weights that read each input channel.
pub(super) fn input_reach(conv: &RealConv, channels: usize) -> Vec<f32> {
    let mut reach = vec![0f32; channels];
    each_input(&mut conv.clone(), channels, |channel, w| reach[channel] = reach[channel].max(w.abs()));
    reach
}

/// Channel i's reach a_i over the reach r_i of the weights that read it: s_i = sqrt(a_i / r_i) makes
/// a_i / s_i and r_i s_i proportional. Where only depthwise convolutions read, whose filters have
/// scales of their own, s_i = a_i. Then all are divided so that the tensor's reach stays.
pub(super) fn scales(network: &FloatNetwork, consumers: &[usize], seen: &Observed) -> Option<Vec<f32>> {
    let channels = seen.channels.len();
    let reach: Vec<f32> = seen.channels.iter().map(Channel::reach).collect();
    let most = reach.iter().fold(0f32, |m, &r| m.max(r));
    if !most.is_finite() || most <= 0.0 {
        return None;
    }
    let mut weights = vec![0f32; channels];
    let mut depthwise = true;
    for &consumer in consumers {
        let RealOp::Conv(conv) = &network.nodes[consumer].op else { continue };
        depthwise &= conv.groups == channels;
        weights.iter_mut().zip(input_reach(conv, channels)).for_each(|(most, reach)| *most = most.max(reach));
    }
    let raw = |(a, r): (&f32, &f32)| {
        let used = *a > most * 1e-6 && (depthwise || *r > 0.0);
        used.then(|| if depthwise { *a } else { (a / r).sqrt() })
    };
    let raw: Vec<Option<f32>> = reach.iter().zip(&weights).map(raw).collect();
    let after = raw.iter().zip(&reach).filter_map(|(s, a)| Some(a / (*s)?)).fold(0f32, f32::max);
    let norm = after / most;
    let scales: Vec<f32> =
        raw.into_iter().map(|s| s.map_or(1.0, |s| (s * norm).clamp(1.0 / SCALE_MAX, SCALE_MAX))).collect();
    (norm.is_finite() && norm > 0.0 && scales.iter().any(|s| (s - 1.0).abs() > SCALE_OFF_MIN)).then_some(scales)
}
