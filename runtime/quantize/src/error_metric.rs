//! How far a quantized graph is from the network in float32: the measure of every decision.
//!
//! The graph runs on this machine's kernels over pictures that no mean was taken from; its outputs are
//! compared with tract's. The error is noise power by signal power, in the numbers that decide:
//! logits go through the logistic function first, so that an error where nothing is near counts
//! for little, and what the network computes of an output in float32 (a softmax) is computed
//! before the comparison. Parts of outputs (scales, boxes and classes) count alike.

use super::samples::Samples;
use lapwing_engine::int8::pixel_tables;
use lapwing_engine::ir::{Checked, Graph, Output};
use lapwing_engine::kernels;
use lapwing_engine::parallel;
use lapwing_engine::plan::Plan;
use lapwing_engine::quant::Table;
use lapwing_engine::tail::{Run, Tail};

/// Pictures with the outputs that the network gives for them in float32.
pub struct ErrorMetric<'a> {
    samples: &'a Samples,
    pictures: &'a [usize],
    is_logit: fn(usize) -> bool,
    threads: usize,
    /// By picture, then by output.
    real: Vec<Vec<Vec<f32>>>,
    tables: [Table; 3],
    /// By output: what follows it alone in float32, if anything does.
    leads: Vec<Option<Run>>,
    /// The error of the graph that is to be beaten, over the first pictures.
    first: f64,
}

/// A trial whose error over the first pictures exceeds that to be beaten by this share is given up.
const FIRST_WORSE: f64 = 1.02;
/// The first pictures: one in so many.
const FIRST_SHARE: usize = 4;

/// Sums over values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Squares of the real values.
    pub signal: f64,
    /// Squares of the differences.
    pub noise: f64,
}

impl Sums {
    /// Adds a real value and what stands for it.
    pub fn add(&mut self, real: f32, found: f32) {
        self.signal += f64::from(real).powi(2);
        self.noise += f64::from(found - real).powi(2);
    }

    /// Adds the sums over other values.
    pub fn join(&mut self, other: &Sums) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Noise by signal; zero where there is no noise.
    pub fn ratio(self) -> f64 {
        if self.noise == 0.0 { 0.0 } else { self.noise / self.signal.max(f64::MIN_POSITIVE) }
    }

    /// Signal by noise in decibels, at most 150.
    pub fn decibels(self) -> f64 {
        -10.0 * self.ratio().max(1e-15).log10()
    }
}

