//! The velocity network in eight bits before a step is chosen: weights and structure for all t,
//! ranges a band of t. [`Recipe::graph`] makes the graph of one step of them, and [`Recipe::set_params`]
//! turns the numbers of such a graph into those of another step: the structure is the same for all.
//!
//! A value of a tensor is `quant.real(q)`, and where the tensor has lines, its channel c stands for
//! `factor_c * quant.real(q) + offset_c`: channels of the full-size trunk differ so much in range
//! that one scale for all would lose most of them. Lines cost nothing: convolutions fold them into
//! their multipliers and biases, additions carry them on, and SiLU takes them up in a table a channel.

use serde::{Deserialize, Serialize};

use super::dense::silu;
use lapwing_engine::ir::{
    Conv, Graph, Node, NodeParams, Op, Output, Part, QuantParams, Shape, Tensor, TensorId, Weights, Wide, Window,
};
use lapwing_engine::quant::{Quant, Table};

/// Most bands.
pub const BANDS_MAX: usize = 64;
/// Largest magnitude of a bias, so that it fits in 32 bits beside the sum.
const BIAS_MAX: f32 = (1 << 29) as f32;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// By tensor; the first is the input.
    pub shapes: Vec<Shape>,
    /// In the order of execution; the last writes the velocity.
    pub steps: Vec<RecipeStep>,
    /// By [`Kind::Conv`]'s number.
    pub convs: Vec<Filters>,
    /// In ascending order of `t_max`.
    pub bands: Vec<Band>,
}

/// One step of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeStep {
    /// The name in the file it came from.
    pub name: String,
    /// What it computes.
    pub kind: Kind,
    /// Tensors that it reads.
    pub inputs: Vec<usize>,
    /// The tensor that it writes.
    pub output: usize,
}

/// What a step computes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// A convolution; where it has a film, times `film[at..]` plus `film[at + outputs..]`, channel by
    /// channel; then SiLU or not.
    Conv {
        /// Number of its filters.
        filters: usize,
        /// Where its scales begin in film.
        film: Option<usize>,
        /// SiLU in the store.
        silu: bool,
    },
    /// SiLU alone.
    Silu,
    /// Of two tensors.
    Add,
    /// Each pixel two by two.
    Double,
}

/// The weights of a convolution, padded by half its kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Filters {
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// RecipeStep.
    pub stride: usize,
    /// (output, row, column, input), -127..=127, for the input's `quant.real(q)`.
    pub weights: Weights,
    /// What a weight of 1 stands for, one an output.
    pub scale: Vec<f32>,
    /// One an output.
    pub bias: Vec<f32>,
}

/// Ranges for t up to `t_max`.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The greatest t it serves.
    pub t_max: f32,
    /// By tensor.
    pub ranges: Vec<Range>,
    /// By convolution: the range before its SiLU, and what is added to its bias because weights are
    /// rounded (arXiv:1906.04721, section 4.2).
    pub convs: Vec<(Quant, Vec<f32>)>,
}

/// What a tensor's numbers stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Of all channels.
    pub quant: Quant,
    /// Factor and offset of each channel; none where all are 1 and 0.
    pub lines: Vec<[f32; 2]>,
}

impl Range {
    fn line(&self, channel: usize) -> [f32; 2] {
        self.lines.get(channel).copied().unwrap_or([1.0, 0.0])
    }
}

impl Recipe {
    /// The number of the band that serves `t`.
    pub fn band_index(&self, t: f64) -> Option<usize> {
        self.bands.iter().position(|b| t <= f64::from(b.t_max)).or(self.bands.len().checked_sub(1))
    }

    /// The band that serves `t`.
    pub fn band(&self, t: f64) -> Option<&Band> {
        self.bands.get(self.band_index(t)?)
    }

    /// The graph for `band` with `film` folded in.
    ///
    /// # Errors
    /// The step and what is wrong with it.
    pub fn graph(&self, band: &Band, film: &[f32]) -> Result<Graph, String> {
        if band.ranges.len() != self.shapes.len() || band.convs.len() != self.convs.len() {
            return Err("a band has not a range for each tensor".into());
        }
        let tensor = |(shape, range): (&Shape, &Range)| Tensor { shape: *shape, quant: range.quant };
        let mut graph = Graph {
            tensors: self.shapes.iter().zip(&band.ranges).map(tensor).collect(),
            inputs: vec![TensorId(0)],
            ..Graph::default()
        };
        for step in &self.steps {
            let named = |what: String| format!("step {:?}: {what}", step.name);
            let op = self.op(step, band, film).map_err(named)?;
            let inputs = step.inputs.iter().map(|&i| TensorId(i as u32)).collect();
            let output = TensorId(step.output as u32);
            graph.nodes.push(Node { name: step.name.clone(), op, inputs, output });
        }
        let last = self.steps.last().and_then(|s| Some((s.output, self.shapes.get(s.output)?)));
        let (last, shape) = last.ok_or("it has no step")?;
        let strides = [shape.width * shape.channels, shape.channels, 1];
        let parts = vec![Part { tensor: TensorId(last as u32), base: 0, strides }];
        graph.outputs.push(Output { name: "v".into(), shape: vec![shape.elements()], parts });
        Ok(graph)
    }

