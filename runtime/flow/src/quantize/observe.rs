//! The values of all tensors of a velocity network, band by band of t.

use tract_onnx::prelude::*;

use super::structure::Structure;
use super::windows::Drawn;
use crate::FlowManifest;
use crate::network::Asked;
use crate::real::Runner;

/// Values of one tensor and one run that are kept for its range.
const KEPT: usize = 8192;

/// What was seen of a tensor.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// By channel.
    pub channels: Vec<Channel>,
    /// Some of the values.
    pub values: Vec<f32>,
}

/// What was seen of a channel.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    /// The least.
    pub low: f32,
    /// The greatest.
    pub high: f32,
    /// The mean.
    pub mean: f64,
}

/// What was seen in a band of t.
#[derive(Debug, Clone)]
pub struct SeenBand {
    /// By tensor; empty for enlarged ones.
    pub tensors: Vec<Seen>,
    /// By convolution: before its SiLU; empty where it has none.
    pub before: Vec<Seen>,
}

/// The network with all its tensors as outputs.
pub struct Observer<'a> {
    structure: &'a Structure,
    runner: Runner,
}

impl<'a> Observer<'a> {
    /// Plans the network.
    ///
    /// # Errors
    /// tract's words.
    pub fn new(structure: &'a Structure, manifest: &FlowManifest) -> Result<Observer<'a>, String> {
        let outlets: Vec<OutletId> = structure.outlets.iter().chain(&structure.before).flatten().copied().collect();
        let mut model = structure.model.clone();
        model.select_output_outlets(&outlets).map_err(|e| format!("{e:#}"))?;
        let spec = &manifest.velocity;
        let mut shapes = vec![vec![1, 3, spec.side, spec.side], vec![1, spec.film, 1, 1]];
        if spec.context {
            shapes.push(vec![1, 4, spec.side, spec.side]);
        }
        Ok(Observer { structure, runner: Runner::plan(model, shapes)? })
    }

    /// Runs the network on all that was drawn; `film` gives the film of a step.
    ///
    /// # Errors
    /// tract's words.
    pub fn band(&mut self, drawn: &[Drawn], film: &mut FilmOf<'_>) -> Result<SeenBand, String> {
        let structure = self.structure;
        let mut seen = SeenBand {
            tensors: vec![Seen::default(); structure.shapes.len()],
            before: vec![Seen::default(); structure.convs.len()],
        };
        let mut values = Vec::new();
        for input in drawn {
            film(input.asked, &mut values)?;
            let around = if input.context.is_empty() { 0 } else { 4 };
            let pixels = input.x.len() / 3;
            let plane = |c: usize| -> Vec<f32> {
                let of = |i: usize| if c < 3 { input.x[3 * i + c] } else { input.context[around * i + c - 3] };
                (0..pixels).map(of).collect()
            };
            let planes: Vec<f32> = (0..3 + around).flat_map(plane).collect();
            seen.tensors[0].add(&planes, 3 + around);
            let write = |index: usize, to: &mut [f32]| match index {
                0 => to.copy_from_slice(&planes[..3 * pixels]),
                1 => to.copy_from_slice(&values),
                _ => to.copy_from_slice(&planes[3 * pixels..]),
            };
            let SeenBand { tensors, before } = &mut seen;
            let slots = tensors.iter_mut().zip(&structure.outlets).chain(before.iter_mut().zip(&structure.before));
            let mut slots = slots.filter(|(_, outlet)| outlet.is_some()).map(|(seen, _)| seen);
            let shapes = structure.outlets.iter().zip(&structure.shapes).filter(|(o, _)| o.is_some());
            let channels: Vec<usize> = shapes.map(|(_, s)| s.channels).chain(self.channels_before()).collect();
            self.runner.run(write, |(index, found)| {
                if let (Some(seen), Some(&channels)) = (slots.next(), channels.get(index)) {
                    seen.add(found, channels);
                }
            })?;
        }
        let runs = drawn.len().max(1) as f64;
        for seen in seen.tensors.iter_mut().chain(&mut seen.before) {
            seen.channels.iter_mut().for_each(|c| c.mean /= runs);
            seen.values.sort_by(f32::total_cmp);
        }
        Ok(seen)
    }

    fn channels_before(&self) -> Vec<usize> {
        let convs = self.structure.before.iter().zip(&self.structure.convs);
        convs.filter(|(o, _)| o.is_some()).map(|(_, c)| c.bias.len()).collect()
    }
}

/// Writes the film of what is asked.
pub type FilmOf<'a> = dyn FnMut(Asked, &mut Vec<f32>) -> Result<(), String> + 'a;

impl Seen {
    /// Adds one run's values, (channel, row, column).
    fn add(&mut self, values: &[f32], channels: usize) {
        self.channels.resize(channels, Channel { low: f32::INFINITY, high: f32::NEG_INFINITY, mean: 0.0 });
        let area = (values.len() / channels.max(1)).max(1);
        for (channel, plane) in self.channels.iter_mut().zip(values.chunks_exact(area)) {
            let sum: f64 = plane.iter().map(|&v| f64::from(v)).sum();
            channel.mean += sum / area as f64;
            channel.low = plane.iter().copied().fold(channel.low, f32::min);
            channel.high = plane.iter().copied().fold(channel.high, f32::max);
        }
        // a step without a common factor with rows and channels passes through all of them
        let step = (values.len() / KEPT).max(1) | 1;
        self.values.extend(values.iter().step_by(step));
    }

    /// All but `tail` of the values at each end; the values are in order.
    pub fn range(&self, tail: f64) -> (f32, f32) {
        let last = self.values.len().saturating_sub(1);
        let cut = ((self.values.len() as f64 * tail) as usize).min(last / 2);
        match (self.values.get(cut), self.values.get(last - cut)) {
            (Some(&low), Some(&high)) => (low, high),
            _ => (0.0, 0.0),
        }
    }
}
