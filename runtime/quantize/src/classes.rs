//! Which maps share one quantization, and which function a convolution's store applies.
//!
//! Tensors that are joined, moved or pooled stand for the same numbers on both sides, so that none
//! of these operations needs arithmetic. The class of the input keeps the pixels' quantization.

use std::collections::HashMap;

use crate::network::{FloatNetwork, Function, MapId, RealOp};

/// Classes of maps.
#[derive(Debug, Clone)]
pub struct Classes {
    parents: Vec<MapId>,
    /// Convolutions whose result only one function reads: node of the convolution -> node of the function.
    pub fused: HashMap<usize, usize>,
}

impl Classes {
    /// The classes of a network.
    pub fn of(network: &FloatNetwork) -> Classes {
        let parents = (0..network.maps.len()).collect();
        let mut classes = Classes { parents, fused: fused(network) };
        for node in &network.nodes {
            if node.op.keeps_numbers() {
                node.inputs.iter().for_each(|&map| classes.unite(map, node.output));
            }
        }
        classes
    }

    /// The map that stands for the class of `map`; 0, the input, for its own class.
    pub fn root(&self, mut map: MapId) -> MapId {
        while self.parents[map] != map {
            map = self.parents[map];
        }
        map
    }

    /// Members of each class, by its root.
    pub fn members(&self) -> HashMap<MapId, Vec<MapId>> {
        let mut members: HashMap<MapId, Vec<MapId>> = HashMap::new();
        (0..self.parents.len()).for_each(|map| members.entry(self.root(map)).or_default().push(map));
        members
    }

    /// The function that the store of convolution `node` applies.
    pub fn function<'a>(&self, network: &'a FloatNetwork, node: usize) -> Option<&'a Function> {
        match &network.nodes[*self.fused.get(&node)?].op {
            RealOp::Pointwise(function) => Some(function),
            _ => None,
        }
    }

    /// The map that the store of node `node` writes, its function included.
    pub fn stored(&self, network: &FloatNetwork, node: usize) -> MapId {
        network.nodes[self.fused.get(&node).copied().unwrap_or(node)].output
    }

    fn unite(&mut self, a: MapId, b: MapId) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b); // the input's class keeps the input for its root
    }
}

fn fused(network: &FloatNetwork) -> HashMap<usize, usize> {
    let readers = network.readers();
    let mut found = HashMap::new();
    for (index, node) in network.nodes.iter().enumerate() {
        if let (RealOp::Conv(_), Some([reader])) = (&node.op, readers.get(&node.output).map(Vec::as_slice))
            && let RealOp::Pointwise(_) = network.nodes[*reader].op
            && !network.is_output(node.output)
        {
            found.insert(index, *reader);
        }
    }
    found
}
