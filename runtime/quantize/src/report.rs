//! What quantization did to each layer, for people and for scripts.

use std::collections::HashMap;

use serde::Serialize;

use super::choices::{Choices, Range};
use super::classes::Classes;
use super::error_metric::{ErrorMetric, Runner, Sums};
use super::lowered::{Lowered, Origin};
use super::samples::Samples;
use crate::calibrate::RealRun;
use crate::network::{FloatNetwork, MapId};
use lapwing_engine::int16;
use lapwing_engine::ir::{Checked, Graph, Op, Output, Part, TensorId};
use lapwing_engine::parallel;
use lapwing_engine::plan::View;

/// The whole of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Pictures that ranges were taken from.
    pub pictures: usize,
    /// Pictures on which decisions and this report were measured.
    pub judged_on: usize,
    /// Noise by signal at the outputs, in the numbers that decide, after each step.
    pub steps: Vec<StepReport>,
    /// Each output.
    pub outputs: Vec<OutputReport>,
    /// Each node that computes; the most sensitive first.
    pub layers: Vec<LayerReport>,
}

/// A step of the quantization.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Its name.
    pub step: &'static str,
    /// What was tried.
    pub tried: usize,
    /// What lowered the error and was kept.
    pub kept: usize,
    /// Noise by signal at the outputs after it.
    pub error: f64,
}

/// An output of the network, or a part of one that has a tensor of its own.
#[derive(Debug, Clone, Serialize)]
pub struct OutputReport {
    /// The name in the file.
    pub name: String,
    /// Which part of it, counted from 0.
    pub part: usize,
    /// Signal by noise.
    pub sqnr_db: f64,
}

/// A layer.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// The node's name in the file.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// Multiplications of one run.
    pub macs: u64,
    /// Of its results.
    pub bits: u8,
    /// Signal by noise of its results, everything before it quantized too.
    pub sqnr_db: f64,
    /// What its 256 values reach from.
    pub low: f32,
    /// And to.
    pub high: f32,
    /// How the range was chosen.
    pub method: &'static str,
    /// How the range before its table was chosen, if it has one.
    pub method_before_table: Option<&'static str>,
    /// Share of the real values that lie outside the range.
    pub clipped: f64,
    /// Its share of the error at the outputs, measured by making it coarser; absent if that was not asked for.
    pub sensitivity: Option<f64>,
}

/// What a report is made from.
pub struct Subject<'a, 'b> {
    /// In float32 values.
    pub network: &'a FloatNetwork,
    /// Its classes.
    pub classes: &'a Classes,
    /// The methods.
    pub choices: &'a Choices<'b>,
    /// The result.
    pub lowered: &'a Lowered,
    /// Divisors of the channels of equalised maps.
    pub scales: &'a HashMap<MapId, Vec<f32>>,
}

/// Sums of one layer.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    sums: Sums,
    clipped: u64,
    values: u64,
}

impl Tally {
    /// Adds what stands for a map, or for some channels of it, and the map in float32: (channel, row, column).
    /// `wide`: rests follow the values.
    fn add(&mut self, view: View<'_>, wide: bool, real: &[f32], origin: &Origin, scales: Option<&[f32]>) {
        let (low, high) = view.quant.range();
        let half = view.quant.scale / 2.0;
        let numbers: [f32; 256] = std::array::from_fn(|q| view.quant.real(q as u8));
        let area = view.shape.height * view.shape.width;
        let channels = if wide { view.shape.channels / 2 } else { view.shape.channels };
        for y in 0..view.shape.height {
            for x in 0..view.shape.width {
                for (c, q) in view.pixel(y, x).take(channels).enumerate() {
                    let found = if wide {
                        int16::real([q, view.value(y, x, channels + c)], view.quant)
                    } else {
                        numbers[usize::from(q)]
                    };
                    let channel = origin.channel(c);
                    let mut value = real[channel * area + y * view.shape.width + x];
                    if let Some(scales) = scales {
                        value /= scales[channel];
                    }
                    self.sums.add(value, found);
                    self.clipped += u64::from(value < low - half || value > high + half);
                    self.values += 1;
                }
            }
        }
    }

    fn join(&mut self, other: &Tally) {
        self.sums.join(&other.sums);
        self.clipped += other.clipped;
        self.values += other.values;
    }
}

