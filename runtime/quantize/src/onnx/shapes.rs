//! The shapes of a network, found node by node, each within its limit.
//!
//! tract finds shapes and computes constants in one go, and allocates what they need. Here the shape of every result
//! is looked at before it is computed. Afterwards tract's own analysis meets nothing that is new to it.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceOp};

use super::bounds::VALUES_MAX;
use super::{at, words};

/// Most values of all tensors.
pub const ALL_VALUES_MAX: u64 = 1 << 31;
/// Bytes of constants that loading may compute from those of the file: so many, and [`CONSTANT_GROWTH_MAX`] times the
/// file's.
pub const CONSTANT_BYTES_MAX: u64 = 1 << 26;
/// See [`CONSTANT_BYTES_MAX`].
pub const CONSTANT_GROWTH_MAX: u64 = 16;
/// A resize makes at most so many values of one (of a pixel 128 by 128), or [`RESIZED_MIN`]: tract takes hundreds of bytes for
/// each of them.
pub const RESIZE_GROWTH_MAX: u64 = 1 << 14;
/// See [`RESIZE_GROWTH_MAX`].
pub const RESIZED_MIN: u64 = 1 << 22;
/// Visits of a node, each of which finds something new.
const VISITS_MAX: usize = 32;

/// Facts of a node's inputs, outputs and of what it watches.
type Facts = TVec<InferenceFact>;

struct Search<'a> {
    model: &'a mut InferenceModel,
    /// Bytes that may still be computed.
    constants_left: u64,
    /// By node: its share of them.
    computed: HashMap<usize, u64>,
}

/// Finds all shapes of a network of a file of so many bytes, as far as tract knows them.
///
/// # Errors
/// The node, and what is wrong with it or which limit it exceeds.
pub fn find(model: &mut InferenceModel, file_bytes: usize) -> Result<(), String> {
    let mut waiting: BTreeSet<usize> = (0..model.nodes().len()).collect();
    let mut watchers: HashMap<OutletId, Vec<usize>> = HashMap::new();
    for node in model.nodes() {
        for outlet in node.op.observe_outlets(model, node).map_err(|e| words(&e))? {
            watchers.entry(outlet).or_default().push(node.id);
        }
    }
    let constants_left = CONSTANT_BYTES_MAX + CONSTANT_GROWTH_MAX * file_bytes as u64;
    let mut visits = waiting.len() * VISITS_MAX;
    let mut search = Search { model, constants_left, computed: HashMap::new() };
    while let Some(id) = waiting.pop_first() {
        visits = visits.checked_sub(1).ok_or("its shapes do not settle")?;
        let node = search.model.node(id);
        at(&node.name);
        let named = format!("node {:?} ({})", node.name, node.op.name());
        for outlet in search.visit(id).map_err(|what| format!("{named}: {what}"))? {
            let readers = search.model.node(outlet.node).outputs.get(outlet.slot).map(|o| o.successors.clone());
            waiting
                .extend(readers.into_iter().flatten().map(|inlet| inlet.node).filter(|&reader| reader != outlet.node));
            waiting.extend(Some(outlet.node).filter(|&writer| writer != id));
            waiting.extend(watchers.get(&outlet).into_iter().flatten());
        }
    }
    search.all()
}

