//! The file of a flow in eight bits.
//!
//! It is a [`container`](lapwing_engine::artifact::container). Its count is that of the f32 at the start of the body:
//! the condition network, scales and biases, then the bands, in the order of the header. Behind them lie the filters'
//! weights as i8, one after the other.
//!
//! Every length follows from the header; a file that is longer or shorter is refused. A graph made of
//! it is checked before it runs, so a forged file can compute nonsense and do nothing else.

use serde::{Deserialize, Serialize};

use super::dense::{Condition, Dense};
use super::recipe::{BANDS_MAX, Band, Filters, Kind, Range, Recipe, RecipeStep};
use crate::FlowManifest;
use lapwing_engine::artifact::container::Container;
use lapwing_engine::bytes::Bytes;
use lapwing_engine::ir::{NODES_MAX, PRODUCTS_MAX, SIDE_MAX, Shape, Weights};
use lapwing_engine::quant::Quant;

/// The format that this build reads and writes.
pub const FORMAT: u32 = 1;
/// The first bytes.
pub const MAGIC: &[u8; 8] = lapwing_engine::artifact::FLOW_MAGIC;
const HEADER_MAX: usize = 16 << 20;
/// Most numbers in a file.
const NUMBERS_MAX: usize = 1 << 28;

/// A flow in eight bits.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowArtifact {
    /// What it is.
    pub manifest: FlowManifest,
    /// How it was made.
    pub calibration: Calibration,
    /// Time, label and mode to film.
    pub condition: Condition,
    /// The velocity network.
    pub recipe: Recipe,
}

/// How a flow was quantized.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// SHA-256 of the velocity network it was made from.
    pub source_sha256: String,
    /// Windows that were looked at.
    pub windows: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    manifest: FlowManifest,
    calibration: Calibration,
    /// Outputs of the condition's layers.
    layers: [usize; 3],
    shapes: Vec<Shape>,
    steps: Vec<RecipeStep>,
    convs: Vec<ConvHeader>,
    bands: Vec<BandHeader>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConvHeader {
    kernel: usize,
    stride: usize,
    inputs: usize,
    outputs: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BandHeader {
    t_max: f32,
    /// Quantization and number of lines, by tensor.
    ranges: Vec<(Quant, usize)>,
    /// Before SiLU, by convolution.
    pre: Vec<Quant>,
}

impl FlowArtifact {
    /// The file's bytes.
    ///
    /// # Errors
    /// If the header cannot be written as JSON: a number in it is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let recipe = &self.recipe;
        let conv = |c: &Filters| ConvHeader {
            kernel: c.kernel,
            stride: c.stride,
            inputs: c.weights.len() / (c.kernel * c.kernel * c.bias.len()).max(1),
            outputs: c.bias.len(),
        };
        let band = |b: &Band| BandHeader {
            t_max: b.t_max,
            ranges: b.ranges.iter().map(|r| (r.quant, r.lines.len())).collect(),
            pre: b.convs.iter().map(|c| c.0).collect(),
        };
        let header = Header {
            manifest: self.manifest.clone(),
            calibration: self.calibration.clone(),
            layers: self.condition.layers.each_ref().map(|l| l.bias.len()),
            shapes: recipe.shapes.clone(),
            steps: recipe.steps.clone(),
            convs: recipe.convs.iter().map(conv).collect(),
            bands: recipe.bands.iter().map(band).collect(),
        };
        let mut reals: Vec<f32> = Vec::new();
        for layer in &self.condition.layers {
            reals.extend(layer.weights.iter().chain(&layer.bias));
        }
        for conv in &recipe.convs {
            reals.extend(conv.scale.iter().chain(&conv.bias));
        }
        for band in &recipe.bands {
            band.ranges.iter().for_each(|r| reals.extend(r.lines.as_flattened()));
            band.convs.iter().for_each(|c| reals.extend(&c.1));
        }
        let header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
        let mut body: Vec<u8> = reals.iter().flat_map(|v| v.to_le_bytes()).collect();
        body.extend(recipe.convs.iter().flat_map(|c| c.weights.iter()).map(|w| w.to_le_bytes()[0]));
        Ok(Container::write(MAGIC, FORMAT, reals.len() as u64, &header, &body))
    }

    /// Reads a file's bytes; the weights stay where they are.
    ///
    /// # Errors
    /// One line: what is wrong with the file.
    pub fn from_bytes(file: impl Into<Bytes>) -> Result<FlowArtifact, String> {
        let file: Bytes = file.into();
        if file.get(..8) != Some(MAGIC) {
            return Err("it is not a flow in eight bits".into());
        }
        let file = Container::open(file, FORMAT..=FORMAT, HEADER_MAX)?;
        let body = file.body();
        let reals = usize::try_from(file.count()).ok().filter(|&count| count <= NUMBERS_MAX);
        let Some(weights) = reals.and_then(|count| body.part(4 * count..body.len())) else {
            return Err(format!("it has {} bytes, its first lines promise more: it was cut", file.len()));
        };
        if !file.is_whole() {
            return Err("its checksum does not match: it was altered; copy it again".into());
        }
        let reals = &body[..body.len() - weights.len()];
        let header: Header = serde_json::from_slice(file.header()).map_err(|e| format!("its header: {e}"))?;
        header.manifest.validate().map_err(|what| format!("its manifest: {what}"))?;
        header.check()?;
        let reals: Vec<f32> = reals.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        if reals.iter().any(|v| !v.is_finite()) {
            return Err("a number in it is not finite".into());
        }
        Reader { reals: &reals, weights, at: 0 }.artifact(header)
    }
}