impl<'a> ErrorMetric<'a> {
    /// `real(picture)` gives the outputs in float32, flat; `input` is the pixels' quantization.
    pub fn new(
        samples: &'a Samples,
        pictures: &'a [usize],
        is_logit: fn(usize) -> bool,
        threads: usize,
        input: lapwing_engine::quant::Quant,
        real: Vec<Vec<Vec<f32>>>,
    ) -> ErrorMetric<'a> {
        let tables = pixel_tables(samples.spec(), input);
        ErrorMetric { samples, pictures, is_logit, threads, real, tables, leads: Vec::new(), first: f64::INFINITY }
    }

    /// Has it compare what `tail` makes of each output alone.
    ///
    /// # Errors
    /// What is wrong with the tail.
    pub fn through(mut self, tail: &Tail, shapes: &[Vec<usize>]) -> Result<ErrorMetric<'a>, String> {
        self.leads.clear();
        for (index, shape) in shapes.iter().enumerate() {
            let mut lead = tail.lead(shapes, index).map(|lead| Run::new(lead, vec![shape.clone()])).transpose()?;
            if let Some(lead) = &mut lead {
                for outputs in &mut self.real {
                    lead.outputs_mut()[0].copy_from_slice(&outputs[index]);
                    lead.run();
                    outputs[index] = lead.output(0).unwrap_or_default().to_vec();
                }
            }
            self.leads.push(lead);
        }
        Ok(self)
    }

    /// The error of a graph, which is the one to be beaten from now on.
    ///
    /// # Errors
    /// The plan's.
    pub fn error(&mut self, graph: &Graph) -> Result<f64, String> {
        let (first, whole) = self.errors(graph, f64::INFINITY)?;
        self.first = first;
        Ok(whole)
    }

    /// The graph's error, and whether it lies below `bound`: then it is the one to be beaten. A graph that
    /// is worse already on the first pictures is not run on the others; its error counts as infinite.
    ///
    /// # Errors
    /// The plan's.
    pub fn beats(&mut self, graph: &Graph, bound: f64) -> Result<(f64, bool), String> {
        let (first, whole) = self.errors(graph, self.first * FIRST_WORSE)?;
        let better = whole < bound;
        if better {
            self.first = first;
        }
        Ok((whole, better))
    }

    fn errors(&self, graph: &Graph, first_most: f64) -> Result<(f64, f64), String> {
        // with a tail, the outputs are not those that the head reads
        let (is_logit, whole) = (self.is_logit, self.leads.is_empty());
        let decides = |output: usize, value: f32| {
            if whole && is_logit(output) { 1.0 / (1.0 + (-value).exp()) } else { value }
        };
        let graph = Checked::new(graph.clone())?;
        let few = self.pictures.len().div_ceil(FIRST_SHARE);
        let mut sums = self.sums(&graph, 0..few, decides)?;
        let first = mean(&sums);
        if first > first_most {
            return Ok((first, f64::INFINITY));
        }
        add(&mut sums, &self.sums(&graph, few..self.pictures.len(), decides)?);
        Ok((first, mean(&sums)))
    }

    /// Sums for each part of each output as it is.
    ///
    /// # Errors
    /// The plan's.
    pub fn outputs(&self, graph: &Graph) -> Result<Vec<Vec<Sums>>, String> {
        self.sums(&Checked::new(graph.clone())?, 0..self.pictures.len(), |_, value| value)
    }

    /// `graph` for this machine, on one thread.
    ///
    /// # Errors
    /// The node and what is wrong with it.
    pub fn runner(&self, graph: &Checked<Graph>) -> Result<Runner<'_>, String> {
        let plan = Plan::new(graph, kernels::best(), 1)?;
        Ok(Runner { plan, samples: self.samples, tables: &self.tables, input: Vec::new() })
    }

    /// Threads that pictures are dealt over.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Sums of nothing yet, by output and part; one for an output with a lead.
    fn nothing(&self, graph: &Graph) -> Vec<Vec<Sums>> {
        let led = |index: usize| matches!(self.leads.get(index), Some(Some(_)));
        let parts = |(index, output): (usize, &Output)| if led(index) { 1 } else { output.parts.len() };
        graph.outputs.iter().enumerate().map(|o| vec![Sums::default(); parts(o)]).collect()
    }

    /// Sums over some of the pictures, by output and part.
    fn sums(
        &self,
        graph: &Checked<Graph>,
        pictures: std::ops::Range<usize>,
        decides: impl Fn(usize, f32) -> f32 + Copy + Sync,
    ) -> Result<Vec<Vec<Sums>>, String> {
        let pictures: Vec<usize> = pictures.collect();
        let worker = || Ok::<_, String>((self.runner(graph)?, self.leads.clone()));
        let each = |(runner, leads): &mut (Runner<'_>, Vec<Option<Run>>), sums: &mut Vec<Vec<Sums>>, at: usize| {
            self.compare(runner.run(self.pictures[at]), leads, at, decides, sums);
            Ok(())
        };
        let lanes = parallel::over(self.threads, &pictures, worker, || self.nothing(graph), each, &mut || {})?;
        let mut sums = self.nothing(graph);
        lanes.iter().for_each(|lane| add(&mut sums, lane));
        Ok(sums)
    }

    /// Adds the outputs of a run on picture `at` to the sums, by output and part.
    fn compare(
        &self,
        plan: &Plan,
        leads: &mut [Option<Run>],
        at: usize,
        decides: impl Fn(usize, f32) -> f32,
        sums: &mut [Vec<Sums>],
    ) {
        for (index, (output, sums)) in plan.signature().outputs.iter().zip(sums.iter_mut()).enumerate() {
            let real = &self.real[at][index];
            if let Some(Some(lead)) = leads.get_mut(index) {
                plan.real_output(index, &mut lead.outputs_mut()[0]);
                lead.run();
                let found = lead.output(0).unwrap_or_default();
                real.iter().zip(found).for_each(|(real, found)| sums[0].add(*real, *found));
                continue;
            }
            for (part, sums) in output.parts.iter().zip(sums) {
                let view = plan.view(part.tensor);
                let found: [f32; 256] = std::array::from_fn(|q| decides(index, view.quant.real(q as u8)));
                let [sy, sx, sc] = part.strides;
                for y in 0..view.shape.height {
                    for x in 0..view.shape.width {
                        for (c, q) in view.pixel(y, x).enumerate() {
                            let real = real[part.base + y * sy + x * sx + c * sc];
                            sums.add(decides(index, real), found[usize::from(q)]);
                        }
                    }
                }
            }
        }
    }
}

/// A graph that runs on samples, one after the other.
pub struct Runner<'a> {
    plan: Plan,
    samples: &'a Samples,
    tables: &'a [Table; 3],
    input: Vec<u8>,
}

impl Runner<'_> {
    /// Runs on picture `picture`; the plan holds what came of it.
    pub fn run(&mut self, picture: usize) -> &Plan {
        self.samples.quantized(picture, self.tables, &mut self.input);
        self.plan.write(0, &self.input);
        self.plan.run();
        &self.plan
    }
}

fn add(to: &mut [Vec<Sums>], from: &[Vec<Sums>]) {
    to.iter_mut().flatten().zip(from.iter().flatten()).for_each(|(to, from)| to.join(from));
}

/// Over all parts of all outputs.
fn mean(sums: &[Vec<Sums>]) -> f64 {
    let count = sums.iter().flatten().count().max(1);
    sums.iter().flatten().map(|s| s.ratio()).sum::<f64>() / count as f64
}