impl Search<'_> {
    /// Takes what the node's rules tell; tells which facts are new.
    fn visit(&mut self, id: usize) -> Result<Vec<OutletId>, String> {
        let node = self.model.node(id);
        let watched = node.op.observe_outlets(self.model, node).map_err(|e| words(&e))?;
        let own: Vec<OutletId> = (0..node.outputs.len()).map(|slot| OutletId::new(id, slot)).collect();
        if node.op.nboutputs().map_err(|e| words(&e))? != own.len() {
            return Err(format!("it has {} outputs", own.len()));
        }
        let ends = [node.inputs.to_vec(), own, watched];
        let facts = |outlets: &Vec<OutletId>| -> Result<Facts, String> {
            outlets.iter().map(|&o| self.model.outlet_fact(o).cloned().map_err(|e| words(&e))).collect()
        };
        let known = [facts(&ends[0])?, facts(&ends[1])?, facts(&ends[2])?];
        // what will come out, by the rules alone
        let mut op = node.op.clone();
        let [inputs, outputs, watched] = known.each_ref();
        let (inputs, outputs, _) = op.infer_facts(refs(inputs), refs(outputs), refs(watched)).map_err(|e| words(&e))?;
        self.fits(id, &inputs, &outputs)?;
        // and with constants computed
        let [inputs, outputs, watched] = known.each_ref();
        let op: &mut Box<dyn InferenceOp> = &mut self.model.node_mut(id).op;
        let found = op.infer(refs(inputs), refs(outputs), refs(watched)).map_err(|e| words(&e))?;
        let mut changed = Vec::new();
        for (outlets, facts) in ends.iter().zip([found.0, found.1, found.2]) {
            for (&outlet, fact) in outlets.iter().zip(facts) {
                let old = self.model.outlet_fact(outlet).map_err(|e| words(&e))?;
                let new = fact.unify(old).map_err(|e| words(&e))?;
                if new != *old {
                    self.model.set_outlet_fact(outlet, new).map_err(|e| words(&e))?;
                    changed.push(outlet);
                }
            }
        }
        Ok(changed)
    }

    /// The results are not too large, nor those of all constants together.
    fn fits(&mut self, id: usize, inputs: &Facts, outputs: &Facts) -> Result<(), String> {
        let constant = !inputs.is_empty() && inputs.iter().all(|fact| fact.value.is_concrete());
        let is_resize = self.model.node(id).op.name().contains("Resize");
        let resized = inputs.first().and_then(values).filter(|_| is_resize);
        let mut bytes = 0u64;
        for fact in outputs {
            let Some(values) = values(fact) else { continue };
            if values > VALUES_MAX {
                return Err(format!(
                    "its result of {values} values is larger than the limit of {VALUES_MAX}; correct its shape"
                ));
            }
            if resized.is_some_and(|before| values > RESIZED_MIN.max(before.saturating_mul(RESIZE_GROWTH_MAX))) {
                return Err(format!(
                    "it makes {values} values of {}, more than {RESIZE_GROWTH_MAX} times as many; correct its scales",
                    resized.unwrap_or(0)
                ));
            }
            let size = fact.datum_type.concretize().map_or(8, |datum| datum.size_of().max(1));
            bytes += values * size as u64;
        }
        if constant {
            let before = self.computed.insert(id, bytes).unwrap_or(0);
            let left = (self.constants_left + before).checked_sub(bytes);
            self.constants_left = left.ok_or_else(|| {
                format!(
                    "its constant of {bytes} bytes, with those before it, is more than loading may compute; \
                     fold constants when you export"
                )
            })?;
        }
        Ok(())
    }

    /// All tensors together are not too large.
    fn all(&self) -> Result<(), String> {
        let mut all = 0u64;
        for node in self.model.nodes() {
            for outlet in &node.outputs {
                all += values(&outlet.fact).unwrap_or(0).min(VALUES_MAX);
                if all > ALL_VALUES_MAX {
                    return Err(format!(
                        "node {:?} ({}): the results up to it have more than {ALL_VALUES_MAX} values; export it for a \
                         smaller input",
                        node.name,
                        node.op.name()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn refs(facts: &Facts) -> TVec<&InferenceFact> {
    facts.iter().collect()
}

/// Values of a result, where its shape is known; a shape that cannot be counted counts as too many.
fn values(fact: &InferenceFact) -> Option<u64> {
    let extents = fact.shape.concretize()?;
    let mut product = 1u64;
    for extent in extents {
        // symbols stand for what the file leaves open
        let Ok(extent) = extent.to_i64() else { return None };
        // one of zero makes no other smaller
        product = product.saturating_mul(u64::try_from(extent).unwrap_or(u64::MAX).max(1));
    }
    Some(product)
}