    fn op(&self, step: &RecipeStep, band: &Band, film: &[f32]) -> Result<Op, String> {
        let range = |tensor: Option<&usize>| tensor.and_then(|&t| band.ranges.get(t)).ok_or("no such tensor");
        let (from, to) = (range(step.inputs.first())?, range(Some(&step.output))?);
        Ok(match step.kind {
            Kind::Conv { filters, film: at, silu } => {
                let (Some(conv), Some(numbers)) = (self.convs.get(filters), band.convs.get(filters)) else {
                    return Err("it has no weights".into());
                };
                let mut made = conv.empty(numbers, to, silu);
                if silu {
                    made.table = Some(Box::new(self.table(step, band, 0)?));
                }
                conv.fold(
                    numbers,
                    part(film, at, conv)?,
                    from.quant,
                    to,
                    silu,
                    (&mut made.bias, &mut made.multiplier),
                )?;
                Op::Conv(made)
            }
            Kind::Silu => {
                let tables = (0..self.tables(step)).map(|channel| self.table(step, band, channel));
                if self.by_channel(step) {
                    Op::Tables(tables.collect::<Result<_, _>>()?)
                } else {
                    Op::Table(Box::new(self.table(step, band, 0)?))
                }
            }
            Kind::Add => {
                Op::Add { multipliers: [from, range(step.inputs.get(1))?].map(|r| r.quant.scale / to.quant.scale) }
            }
            Kind::Double => Op::Upsample { factor: [2, 2] },
        })
    }

    /// Tables of a step: of its store, or of its channels.
    fn tables(&self, step: &RecipeStep) -> usize {
        match step.kind {
            Kind::Conv { silu, .. } => usize::from(silu),
            Kind::Silu if self.by_channel(step) => self.shapes.get(step.output).map_or(0, |s| s.channels),
            Kind::Silu => 1,
            Kind::Add | Kind::Double => 0,
        }
    }

    /// True if a tensor of the step has lines in any band.
    fn by_channel(&self, step: &RecipeStep) -> bool {
        let ends = || step.inputs.iter().chain([&step.output]);
        self.bands.iter().any(|b| ends().any(|&t| b.ranges.get(t).is_some_and(|r| !r.lines.is_empty())))
    }

    /// SiLU from one range to another.
    fn table(&self, step: &RecipeStep, band: &Band, channel: usize) -> Result<Table, String> {
        let range = |tensor: Option<&usize>| tensor.and_then(|&t| band.ranges.get(t)).ok_or("no such tensor");
        let to = range(Some(&step.output))?;
        Ok(match step.kind {
            Kind::Conv { filters, .. } => {
                let (pre, _) = band.convs.get(filters).ok_or("it has no weights")?;
                pre.table(to.quant, silu)
            }
            _ => {
                let from = range(step.inputs.first())?;
                let ([factor, offset], [scale, _]) = (from.line(channel), to.line(channel));
                from.quant.table(to.quant, |real| silu(factor * real + offset) / scale)
            }
        })
    }

    /// Tables of one band.
    pub fn table_count(&self) -> usize {
        self.steps.iter().map(|step| self.tables(step)).sum()
    }

    /// The tables of `band`, [`Recipe::table_count`] of them, which do not depend on film.
    ///
    /// # Errors
    /// The step and what is wrong with it.
    pub fn write_tables(&self, band: &Band, into: &mut [Table]) -> Result<(), String> {
        let all = self.steps.iter().flat_map(|step| (0..self.tables(step)).map(move |channel| (step, channel)));
        for (to, (step, channel)) in into.iter_mut().zip(all) {
            *to = self.table(step, band, channel).map_err(|what| format!("step {:?}: {what}", step.name))?;
        }
        Ok(())
    }

    /// Turns the numbers of a graph that [`Recipe::graph`] made into those for `band`, its `tables` and
    /// `film`; without tables those that it has stay. Allocates nothing.
    ///
    /// # Errors
    /// The step and what is wrong with it.
    pub fn set_params(
        &self,
        band: &Band,
        tables: Option<&[Table]>,
        film: &[f32],
        numbers: &mut QuantParams<'_>,
    ) -> Result<(), String> {
        for (tensor, range) in band.ranges.iter().enumerate() {
            if let Some(quant) = numbers.quant(tensor) {
                *quant = range.quant;
            }
        }
        let mut tables = tables.map(<[Table]>::iter);
        for (index, step) in self.steps.iter().enumerate() {
            self.renumber_step(step, band, tables.as_mut(), film, numbers.node(index))
                .map_err(|what| format!("step {:?}: {what}", step.name))?;
        }
        Ok(())
    }

