//! A region as one operation of a tract model.
//!
//! The operation takes and gives float32 values in tract's order; between them its own plan runs in
//! eight bits. The plan belongs to the state that tract keeps for a model: it is made at the first
//! run and used for every later one, and two models in one process have two plans.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use lapwing_engine::ir::{Checked, Graph, Shape};
use lapwing_engine::kernels::Kernels;
use lapwing_engine::plan::Plan;

/// The operation. Input i is (1, channels, height, width) of the graph's input i, in f32; output i is
/// the graph's output i in its own shape, in f32.
#[derive(Clone)]
pub struct Int8Region {
    graph: Checked<Graph>,
    kernels: &'static Kernels,
    threads: usize,
}

impl Int8Region {
    /// A region that runs `graph` on `kernels`.
    pub fn new(graph: Checked<Graph>, kernels: &'static Kernels, threads: usize) -> Int8Region {
        Int8Region { graph, kernels, threads }
    }

    /// What it computes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Names of its first and last node, for messages.
    fn span(&self) -> (&str, &str) {
        let first = self.graph.nodes.first().map_or("", |n| n.name.as_str());
        (first, self.graph.nodes.last().map_or("", |n| n.name.as_str()))
    }
}

impl std::fmt::Debug for Int8Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = self.span();
        write!(f, "region of {} nodes from {first:?} to {last:?} on {:?}", self.graph.nodes.len(), self.kernels)
    }
}

impl PartialEq for Int8Region {
    fn eq(&self, other: &Int8Region) -> bool {
        self.graph.is(&other.graph)
    }
}

impl Eq for Int8Region {}

impl Op for Int8Region {
    fn name(&self) -> StaticName {
        "Int8Region".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{self:?}")])
    }

    op_as_typed_op!();
}

impl EvalOp for Int8Region {
    not_out_of_plan!();

    fn state(&self, _ctx: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(State { region: self.clone(), plan: None, row: Vec::new(), real: Vec::new() })))
    }
}

impl TypedOp for Int8Region {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == self.graph.inputs.len(), "{self:?} takes {} inputs", self.graph.inputs.len());
        for (fact, id) in inputs.iter().zip(&self.graph.inputs) {
            let Shape { height, width, channels } = self.graph.tensor(*id).shape;
            let expected = [1, channels, height, width];
            ensure!(fact.shape.as_concrete() == Some(&expected[..]), "{self:?} takes {expected:?}, not {fact:?}");
        }
        Ok(self.graph.outputs.iter().map(|o| f32::fact(&o.shape)).collect())
    }

    as_op!();
}

/// What a model keeps for its region from run to run.
struct State {
    region: Int8Region,
    plan: Option<Plan>,
    row: Vec<u8>,
    real: Vec<f32>,
}

impl Clone for State {
    /// A clone makes its own plan at its first run.
    fn clone(&self) -> State {
        State { region: self.region.clone(), plan: None, row: Vec::new(), real: Vec::new() }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "state of {:?}", self.region)
    }
}

impl State {
    fn run(&mut self, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
        let Int8Region { graph, kernels, threads } = &self.region;
        let plan = match &mut self.plan {
            Some(plan) => plan,
            none => none.insert(Plan::new(graph, kernels, *threads).map_err(|e| format_err!("{e}"))?),
        };
        for (index, (value, id)) in inputs.iter().zip(&graph.inputs).enumerate() {
            let tensor = graph.tensor(*id);
            let Shape { height, width, channels } = tensor.shape;
            let view = value.as_plain_ram().context("an input that is not in memory")?;
            let real = view.as_slice::<f32>()?;
            ensure!(real.len() == tensor.shape.elements(), "an input has {} values", real.len());
            for y in 0..height {
                self.row.clear();
                for x in 0..width {
                    let at = |c: usize| real[(c * height + y) * width + x];
                    self.row.extend((0..channels).map(|c| tensor.quant.quantize(at(c))));
                }
                plan.write_row(index, y, &self.row);
            }
        }
        plan.run();
        let mut outputs = tvec!();
        for (index, output) in graph.outputs.iter().enumerate() {
            self.real.clear();
            plan.real_output(index, &mut self.real);
            outputs.push(Tensor::from_shape(&output.shape, &self.real)?.into_tvalue());
        }
        Ok(outputs)
    }
}

impl OpState for State {
    fn eval(&mut self, _ctx: &EvalContext, _op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let name = format!("{:?}", self.region);
        self.run(&inputs).with_context(|| name)
    }

    /// Nothing is carried from one run to the next.
    fn reset_lanes(&mut self, _lanes: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}