impl Subject<'_, '_> {
    /// Compares every layer with the float32 values over `pictures`; the order is that of the graph.
    ///
    /// # Errors
    /// The plan's, or tract's words.
    pub fn layers(
        &self,
        samples: &Samples,
        pictures: &[usize],
        threads: usize,
        error_metric: &ErrorMetric<'_>,
        told: &mut dyn FnMut(),
    ) -> Result<Vec<(usize, LayerReport)>, String> {
        let graph = &self.lowered.graph;
        let watched: Vec<usize> = (0..graph.nodes.len()).filter(|&n| computes(&graph.nodes[n].op)).collect();
        let watching = Checked::new(watching(graph, &watched))?;
        let worker = || Ok::<_, String>((error_metric.runner(&watching)?, RealRun::new(self.network)?, Vec::new()));
        type Worker<'a> = (Runner<'a>, RealRun, Vec<f32>);
        let each = |(runner, run, input): &mut Worker<'_>, tallies: &mut Vec<Tally>, picture: usize| {
            let plan = runner.run(picture);
            samples.real(picture, input);
            let maps = run.run(input)?;
            for (tally, &index) in tallies.iter_mut().zip(&watched) {
                let origin = &self.lowered.origins[index];
                let scales = self.scales.get(&origin.map).map(Vec::as_slice);
                let view = plan.view(graph.nodes[index].output);
                tally.add(view, writes_rests(&graph.nodes[index].op), maps.of(origin.map)?, origin, scales);
            }
            Ok(())
        };
        let nothing = || vec![Tally::default(); watched.len()];
        let mut tallies = nothing();
        for lane in parallel::over(threads, pictures, worker, nothing, each, told)? {
            tallies.iter_mut().zip(&lane).for_each(|(to, from)| to.join(from));
        }
        Ok(watched.iter().zip(tallies).map(|(&index, tally)| (index, self.layer(index, tally))).collect())
    }

    fn layer(&self, index: usize, tally: Tally) -> LayerReport {
        let graph = &self.lowered.graph;
        let node = &graph.nodes[index];
        let origin = &self.lowered.origins[index];
        let (low, high) = graph.tensor(node.output).quant.range();
        let root = self.classes.root(origin.map);
        let has_table = matches!(&node.op, Op::Conv(conv) if conv.has_function());
        let stored = Range::Class(root);
        let before = origin.group.map_or(Range::Before(origin.node), |group| Range::BeforePart(origin.node, group));
        LayerReport {
            name: node.name.clone(),
            op: node.op.name(),
            macs: graph.macs_of(node),
            bits: if writes_rests(&node.op) { 16 } else { 8 },
            sqnr_db: tally.sums.decibels(),
            low,
            high,
            method: if root == 0 { "pixels" } else { self.choices.method(stored).name() },
            method_before_table: has_table.then(|| self.choices.method(before).name()),
            clipped: tally.clipped as f64 / tally.values.max(1) as f64,
            sensitivity: None,
        }
    }
}

/// Whether an operation writes sixteen bits.
fn writes_rests(op: &Op) -> bool {
    matches!(op, Op::Conv(conv) if conv.wide.output)
}

/// Whether an operation makes new numbers.
fn computes(op: &Op) -> bool {
    !matches!(op, Op::MaxPool(_) | Op::Upsample { .. } | Op::Concat | Op::Slice { .. } | Op::Gather { .. })
}

/// The graph with the results of `watched` for its outputs, so that all are there after a run.
fn watching(graph: &Graph, watched: &[usize]) -> Graph {
    let mut made = graph.clone();
    made.outputs = watched
        .iter()
        .map(|&index| {
            let tensor: TensorId = graph.nodes[index].output;
            let shape = graph.tensor(tensor).shape;
            let strides = [shape.width * shape.channels, shape.channels, 1];
            let parts = vec![Part { tensor, base: 0, strides }];
            Output { name: String::new(), shape: vec![shape.elements()], parts }
        })
        .collect();
    made
}

/// Each part of each output.
pub fn outputs(graph: &Graph, sums: &[Vec<Sums>]) -> Vec<OutputReport> {
    let part = |output: &Output, part: usize, sums: &Sums| OutputReport {
        name: output.name.clone(),
        part,
        sqnr_db: sums.decibels(),
    };
    let of = graph.outputs.iter().zip(sums);
    of.flat_map(|(output, sums)| sums.iter().enumerate().map(move |(at, s)| part(output, at, s))).collect()
}
