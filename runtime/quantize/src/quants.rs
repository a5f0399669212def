//! The quantizations of a whole network: those of its maps, before its tables, and of groups of channels.

use std::collections::{BTreeSet, HashMap};

use lapwing_engine::quant::Quant;

/// Quantizations of a whole network.
#[derive(Debug, Clone, PartialEq)]
pub struct Quants {
    /// By map.
    pub maps: Vec<Quant>,
    /// Before the table, by node of the convolution; none where its store needs no table.
    pub before: HashMap<usize, Quant>,
    /// Groups of channels of split convolutions, by node.
    pub parts: HashMap<usize, Vec<Part>>,
    /// Convolutions that write sixteen bits; none of them is split.
    pub wide: BTreeSet<usize>,
}

/// A group of channels that has a table of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The channels.
    pub channels: Vec<usize>,
    /// What its results are divided by.
    pub scale: f32,
    /// Before the table.
    pub before: Quant,
}
