//! Bias correction: the mean of each channel is made what it is in float32.
//!
//! Layer by layer, from the input on: the graph up to a convolution runs over pictures, the mean
//! that each of its channels has is compared with the real one, and the difference is taken off the
//! bias (arXiv:1906.04721, section 4.2, measured instead of computed). Values that the range cuts
//! off do not move with the bias; the difference is divided by the share of those that do.

use super::error_metric::{ErrorMetric, Runner};
use super::lowered::{Lowered, Origin};
use super::samples::Samples;
use crate::calibrate::RealRun;
use crate::network::{FloatNetwork, MapId};
use lapwing_engine::ir::{Checked, Graph, Node, Op, Output, Part, TensorId};
use lapwing_engine::parallel;

/// Least share of values that move with a bias; below it the division would exaggerate.
const MOVING_MIN: f64 = 0.1;
/// Largest magnitude of a corrected bias, so that it fits in 32 bits beside the sum.
const BIAS_MAX: f64 = (1 << 29) as f64;

/// The mean of each channel of some maps.
pub struct Means(Vec<Vec<f64>>);

impl Means {
    /// Means that are known: by map, then by channel.
    #[cfg(test)]
    pub fn given(means: Vec<Vec<f64>>) -> Means {
        Means(means)
    }

    /// Runs the network in float32 over `pictures`; `told` after each. `scales` divides the
    /// channels of a map.
    ///
    /// # Errors
    /// tract's words.
    pub fn of(
        network: &FloatNetwork,
        samples: &Samples,
        pictures: &[usize],
        threads: usize,
        scales: impl Fn(MapId) -> Option<Vec<f32>>,
        told: &mut dyn FnMut(),
    ) -> Result<Means, String> {
        let nothing = || network.maps.iter().map(|m| vec![0.0; m.shape.channels]).collect::<Vec<Vec<f64>>>();
        let worker = || Ok::<_, String>((RealRun::new(network)?, Vec::new()));
        let each = |(run, input): &mut (RealRun, Vec<f32>), means: &mut Vec<Vec<f64>>, picture: usize| {
            samples.real(picture, input);
            let maps = run.run(input)?;
            for (map, means) in means.iter_mut().enumerate() {
                let values = maps.of(map)?;
                let area = (values.len() / means.len().max(1)).max(1);
                for (mean, plane) in means.iter_mut().zip(values.chunks_exact(area)) {
                    let sum: f64 = plane.iter().map(|&v| f64::from(v)).sum();
                    *mean += sum / (area * pictures.len()) as f64;
                }
            }
            Ok(())
        };
        let mut means = nothing();
        for lane in parallel::over(threads, pictures, worker, nothing, each, told)? {
            means.iter_mut().flatten().zip(lane.iter().flatten()).for_each(|(to, from)| *to += from);
        }
        for (map, means) in means.iter_mut().enumerate() {
            if let Some(scales) = scales(map) {
                means.iter_mut().zip(scales).for_each(|(m, s)| *m /= f64::from(s));
            }
        }
        Ok(Means(means))
    }
}

/// Corrects node `index` of the graph on `pictures`; false if it is no convolution or nothing changed.
///
/// # Errors
/// The plan's.
pub fn correct(
    lowered: &mut Lowered,
    index: usize,
    network: &FloatNetwork,
    means: &Means,
    error_metric: &ErrorMetric<'_>,
    pictures: &[usize],
) -> Result<bool, String> {
    let Op::Conv(conv) = &lowered.graph.nodes[index].op else { return Ok(false) };
    let origin = lowered.origins[index].clone();
    // a store with a table is observed before it, one that clamps behind it
    let map = if conv.has_function() { network.nodes[origin.node].output } else { origin.map };
    let all = &means.0[map];
    let real: Vec<f64> = (0..conv.bias.len()).map(|c| all[origin.channel(c)]).collect();
    let shifts = shifts(&lowered.graph, index, &origin, &real, error_metric, pictures)?;
    let Op::Conv(conv) = &mut lowered.graph.nodes[index].op else { return Ok(false) };
    let mut changed = false;
    for ((bias, multiplier), shift) in conv.bias.iter_mut().zip(&conv.multiplier).zip(shifts) {
        let step = f64::from(*multiplier) * f64::from(origin.before.scale);
        let corrected = (f64::from(*bias) - shift / step).round_ties_even();
        if corrected.abs() <= BIAS_MAX && corrected as i32 != *bias {
            *bias = corrected as i32;
            changed = true;
        }
    }
    Ok(changed)
}

