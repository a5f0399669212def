//! The methods that were chosen for each range, and the quantizations that follow from them.
//!
//! A range is either that of a class of maps, or that before the table of one convolution. What a
//! method makes of a range is computed once and remembered, so that a search over methods is cheap.

use std::collections::{BTreeSet, HashMap};

use super::classes::Classes;
use super::lookup::table;
use super::quants::{Part, Quants};
use super::ranges::{Method, Values};
use super::split::{Group, Split};
use crate::calibrate::Observed;
use crate::network::{FloatNetwork, Function, MapId};
use lapwing_engine::quant::Quant;

/// A range for which a method is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Range {
    /// Of the class with this root.
    Class(MapId),
    /// Before the table of the convolution that is this node.
    Before(usize),
    /// Before the table of a group of channels of a split convolution: its node, the group.
    BeforePart(usize, usize),
}

/// Methods by range, with what follows from them.
pub struct Choices<'a> {
    network: &'a FloatNetwork,
    classes: &'a Classes,
    input: Quant,
    methods: HashMap<Range, Method>,
    values: HashMap<Range, Values>,
    known: HashMap<Key, Quant>,
    splits: Vec<Split>,
    wide: BTreeSet<usize>,
    /// The bounds of functions that are clamps, by node of the convolution before them.
    clamps: HashMap<usize, (f32, f32)>,
}

/// A range, a method, and, before a table, the quantization after it.
type Key = (Range, Method, Option<(u32, u8)>);

