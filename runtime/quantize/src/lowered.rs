//! A lowered network: the graph, and where each of its nodes came from.

use crate::network::MapId;
use lapwing_engine::ir::Graph;
use lapwing_engine::quant::Quant;

/// A graph, and where each node came from.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The graph.
    pub graph: Graph,
    /// By node of the graph.
    pub origins: Vec<Origin>,
}

/// Where a node of the graph came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The node of the network; a convolution's where it stores through a function.
    pub node: usize,
    /// The map that it writes.
    pub map: MapId,
    /// What its results stand for before the table; as its output where there is none.
    pub before: Quant,
    /// Channels of the map that it writes; none where it writes all.
    pub channels: Option<Vec<usize>>,
    /// The group, if it is one of a split convolution.
    pub group: Option<usize>,
}

impl Origin {
    /// The map's channel that is channel `c` of the node's result.
    pub fn channel(&self, c: usize) -> usize {
        self.channels.as_ref().map_or(c, |channels| channels[c])
    }
}