impl Header {
    fn check(&self) -> Result<(), String> {
        let sane = |n: usize| (1..=SIDE_MAX).contains(&n);
        let spec = &self.manifest.velocity;
        let input = Shape { height: spec.side, width: spec.side, channels: if spec.context { 7 } else { 3 } };
        let output = Shape { channels: 3, ..input };
        let last = self.steps.last().and_then(|s| self.shapes.get(s.output));
        if self.steps.len() > NODES_MAX || self.shapes.len() > NODES_MAX || self.convs.len() > NODES_MAX {
            return Err(format!("{} steps are more than {NODES_MAX}", self.steps.len()));
        }
        if self.shapes.first() != Some(&input) || last != Some(&output) {
            return Err("its input or output is not the manifest's picture".into());
        }
        if self.bands.is_empty() || self.bands.len() > BANDS_MAX {
            return Err(format!("it has {} bands, 1 to {BANDS_MAX} are possible", self.bands.len()));
        }
        for shape in &self.shapes {
            if ![shape.height, shape.width, shape.channels].into_iter().all(sane) {
                return Err(format!("a tensor is {shape:?}"));
            }
        }
        for conv in &self.convs {
            let sides = [1, 3].contains(&conv.kernel) && [1, 2].contains(&conv.stride);
            if !sides || !sane(conv.inputs) || !sane(conv.outputs) || 9 * conv.inputs > PRODUCTS_MAX {
                return Err("a convolution has sides that are not possible".into());
            }
        }
        for band in &self.bands {
            if band.ranges.len() != self.shapes.len() || band.pre.len() != self.convs.len() {
                return Err("a band has not a range for each tensor".into());
            }
            let scales = band.ranges.iter().map(|r| r.0.scale).chain(band.pre.iter().map(|q| q.scale));
            if !band.t_max.is_finite() || scales.into_iter().any(|s| !(s.is_finite() && s > 0.0)) {
                return Err("a scale is not above zero".into());
            }
            for ((_, lines), shape) in band.ranges.iter().zip(&self.shapes) {
                if ![0, shape.channels].contains(lines) {
                    return Err(format!("{lines} lines for {} channels", shape.channels));
                }
            }
        }
        if self.layers.iter().any(|&n| n == 0 || n > 1 << 16) {
            return Err("its condition network has sides that are not possible".into());
        }
        Ok(())
    }
}

/// What is left of the file's numbers.
struct Reader<'a> {
    reals: &'a [f32],
    weights: Bytes,
    /// Weights taken.
    at: usize,
}