/// How much the mean of each channel lies above `real`, as far as the bias moves it.
fn shifts(
    graph: &Graph,
    index: usize,
    origin: &Origin,
    real: &[f64],
    error_metric: &ErrorMetric<'_>,
    pictures: &[usize],
) -> Result<Vec<f64>, String> {
    let graph = Checked::new(until(graph, index, origin))?;
    let tensor = graph.nodes.last().map_or(TensorId(0), |n| n.output);
    // values, and how many of them are not cut off; then how many pixels
    type Tally = (Vec<(u64, u64)>, u64);
    let each = |runner: &mut Runner<'_>, (sums, count): &mut Tally, picture: usize| {
        let view = runner.run(picture).view(tensor);
        for y in 0..view.shape.height {
            for x in 0..view.shape.width {
                for (sum, q) in sums.iter_mut().zip(view.pixel(y, x)) {
                    *sum = (sum.0 + u64::from(q), sum.1 + u64::from(q != 0 && q != 255));
                }
            }
        }
        *count += (view.shape.height * view.shape.width) as u64;
        Ok(())
    };
    let nothing = || (vec![(0u64, 0u64); real.len()], 0);
    let lanes =
        parallel::over(error_metric.threads(), pictures, || error_metric.runner(&graph), nothing, each, &mut || {})?;
    let (mut sums, mut count) = nothing();
    for (lane, pixels) in lanes {
        sums.iter_mut().zip(lane).for_each(|(to, from)| *to = (to.0 + from.0, to.1 + from.1));
        count += pixels;
    }
    let count = count.max(1) as f64;
    let shift = |((sum, moving), real): (&(u64, u64), &f64)| {
        let mean = (*sum as f64 / count - f64::from(origin.before.zero)) * f64::from(origin.before.scale);
        (mean - real) / (*moving as f64 / count).max(MOVING_MIN)
    };
    Ok(sums.iter().zip(real).map(shift).collect())
}

/// The graph up to node `index`, a convolution, which stores without its table; that is its only output.
fn until(graph: &Graph, index: usize, origin: &Origin) -> Graph {
    let mut made = Graph::default();
    let mut ids = vec![None; graph.tensors.len()];
    let mut of = |id: TensorId, made: &mut Graph| {
        *ids[id.at()].get_or_insert_with(|| {
            made.tensors.push(graph.tensor(id).clone());
            TensorId(made.tensors.len() as u32 - 1)
        })
    };
    made.inputs = graph.inputs.iter().map(|&id| of(id, &mut made)).collect();
    for node in needed(graph, index) {
        let inputs = node.inputs.iter().map(|&id| of(id, &mut made)).collect();
        let output = of(node.output, &mut made);
        made.nodes.push(Node { inputs, output, ..node.clone() });
    }
    if let Some(Node { op: Op::Conv(conv), output, .. }) = made.nodes.last_mut() {
        conv.table = None;
        let tensor = *output;
        if conv.wide.output {
            made.tensors[tensor.at()].shape.channels /= 2;
            (conv.wide.output, conv.wide.curve) = (false, None);
        }
        made.tensors[tensor.at()].quant = origin.before;
        let shape = made.tensors[tensor.at()].shape;
        let strides = [shape.width * shape.channels, shape.channels, 1];
        let parts = vec![Part { tensor, base: 0, strides }];
        made.outputs.push(Output { name: String::new(), shape: vec![shape.elements()], parts });
    }
    made
}

/// The nodes that node `index` depends on, and itself, in order.
fn needed(graph: &Graph, index: usize) -> Vec<&Node> {
    let mut wanted = vec![false; graph.tensors.len()];
    let mut nodes = Vec::new();
    wanted[graph.nodes[index].output.at()] = true;
    for node in graph.nodes[..=index].iter().rev() {
        if wanted[node.output.at()] {
            node.inputs.iter().for_each(|id| wanted[id.at()] = true);
            nodes.push(node);
        }
    }
    nodes.reverse();
    nodes
}