impl<'a> Choices<'a> {
    /// The first method for every range.
    pub fn new(
        network: &'a FloatNetwork,
        classes: &'a Classes,
        observed: &[Observed],
        input: Quant,
    ) -> Result<Choices<'a>, String> {
        let mut values = HashMap::new();
        for (root, members) in classes.members() {
            let seen: Vec<&Observed> = members.iter().map(|&m| &observed[m]).collect();
            values.insert(Range::Class(root), Values::of(&seen));
        }
        for &node in classes.fused.keys() {
            values.insert(Range::Before(node), Values::of(&[&observed[network.nodes[node].output]]));
        }
        let mut clamps = HashMap::new();
        for &node in classes.fused.keys() {
            let Some(function) = classes.function(network, node) else { continue };
            let clamp = function.clamp().map_err(|e| format!("node {:?}: {e:#}", network.nodes[node].name))?;
            clamps.extend(clamp.map(|bounds| (node, bounds)));
        }
        Ok(Choices {
            network,
            classes,
            input,
            methods: HashMap::new(),
            values,
            known: HashMap::new(),
            splits: Vec::new(),
            wide: BTreeSet::new(),
            clamps,
        })
    }

    /// The method of a range.
    pub fn method(&self, range: Range) -> Method {
        self.methods.get(&range).copied().unwrap_or(Method::ALL[0])
    }

    /// Chooses a method for a range.
    pub fn choose(&mut self, range: Range, method: Method) {
        self.methods.insert(range, method);
    }

    /// Splits a convolution's channels; `before` is what each group holds before the function.
    pub fn split(&mut self, split: &Split, before: &[Observed]) {
        for (group, seen) in before.iter().enumerate() {
            self.values.insert(Range::BeforePart(split.producer, group), Values::of(&[seen]));
        }
        self.splits.push(split.clone());
    }

    /// Some maps hold other values now.
    pub fn observe(&mut self, observed: &[Observed], maps: &[MapId]) {
        let members = self.classes.members();
        for &map in maps {
            let root = self.classes.root(map);
            let seen: Vec<&Observed> = members[&root].iter().map(|&m| &observed[m]).collect();
            self.values.insert(Range::Class(root), Values::of(&seen));
            self.known.retain(|key, _| key.0 != Range::Class(root));
            for &node in self.classes.fused.keys() {
                if self.network.nodes[node].output == map {
                    self.values.insert(Range::Before(node), Values::of(&[&observed[map]]));
                    self.known.retain(|key, _| key.0 != Range::Before(node));
                }
            }
        }
    }

    /// Takes the last so many [`Choices::split`] back.
    pub fn unsplit(&mut self, count: usize) {
        self.splits.truncate(self.splits.len().saturating_sub(count));
    }

    /// Has the convolution that is node `node` write sixteen bits, or eight.
    pub fn widen(&mut self, node: usize, wide: bool) {
        if wide {
            self.wide.insert(node);
        } else {
            self.wide.remove(&node);
        }
    }

    /// Whether the convolution that is node `node` writes sixteen bits.
    pub fn is_wide(&self, node: usize) -> bool {
        self.wide.contains(&node)
    }

    /// The splits.
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// What the methods make of the network.
    ///
    /// # Errors
    /// The node whose function cannot be evaluated.
    pub fn quants(&mut self) -> Result<Quants, String> {
        let mut maps = Vec::with_capacity(self.network.maps.len());
        for map in 0..self.network.maps.len() {
            maps.push(self.of_class(self.classes.root(map)));
        }
        let mut before = HashMap::new();
        let fused: Vec<usize> = self.classes.fused.keys().copied().collect();
        for node in fused {
            let to = maps[self.classes.stored(self.network, node)];
            let Some(function) = self.classes.function(self.network, node) else { continue };
            if !self.ends_at(node, to) {
                let quant = self.of_before(Range::Before(node), function, to);
                before.insert(node, quant.map_err(|what| format!("node {:?}: {what}", self.network.nodes[node].name))?);
            }
        }
        let mut parts = HashMap::new();
        for split in self.splits.clone() {
            let node = split.producer;
            let to = maps[self.classes.stored(self.network, node)];
            let Some(function) = self.classes.function(self.network, node) else { continue };
            let mut made = Vec::new();
            for (group, Group { channels, scale }) in split.groups.into_iter().enumerate() {
                let to = Quant { scale: to.scale * scale, ..to };
                let before = self.of_before(Range::BeforePart(node, group), function, to)?;
                made.push(Part { channels, scale, before });
            }
            parts.insert(node, made);
        }
        Ok(Quants { maps, before, parts, wide: self.wide.clone() })
    }

    /// Whether the function behind `node` is a clamp at whose bounds the range of `to` ends already:
    /// then rounding to `to` is the function, and the store needs no table.
    fn ends_at(&self, node: usize, to: Quant) -> bool {
        self.clamps.get(&node).is_some_and(|&(low, high)| {
            let (least, greatest) = to.range();
            low - to.scale / 2.0 <= least && greatest <= high + to.scale / 2.0
        })
    }

    fn of_class(&mut self, root: MapId) -> Quant {
        if root == 0 {
            return self.input;
        }
        self.of_values(Range::Class(root))
    }

    fn of_values(&mut self, range: Range) -> Quant {
        let method = self.method(range);
        let values = &self.values[&range];
        *self.known.entry((range, method, None)).or_insert_with(|| values.range(method, None))
    }

    fn of_before(&mut self, range: Range, function: &Function, to: Quant) -> Result<Quant, String> {
        let method = self.method(range);
        let key = (range, method, Some((to.scale.to_bits(), to.zero)));
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let values = &self.values[&range];
        let points: Vec<f32> = values.bins.iter().map(|b| b.0).collect();
        let exact = function.eval(&points).map_err(|e| format!("{e:#}"))?;
        let mut failed = None;
        // what counts is the error behind the function
        let mut error = |quant: Quant| -> f64 {
            match table(quant, to, function) {
                Ok(table) => values
                    .bins
                    .iter()
                    .zip(&exact)
                    .map(|((x, share), y)| {
                        f64::from(to.real(table[usize::from(quant.quantize(*x))]) - y).powi(2) * f64::from(*share)
                    })
                    .sum(),
                Err(what) => {
                    failed = Some(what);
                    f64::INFINITY
                }
            }
        };
        let quant = values.range(method, Some(&mut error));
        if let Some(what) = failed {
            return Err(what);
        }
        self.known.insert(key, quant);
        Ok(quant)
    }
}