    fn renumber_step(
        &self,
        step: &RecipeStep,
        band: &Band,
        tables: Option<&mut std::slice::Iter<'_, Table>>,
        film: &[f32],
        numbers: NodeParams<'_>,
    ) -> Result<(), String> {
        let range = |tensor: Option<&usize>| tensor.and_then(|&t| band.ranges.get(t)).ok_or("no such tensor");
        let (from, to) = (range(step.inputs.first())?, range(Some(&step.output))?);
        match (step.kind, numbers) {
            (Kind::Conv { filters, film: at, silu }, NodeParams::Conv { bias, multiplier, pre_zero, table }) => {
                let (Some(conv), Some(numbers)) = (self.convs.get(filters), band.convs.get(filters)) else {
                    return Err("it has no weights".into());
                };
                *pre_zero = if silu { numbers.0.zero } else { to.quant.zero };
                if let (Some(to), Some(tables)) = (table, tables) {
                    *to = *tables.next().ok_or("it has no table")?;
                }
                conv.fold(numbers, part(film, at, conv)?, from.quant, to, silu, (bias, multiplier))
            }
            (Kind::Silu, NodeParams::Tables(all)) => {
                all.iter_mut().zip(tables.into_iter().flatten()).for_each(|(to, from)| *to = *from);
                Ok(())
            }
            (Kind::Add, NodeParams::Add(multipliers)) => {
                *multipliers = [from, range(step.inputs.get(1))?].map(|r| r.quant.scale / to.quant.scale);
                Ok(())
            }
            (Kind::Double, NodeParams::None) => Ok(()),
            _ => Err("it is another graph's".into()),
        }
    }
}

/// Scales and shifts of a convolution's outputs.
type Film<'a> = (&'a [f32], &'a [f32]);

/// The part of film that belongs to a convolution.
fn part<'a>(film: &'a [f32], at: Option<usize>, conv: &Filters) -> Result<Option<Film<'a>>, String> {
    let Some(at) = at else { return Ok(None) };
    let outputs = conv.bias.len();
    let part = at.checked_add(2 * outputs).and_then(|end| film.get(at..end));
    Ok(Some(part.ok_or("its film is too short")?.split_at(outputs)))
}

impl Filters {
    /// The convolution without its numbers.
    fn empty(&self, (pre, _): &(Quant, Vec<f32>), to: &Range, silu: bool) -> Conv {
        let pad = [self.kernel / 2; 4];
        Conv {
            window: Window { kernel: [self.kernel; 2], stride: [self.stride; 2], dilation: [1, 1], pad },
            groups: 1,
            weights: self.weights.clone(),
            bias: vec![0; self.bias.len()],
            multiplier: vec![0.0; self.bias.len()],
            pre_zero: if silu { pre.zero } else { to.quant.zero },
            table: None,
            wide: Wide::default(),
        }
    }

    /// The numbers of one step: `film * (w x + b) + shift` into the range of `to`, or into the range
    /// before SiLU.
    fn fold(
        &self,
        (pre, correction): &(Quant, Vec<f32>),
        film: Option<Film<'_>>,
        from: Quant,
        to: &Range,
        silu: bool,
        (biases, multipliers): (&mut [i32], &mut [f32]),
    ) -> Result<(), String> {
        let outputs = self.bias.len();
        if [self.scale.len(), correction.len(), biases.len(), multipliers.len()] != [outputs; 4] {
            return Err("its scales are not one a channel".into());
        }
        let before = if silu { *pre } else { to.quant };
        for o in 0..outputs {
            let (scale, shift) = film.map_or((1.0, 0.0), |(scales, shifts)| (scales[o], shifts[o]));
            let [factor, offset] = if silu { [1.0, 0.0] } else { to.line(o) };
            let real = (self.bias[o] + correction[o]) * scale + shift - offset;
            let unit = from.scale * self.scale[o];
            // a factor near nought cannot carry the shift in the bias: it grows until it can
            let least = (real / unit / BIAS_MAX).abs();
            let scale = if scale.abs() < least { least.copysign(scale) } else { scale };
            let step = unit * scale;
            let bias = if step == 0.0 { 0.0 } else { (real / step).round_ties_even() };
            biases[o] = bias.clamp(-BIAS_MAX, BIAS_MAX) as i32;
            multipliers[o] = step / (factor * before.scale);
        }
        Ok(())
    }
}
