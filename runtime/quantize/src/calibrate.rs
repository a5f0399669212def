//! What values a network's maps take on real pictures.
//!
//! tract runs the network in float32, twice over the same pictures: once for the extremes and
//! the means of channels, once for a histogram between the extremes. For maps whose channels are
//! to be scaled (see `equalise`) the second pass counts the scaled values too.
//!
//! Pictures may be dealt over several calibrators that start alike; [`Calibrator::join_extremes`] and [`Calibrator::join_counts`] add them up.

use std::collections::HashMap;

use tract_onnx::prelude::*;

use super::network::{FloatNetwork, MapId};
use super::onnx::{self, words};

/// Bins of a histogram.
pub const BINS: usize = 2048;
/// Most bytes of all maps of one picture in float32; tract holds them at the same time.
pub const MAPS_BYTES_MAX: u64 = 2 << 30;

/// The values of one map over all pictures.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The least value.
    pub low: f32,
    /// The greatest value.
    pub high: f32,
    /// Values by size between the extremes, in equal bins.
    pub histogram: Vec<u64>,
    /// Each channel.
    pub channels: Vec<Channel>,
}

/// The values of one channel of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// The least value.
    pub low: f32,
    /// The greatest value.
    pub high: f32,
    /// The mean.
    pub mean: f32,
}

impl Channel {
    /// The greatest magnitude.
    pub fn reach(&self) -> f32 {
        self.low.abs().max(self.high.abs())
    }
}

impl Observed {
    /// Nothing seen of `channels` channels.
    fn nothing(channels: usize) -> Observed {
        let channel = Channel { low: f32::INFINITY, high: f32::NEG_INFINITY, mean: 0.0 };
        Observed { low: channel.low, high: channel.high, histogram: vec![0; BINS], channels: vec![channel; channels] }
    }

    /// The middle of bin `index`.
    pub fn bin(&self, index: usize) -> f32 {
        self.low + (self.high - self.low) * (index as f32 + 0.5) / self.histogram.len() as f32
    }

    /// Bins that are not empty: (middle, share of all values).
    pub fn bins(&self) -> impl Iterator<Item = (f32, f32)> {
        let total = self.histogram.iter().sum::<u64>().max(1) as f32;
        let filled = self.histogram.iter().enumerate().filter(|(_, n)| **n > 0);
        filled.map(move |(i, &n)| (self.bin(i), n as f32 / total))
    }

    /// Extremes and means as they would be with each channel divided by its scale; the histogram is empty.
    fn scaled(&self, scales: &[f32]) -> Observed {
        let mut scaled = Observed::nothing(self.channels.len());
        for ((to, from), scale) in scaled.channels.iter_mut().zip(&self.channels).zip(scales) {
            *to = Channel { low: from.low / scale, high: from.high / scale, mean: from.mean / scale };
            scaled.low = scaled.low.min(to.low);
            scaled.high = scaled.high.max(to.high);
        }
        scaled
    }

    fn join_extremes(&mut self, other: &Observed) {
        (self.low, self.high) = (self.low.min(other.low), self.high.max(other.high));
        for (to, from) in self.channels.iter_mut().zip(&other.channels) {
            *to = Channel { low: to.low.min(from.low), high: to.high.max(from.high), mean: to.mean + from.mean };
        }
    }

    fn join_counts(&mut self, other: &Observed) {
        self.histogram.iter_mut().zip(&other.histogram).for_each(|(to, from)| *to += from);
    }

    fn count(&mut self, values: impl Iterator<Item = f32>) {
        let per = BINS as f32 / (self.high - self.low).max(f32::MIN_POSITIVE);
        for v in values {
            let bin = ((v - self.low) * per) as usize; // saturates; NaN was refused before
            self.histogram[bin.min(BINS - 1)] += 1;
        }
    }
}

/// All maps of a network in float32, for one picture after the other.
pub struct RealRun {
    state: TypedSimpleState,
    shape: Vec<usize>,
    /// Output of the run for each map.
    slots: Vec<usize>,
    /// The node that computes each map, for messages.
    names: Vec<String>,
}

/// The maps of one picture.
pub struct RealMaps<'a> {
    run: &'a RealRun,
    outputs: TVec<TValue>,
}

