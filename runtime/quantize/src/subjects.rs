//! What choices are made for: a network with what was seen of it, and the graph that follows from choices.

use super::build::lower;
use super::choices::Choices;
use super::classes::Classes;
use crate::calibrate::Observed;
use crate::network::FloatNetwork;
use lapwing_engine::ir::Graph;

/// What choices are made for.
pub(super) struct Subjects<'a> {
    pub network: &'a FloatNetwork,
    pub classes: &'a Classes,
    pub observed: &'a [Observed],
    pub rounding: bool,
}

impl Subjects<'_> {
    /// The graph that follows from the choices.
    pub fn lowered(&self, choices: &mut Choices<'_>) -> Result<Graph, String> {
        Ok(lower(self.network, self.classes, self.observed, &choices.quants()?, self.rounding)?.graph)
    }
}
