//! The eight-bit engine: a quantized graph on this processor's kernels.

use super::artifact::{Artifact, Golden, golden_input, hex, tail_sha256};
use super::ir::Shape;
use super::kernels::{self, Kernels};
use super::manifest::{AxisOrder, InputSpec};
use super::plan::{Plan, View};
use super::quant::{Quant, Table};
use super::tail::{Run, Tail};

use sha2::{Digest, Sha256};

/// A quantized network that is ready to run.
pub struct Int8Engine {
    plan: Plan,
    tables: [Table; 3],
    outputs: Outputs,
    shapes: Vec<Vec<usize>>,
}

/// The outputs in float32.
enum Outputs {
    /// The graph's.
    Graph(Vec<Vec<f32>>),
    /// What follows it, with the graph's among its values.
    Tail(Box<Run>),
}

impl Int8Engine {
    /// Lays out and packs the artifact's graph for this processor's best kernels.
    ///
    /// # Errors
    /// The node and what is wrong with it, or how the input differs from the manifest's.
    pub fn load(artifact: &Artifact, threads: usize) -> Result<Int8Engine, String> {
        Int8Engine::with_kernels(artifact, kernels::best(), threads)
    }

    /// As [`Int8Engine::load`], on the kernels of another instruction set that this processor has.
    ///
    /// # Errors
    /// As for [`Int8Engine::load`].
    pub fn with_kernels(artifact: &Artifact, kernels: &'static Kernels, threads: usize) -> Result<Int8Engine, String> {
        let graph = &artifact.graph;
        let spec = &artifact.manifest.input;
        let [input] = graph.inputs.as_slice() else {
            return Err(format!("it has {} inputs, not one", graph.inputs.len()));
        };
        let tensor = graph.tensor(*input);
        let expected = Shape { height: spec.height as usize, width: spec.width as usize, channels: 3 };
        if tensor.shape != expected || spec.layout != AxisOrder::Nchw {
            return Err(format!("its input is {:?}, the manifest says {expected:?}", tensor.shape));
        }
        let shapes = graph.output_shapes();
        let (outputs, shapes) = match &artifact.tail {
            None => (Outputs::Graph(shapes.iter().map(|s| vec![0.0; s.iter().product()]).collect()), shapes),
            Some(tail) => {
                let run = Run::new(tail.clone(), shapes)?;
                let shapes = run.output_shapes();
                (Outputs::Tail(Box::new(run)), shapes)
            }
        };
        let tables = pixel_tables(spec, tensor.quant);
        Ok(Int8Engine { plan: Plan::new(graph, kernels, threads)?, tables, outputs, shapes })
    }

    /// Another engine of the same weights, see [`Plan::sharing_weights`].
    ///
    /// # Errors
    /// As for [`Plan::sharing_weights`].
    pub fn sharing_weights(&self) -> Result<Int8Engine, String> {
        let outputs = match &self.outputs {
            Outputs::Graph(values) => Outputs::Graph(values.iter().map(|v| vec![0.0; v.len()]).collect()),
            Outputs::Tail(run) => Outputs::Tail(run.clone()),
        };
        Ok(Int8Engine { plan: self.plan.sharing_weights()?, tables: self.tables, outputs, shapes: self.shapes.clone() })
    }

    /// For each colour plane of the input, what a pixel value becomes.
    pub fn tables(&self) -> &[Table; 3] {
        &self.tables
    }

    /// Extents of the outputs in the original network.
    pub fn output_shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan, to be run node by node.
    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Runs the network on values of [`Int8Engine::tables`], (row, column, plane), and its tail.
    pub fn run(&mut self, input: &[u8]) {
        self.write(input);
        self.run_again();
    }

    /// Runs the network on the input that was written last.
    pub fn run_again(&mut self) {
        self.plan.run();
        if self.tail().is_some() {
            self.real();
        }
    }

    /// Writes the input without running.
    pub fn write(&mut self, input: &[u8]) {
        self.plan.write(0, input);
    }

    /// Has [`Int8Engine::output`] give what the last run computed, where it gave only eight bits.
    pub fn dequantize(&mut self) {
        if self.tail().is_none() {
            self.real();
        }
    }

    fn real(&mut self) {
        let values = match &mut self.outputs {
            Outputs::Graph(values) => values.as_mut_slice(),
            Outputs::Tail(run) => run.outputs_mut(),
        };
        values.iter_mut().enumerate().for_each(|(index, values)| self.plan.real_output(index, values));
        if let Outputs::Tail(run) = &mut self.outputs {
            run.run();
        }
    }

    /// Output `index` of the original network in float32, after [`Int8Engine::dequantize`].
    pub fn output(&self, index: usize) -> Option<&[f32]> {
        match &self.outputs {
            Outputs::Graph(values) => values.get(index).map(Vec::as_slice),
            Outputs::Tail(run) => run.output(index),
        }
    }

    /// What follows the graph in float32.
    pub fn tail(&self) -> Option<&Tail> {
        match &self.outputs {
            Outputs::Graph(_) => None,
            Outputs::Tail(run) => Some(run.tail()),
        }
    }

    /// The tail, to be run step by step.
    pub fn tail_mut(&mut self) -> Option<&mut Run> {
        match &mut self.outputs {
            Outputs::Graph(_) => None,
            Outputs::Tail(run) => Some(run),
        }
    }

    /// The output parts of the last run as they are.
    pub fn parts(&self) -> impl Iterator<Item = View<'_>> {
        self.plan.signature().outputs.iter().flat_map(|o| &o.parts).map(|p| self.plan.view(p.tensor))
    }

    /// The golden run on this engine; equal to the artifact's or this machine computes wrongly.
    pub fn golden(&mut self) -> Golden {
        let elements = self.plan.signature().tensor(self.plan.signature().inputs[0]).shape.elements();
        self.run(&golden_input(elements));
        let mut digest = Sha256::new();
        for view in self.parts() {
            for y in 0..view.shape.height {
                for x in 0..view.shape.width {
                    view.pixel(y, x).for_each(|q| digest.update([q]));
                }
            }
        }
        let outputs_sha256 = hex(&digest.finalize());
        let tail_sha256 = match &self.outputs {
            Outputs::Graph(_) => None,
            Outputs::Tail(run) => Some(tail_sha256(run)),
        };
        Golden { outputs_sha256, tail_sha256 }
    }
}

/// The quantization of an input whose numbers are `(pixel - mean) * scale`: exact where all planes
/// have one scale and one whole mean, else one that covers all planes.
pub fn input_quant(spec: &InputSpec) -> Quant {
    let (mean, scale) = (spec.mean[0], spec.scale[0]);
    let alike = spec.mean.iter().all(|m| *m == mean) && spec.scale.iter().all(|s| *s == scale);
    if alike && scale > 0.0 && (0.0..=255.0).contains(&mean) && mean.fract() == 0.0 {
        return Quant { scale, zero: mean as u8 };
    }
    let ends = (0..3).flat_map(|p| [0.0, 255.0].map(|v: f32| (v - spec.mean[p]) * spec.scale[p]));
    let (low, high) = ends.fold((0f32, 0f32), |(low, high), v| (low.min(v), high.max(v)));
    Quant::covering(low, high)
}

/// For each colour plane, what a pixel value becomes in `quant`.
pub fn pixel_tables(spec: &InputSpec, quant: Quant) -> [Table; 3] {
    std::array::from_fn(|plane| {
        std::array::from_fn(|value| quant.quantize((value as f32 - spec.mean[plane]) * spec.scale[plane]))
    })
}