impl RealRun {
    /// Plans the network with all its maps as outputs.
    ///
    /// # Errors
    /// tract's words, or that its maps need more than [`MAPS_BYTES_MAX`].
    pub fn new(network: &FloatNetwork) -> Result<RealRun, String> {
        let bytes: u64 = network.maps.iter().map(|m| m.shape.elements() as u64 * size_of::<f32>() as u64).sum();
        if bytes > MAPS_BYTES_MAX {
            return Err(format!(
                "its {} maps need {} MiB in float32, the limit is {}; export it for a smaller input",
                network.maps.len(),
                bytes >> 20,
                MAPS_BYTES_MAX >> 20
            ));
        }
        let mut outlets: Vec<OutletId> = Vec::new();
        let slots = network
            .maps
            .iter()
            .map(|map| {
                outlets.iter().position(|o| *o == map.outlet).unwrap_or_else(|| {
                    outlets.push(map.outlet);
                    outlets.len() - 1
                })
            })
            .collect();
        let names = network.maps.iter().map(|m| network.model.node(m.outlet.node).name.clone()).collect();
        let (state, shape) = planned(network.model.clone(), &outlets)?;
        Ok(RealRun { state, shape, slots, names })
    }

    /// Runs the network on a flat input.
    ///
    /// # Errors
    /// tract's words.
    pub fn run(&mut self, input: &[f32]) -> Result<RealMaps<'_>, String> {
        let outputs = Tensor::from_shape(&self.shape, input)
            .map_err(|e| words(&e))
            .and_then(|tensor| onnx::run(&mut self.state, tvec!(tensor.into_tvalue())))
            .map_err(|what| format!("running it in float32: {what}"))?;
        Ok(RealMaps { run: self, outputs })
    }
}

impl RealMaps<'_> {
    /// A map's values: (channel, row, column).
    ///
    /// # Errors
    /// If they are not f32.
    pub fn of(&self, map: MapId) -> Result<&[f32], String> {
        let value = &self.outputs[self.run.slots[map]];
        let values = value.as_plain_ram().and_then(|v| v.as_slice::<f32>().ok());
        values.ok_or_else(|| format!("node {:?}: its result is not of f32", self.run.names[map]))
    }
}

/// The outputs of the regions in float32: the network's own, if nothing remains.
pub struct RealOutputs {
    state: TypedSimpleState,
    shape: Vec<usize>,
}

impl RealOutputs {
    /// Plans the network.
    ///
    /// # Errors
    /// tract's words.
    pub fn new(network: &FloatNetwork) -> Result<RealOutputs, String> {
        let outlets: Vec<OutletId> = network.outputs.iter().map(|o| o.outlet).collect();
        let (state, shape) = planned(network.model.clone(), &outlets)?;
        Ok(RealOutputs { state, shape })
    }

    /// Each output, flat.
    ///
    /// # Errors
    /// tract's words.
    pub fn run(&mut self, input: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        let mut run = || -> Result<Vec<Vec<f32>>, String> {
            let input = Tensor::from_shape(&self.shape, input).map_err(|e| words(&e))?;
            let outputs = onnx::run(&mut self.state, tvec!(input.into_tvalue()))?;
            let flat = |o: &TValue| -> TractResult<_> { Ok(o.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()) };
            outputs.iter().map(|o| flat(o).map_err(|e| words(&e))).collect()
        };
        run().map_err(|what| format!("running it in float32: {what}"))
    }
}

/// A run of the model that gives the values at `outlets`, and the shape of its input.
fn planned(mut model: TypedModel, outlets: &[OutletId]) -> Result<(TypedSimpleState, Vec<usize>), String> {
    let mut select = || -> TractResult<Vec<usize>> {
        model.select_output_outlets(outlets)?;
        Ok(model.input_fact(0)?.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default())
    };
    let shape = select().map_err(|e| words(&e));
    let made = shape.and_then(|shape| Ok((onnx::runnable(model)?.spawn().map_err(|e| words(&e))?, shape)));
    made.map_err(|what| format!("planning it in float32: {what}"))
}

/// Gathers [`Observed`] over pictures.
#[derive(Clone)]
pub struct Calibrator {
    observed: Vec<Observed>,
    /// By map: whether its channels are known, see [`RealMaps::of`].
    ordered: Vec<bool>,
    scaled: HashMap<MapId, (Vec<f32>, Observed)>,
    grouped: HashMap<MapId, Vec<(Vec<usize>, Observed)>>,
    pictures: usize,
}

/// What both passes saw.
pub struct Seen {
    /// By map.
    pub maps: Vec<Observed>,
    /// Maps whose channels were divided, see [`Calibrator::scale`].
    pub scaled: HashMap<MapId, Observed>,
    /// Groups of channels of a map, see [`Calibrator::group`].
    pub grouped: HashMap<MapId, Vec<Observed>>,
}

impl Calibrator {
    /// Nothing seen yet.
    pub fn new(network: &FloatNetwork) -> Calibrator {
        let observed = network.maps.iter().map(|m| Observed::nothing(m.shape.channels)).collect();
        let ordered = network.maps.iter().map(|m| m.ordered).collect();
        Calibrator { observed, ordered, scaled: HashMap::new(), grouped: HashMap::new(), pictures: 0 }
    }