impl Reader<'_> {
    fn reals(&mut self, count: usize) -> Result<Vec<f32>, String> {
        let (taken, rest) = self.reals.split_at_checked(count).ok_or("it holds fewer numbers than it promises")?;
        self.reals = rest;
        Ok(taken.to_vec())
    }

    fn weights(&mut self, count: usize) -> Result<Weights, String> {
        let part = self.weights.part(self.at..self.at.saturating_add(count));
        self.at = self.at.saturating_add(count);
        part.map(Weights::View).ok_or_else(|| "it holds fewer weights than it promises".into())
    }

    fn artifact(mut self, header: Header) -> Result<FlowArtifact, String> {
        let spec = &header.manifest.condition;
        let [first, second, last] = header.layers;
        let mut layer = |inputs: usize, outputs: usize| -> Result<Dense, String> {
            Ok(Dense { weights: self.reals(inputs.saturating_mul(outputs))?, bias: self.reals(outputs)? })
        };
        let layers = [layer(spec.features + spec.labels + 1, first)?, layer(first, second)?, layer(second, last)?];
        let condition = Condition { layers };
        condition.check(spec, header.manifest.velocity.film)?;
        let mut convs = Vec::with_capacity(header.convs.len());
        for c in &header.convs {
            let (scale, bias) = (self.reals(c.outputs)?, self.reals(c.outputs)?);
            convs.push(Filters { kernel: c.kernel, stride: c.stride, weights: Weights::default(), scale, bias });
        }
        let mut bands = Vec::with_capacity(header.bands.len());
        for band in &header.bands {
            let mut ranges = Vec::with_capacity(band.ranges.len());
            for &(quant, lines) in &band.ranges {
                let lines = self.reals(2 * lines)?.as_chunks::<2>().0.to_vec();
                ranges.push(Range { quant, lines });
            }
            let mut numbers = Vec::with_capacity(band.pre.len());
            for (&pre, c) in band.pre.iter().zip(&header.convs) {
                numbers.push((pre, self.reals(c.outputs)?));
            }
            bands.push(Band { t_max: band.t_max, ranges, convs: numbers });
        }
        for (conv, c) in convs.iter_mut().zip(&header.convs) {
            conv.weights = self.weights(c.outputs.saturating_mul(c.kernel * c.kernel).saturating_mul(c.inputs))?;
        }
        if !self.reals.is_empty() || self.at != self.weights.len() {
            return Err("it holds more numbers than it promises".into());
        }
        let recipe = Recipe { shapes: header.shapes, steps: header.steps, convs, bands };
        let made = FlowArtifact { manifest: header.manifest, calibration: header.calibration, condition, recipe };
        made.check()?;
        Ok(made)
    }
}

impl FlowArtifact {
    /// Multiplications of one step.
    pub fn macs(&self) -> u64 {
        let of = |step: &RecipeStep| match step.kind {
            Kind::Conv { filters, .. } => {
                let area = self.recipe.shapes.get(step.output).map_or(0, |s| s.height as u64 * s.width as u64);
                area.saturating_mul(self.recipe.convs.get(filters).map_or(0, |c| c.weights.len() as u64))
            }
            _ => 0,
        };
        self.recipe.steps.iter().map(of).fold(0, u64::saturating_add)
    }

    /// A film that changes nothing.
    ///
    /// # Errors
    /// The step that has no place in it.
    pub fn neutral_film(&self) -> Result<Vec<f32>, String> {
        let mut film = vec![1.0; self.manifest.velocity.film];
        for step in &self.recipe.steps {
            if let Kind::Conv { filters, film: Some(at), .. } = step.kind {
                let outputs = self.recipe.convs.get(filters).map_or(0, |c| c.bias.len());
                let shifts = film.get_mut(at.saturating_add(outputs)..at.saturating_add(2 * outputs));
                shifts.ok_or_else(|| format!("step {:?}: its film is too short", step.name))?.fill(0.0);
            }
        }
        Ok(film)
    }

    /// The graph of every band is fit to run, for a film that changes nothing.
    ///
    /// # Errors
    /// The band, the step and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let film = self.neutral_film()?;
        let (first, others) = self.recipe.bands.split_first().ok_or("it has no bands")?;
        let named = |band: &Band, what: String| format!("up to t = {}: {what}", band.t_max);
        let mut graph = self.recipe.graph(first, &film).map_err(|what| named(first, what))?;
        graph.check().map_err(|what| named(first, what))?;
        for band in others {
            // tables can hold anything
            let done = self.recipe.set_params(band, None, &film, &mut graph.numbers());
            done.and_then(|()| graph.check()).map_err(|what| named(band, what))?;
        }
        Ok(())
    }
}
