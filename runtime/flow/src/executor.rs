//! What runs the velocity network of a model.

use super::int8::Int8Flow;
use super::model::Source;
use super::network::VelocityNetwork;
use super::{FlowError, FlowModel};

impl FlowModel {
    /// The velocity network, ready to run; one in eight bits on `threads` threads.
    ///
    /// # Errors
    /// What is wrong with it, or that this build cannot run it.
    pub fn network(&self, threads: usize) -> Result<Box<dyn VelocityNetwork>, FlowError> {
        match self.source() {
            Source::Int8(artifact) => Ok(Box::new(Int8Flow::load(artifact, self.origin(), threads)?)),
            #[cfg(feature = "onnx")]
            Source::Real(_) => Ok(Box::new(super::real::RealFlow::load(self)?)),
            #[cfg(not(feature = "onnx"))]
            Source::Real(_) => Err(super::model::no_onnx(self.origin())),
        }
    }
}
