//! ONNX through tract, within bounds: no network brings the program down, and none keeps it busy for long.
//!
//! tract takes a network at its word: it allocates what a shape asks for, and panics where it does not know on. So
//! every call of it that depends on a file goes through here. [`OnnxGraph::read`] holds the file to [`bounds`];
//! [`Parsed::typed`] finds the shapes node by node and refuses the first one that needs too much, see [`shapes`];
//! [`guarded`] makes errors of the panics that are left. Each error names the node.
//!
//! | limit | of |
//! |---|---|
//! | [`bounds::NODES_MAX`] | nodes |
//! | [`OPTIMIZE_WORK_MAX`] | nodes that optimisation looks at, change by change |
//! | [`bounds::VALUES_MAX`] | values of one tensor |
//! | [`shapes::ALL_VALUES_MAX`] | values of all tensors |
//! | [`shapes::CONSTANT_BYTES_MAX`] | bytes that are computed when it is loaded |

pub mod bounds;
mod graph;
mod guard;
mod message;
mod rewrite;
pub mod shapes;
#[cfg(any(test, fuzzing))]
pub(crate) mod structured;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::optim::Optimizer;
use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_hir::internal::DimLike;

pub use graph::{Declared, LastConvolution, OnnxGraph, Values};
pub use guard::{at, guarded};
pub use message::words;

/// A network whose file is within [`bounds`], and that tract has read.
pub struct Parsed {
    /// Its graph; the facts of its inputs may be changed.
    pub model: InferenceModel,
    /// Size of the file.
    bytes: usize,
}

impl Parsed {
    /// Works out the shapes; those of the inputs are known by now.
    ///
    /// # Errors
    /// The node, and what is wrong with it or which limit it exceeds.
    pub fn typed(self) -> Result<TypedModel, String> {
        let Parsed { mut model, bytes } = self;
        guarded(|| {
            shapes::find(&mut model, bytes)?;
            at("");
            model.into_typed().map_err(|e| words(&e))
        })
    }
}

/// Nodes that the changes of one round of optimisation may look at, all together. Each change that tract makes to a
/// graph takes time by the number of its nodes; so a long graph is optimised less far, and runs all the same.
pub const OPTIMIZE_WORK_MAX: usize = 6_000_000;

/// Nodes of a graph up to which `MERGING` is done.
pub const MERGED_NODES_MAX: usize = 512;
/// The pass of tract that joins axes of matrix products. It goes over the whole graph for each node, which takes most
/// of the time that a long one takes, and changes no result.
const MERGING: &str = "MergeConsecutiveSameRoleAxes";

/// Optimises a graph and plans its run.
///
/// # Errors
/// tract's words.
pub fn runnable(mut model: TypedModel) -> Result<Arc<TypedSimplePlan>, String> {
    let plan = move || -> TractResult<_> {
        let changes = OPTIMIZE_WORK_MAX / model.nodes().len().max(1);
        Optimizer::declutter().stopping_at(changes).optimize(&mut model)?;
        let nodes = model.nodes().len();
        let mut last = Optimizer::codegen().stopping_at(OPTIMIZE_WORK_MAX / nodes.max(1));
        last.passes.retain(|pass| nodes <= MERGED_NODES_MAX || format!("{pass:?}") != MERGING);
        model.optimize_with_session(&mut last.session())?;
        model.into_runnable()
    };
    guarded(|| plan().map_err(|e| words(&e)))
}

/// Shapes of a network's outputs, in their order.
///
/// # Errors
/// That one is not fixed, or tract's words.
pub fn output_shapes(model: &TypedModel) -> Result<Vec<Vec<usize>>, String> {
    let shape = |outlet: &OutletId| -> TractResult<Vec<usize>> {
        model.outlet_fact(*outlet)?.shape.iter().map(|extent| Ok(extent.to_usize()?)).collect()
    };
    let shapes = model.output_outlets().and_then(|outlets| outlets.iter().map(shape).collect());
    shapes.map_err(|e| words(&e))
}

/// Runs a planned network once. After an error the state is fit for another run.
///
/// # Errors
/// tract's words, with the node.
pub fn run(state: &mut TypedSimpleState, inputs: TVec<TValue>) -> Result<TVec<TValue>, String> {
    let done = guarded(|| {
        let run = state.run_plan_with_eval(inputs, |context, state, node, inputs| {
            at(&node.name);
            eval(context, state, node, inputs)
        });
        run.map_err(|e| words(&e))
    });
    if done.is_err() {
        guarded(|| state.reset_turn().map_err(|e| words(&e)))?;
    }
    done
}
