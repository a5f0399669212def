//! Values that are the same for every picture.

use tract_onnx::prelude::*;

use crate::onnx::{at, words};

/// Computes what does not depend on the picture; the nodes stay, with their values known.
pub(super) fn constants(model: &mut TypedModel) -> Result<(), String> {
    for id in model.eval_order().map_err(|e| words(&e))? {
        let found = computed(model, id)?;
        for (slot, value) in found.into_iter().enumerate() {
            model.nodes[id].outputs[slot].fact.konst = Some(value.into_arc_tensor());
        }
    }
    Ok(())
}

/// What a node gives if all that it reads is known; nothing else.
fn computed(model: &TypedModel, id: usize) -> Result<TVec<TValue>, String> {
    let node = model.node(id);
    at(&node.name);
    let facts = model.node_input_facts(id).map_err(|e| words(&e))?;
    let known = facts.iter().map(|f| f.konst.clone().filter(|k| k.is_plain_ram()));
    let Some(inputs) = known.collect::<Option<TVec<_>>>().filter(|all| !all.is_empty()) else { return Ok(tvec!()) };
    let found = node.op.eval_out_of_plan(inputs.into_iter().map(IntoTValue::into_tvalue).collect());
    let found = found.map_err(|e| format!("node {:?} ({}): {}", node.name, node.op.name(), words(&e)))?;
    Ok(found.unwrap_or_default())
}
