//! What a network takes and gives, without how: all that is left to know of a graph once it is packed.

use super::{Graph, Output, Tensor, TensorId};

/// The ends of a [`Graph`], and what its tensors are.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// See [`Graph::tensors`].
    pub tensors: Vec<Tensor>,
    /// See [`Graph::inputs`].
    pub inputs: Vec<TensorId>,
    /// See [`Graph::outputs`].
    pub outputs: Vec<Output>,
}

impl Signature {
    /// That of `graph`.
    pub fn of(graph: &Graph) -> Signature {
        Signature { tensors: graph.tensors.clone(), inputs: graph.inputs.clone(), outputs: graph.outputs.clone() }
    }

    /// The tensor of `id`.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.at()]
    }
}