    /// Adds the first pass of another, which began as this one did.
    pub fn join_extremes(&mut self, other: &Calibrator) {
        self.pictures += other.pictures;
        self.observed.iter_mut().zip(&other.observed).for_each(|(to, from)| to.join_extremes(from));
    }

    /// Adds the second pass of another, which began as this one did.
    pub fn join_counts(&mut self, other: &Calibrator) {
        self.observed.iter_mut().zip(&other.observed).for_each(|(to, from)| to.join_counts(from));
        for (map, (_, seen)) in &mut self.scaled {
            other.scaled.get(map).into_iter().for_each(|(_, from)| seen.join_counts(from));
        }
        for (map, parts) in &mut self.grouped {
            let theirs = other.grouped.get(map).into_iter().flatten();
            parts.iter_mut().zip(theirs).for_each(|((_, seen), (_, from))| seen.join_counts(from));
        }
    }

    /// First pass: extremes and means.
    ///
    /// # Errors
    /// tract's words, or the node that computes a value that is not finite.
    pub fn extremes(&mut self, maps: &RealMaps<'_>) -> Result<(), String> {
        self.pictures += 1;
        for (map, observed) in self.observed.iter_mut().enumerate() {
            let values = maps.of(map)?;
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return Err(format!(
                    "node {:?} computes {v} on it; leave the picture out, or repair the weights before that node",
                    maps.run.names[map]
                ));
            }
            let area = (values.len() / observed.channels.len().max(1)).max(1);
            for (channel, plane) in observed.channels.iter_mut().zip(values.chunks_exact(area)) {
                let (mut low, mut high, mut sum) = (channel.low, channel.high, 0f32);
                for &v in plane {
                    low = low.min(v);
                    high = high.max(v);
                    sum += v;
                }
                *channel = Channel { low, high, mean: channel.mean + sum / area as f32 };
                observed.low = observed.low.min(low);
                observed.high = observed.high.max(high);
            }
        }
        Ok(())
    }

    /// Ends the first pass: means become means. What it saw, by map; histograms are empty.
    pub fn seen(&mut self) -> &[Observed] {
        let pictures = std::mem::take(&mut self.pictures).max(1) as f32;
        self.observed.iter_mut().flat_map(|o| &mut o.channels).for_each(|c| c.mean /= pictures);
        for (observed, ordered) in self.observed.iter_mut().zip(&self.ordered) {
            if !ordered {
                // nothing is known of single channels
                observed.channels.fill(Channel { low: observed.low, high: observed.high, mean: 0.0 });
            }
        }
        &self.observed
    }

    /// Has the second pass count `map` also with each channel divided by its scale.
    pub fn scale(&mut self, map: MapId, scales: Vec<f32>) {
        let scaled = self.observed[map].scaled(&scales);
        self.scaled.insert(map, (scales, scaled));
    }

    /// Has the second pass count each group of `map`'s channels by itself too.
    pub fn group(&mut self, map: MapId, groups: &[Vec<usize>]) {
        let whole = &self.observed[map];
        let part = |channels: &Vec<usize>| {
            let mut part = Observed::nothing(channels.len());
            for (to, &channel) in part.channels.iter_mut().zip(channels) {
                *to = whole.channels[channel];
                part.low = part.low.min(to.low);
                part.high = part.high.max(to.high);
            }
            (channels.clone(), part)
        };
        self.grouped.insert(map, groups.iter().map(part).collect());
    }

    /// Second pass, after [`Calibrator::seen`]: histograms.
    ///
    /// # Errors
    /// tract's words.
    pub fn count(&mut self, maps: &RealMaps<'_>) -> Result<(), String> {
        for (map, observed) in self.observed.iter_mut().enumerate() {
            let values = maps.of(map)?;
            observed.count(values.iter().copied());
            if let Some((scales, scaled)) = self.scaled.get_mut(&map) {
                let area = values.len() / scales.len().max(1);
                let planes = values.chunks_exact(area.max(1)).zip(scales.iter());
                scaled.count(planes.flat_map(|(plane, scale)| plane.iter().map(move |v| v / scale)));
            }
            for (channels, part) in self.grouped.get_mut(&map).into_iter().flatten() {
                let area = values.len() / observed.channels.len().max(1);
                part.count(channels.iter().flat_map(|&c| values[c * area..(c + 1) * area].iter().copied()));
            }
        }
        Ok(())
    }

    /// What was seen.
    pub fn finish(self) -> Seen {
        let parts = |parts: Vec<(Vec<usize>, Observed)>| parts.into_iter().map(|(_, seen)| seen).collect();
        Seen {
            maps: self.observed,
            scaled: self.scaled.into_iter().map(|(map, (_, scaled))| (map, scaled)).collect(),
            grouped: self.grouped.into_iter().map(|(map, all)| (map, parts(all))).collect(),
        }
    }
}
