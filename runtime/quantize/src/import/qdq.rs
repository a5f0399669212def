//! Scales that the file states: QuantizeLinear, DequantizeLinear.
//!
//! A quantization followed by its inverse is a function that rounds. On a convolution's own result it
//! states the map's scale; on a function of a map with a scale it joins the function, so that a chain
//! of them becomes one table. Signed eight-bit values are unsigned ones less 128.

use std::collections::BTreeMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::TypedOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, QuantizeLinearI8, QuantizeLinearU8};

use super::Importer;
use super::meaning::{Meaning, Refusal};
use super::pointwise::FUNCTION_SIZE_MAX;
use crate::network::{Function, RealOp};
use lapwing_engine::quant::Quant;

/// The scale by which `op` multiplies, and its zero point for unsigned values.
fn quantization(op: &dyn TypedOp) -> Option<(f32, i32)> {
    let op = op.downcast_ref::<ElementWiseOp>()?;
    if let Some(q) = op.0.downcast_ref::<QuantizeLinearU8>() {
        return Some((q.scale, i32::from(q.zero_point)));
    }
    let q = op.0.downcast_ref::<QuantizeLinearI8>()?;
    Some((q.scale, i32::from(q.zero_point) + 128))
}

impl Importer<'_> {
    /// The meaning of a node that quantizes or dequantizes; none for other nodes.
    pub(super) fn scaled(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Option<Meaning>, Refusal> {
        if let Some(inverse) = node.op_as::<DequantizeLinearF32>() {
            usable(inverse.scale)?;
            if matches!(inputs[0], Meaning::Real) {
                return Err("it follows nodes in float32".into());
            }
            let origin = self.original(node.inputs[0]);
            self.aliases.insert(OutletId::new(node.id, 0), origin);
            return Ok(Some(inputs[0].clone()));
        }
        let Some(quant) = self.stated(node)? else { return Ok(None) };
        Ok(Some(match &inputs[0] {
            Meaning::Constant(_) => return Err("it quantizes a constant; fold it into the weights".into()),
            Meaning::Moved(moved) => {
                let moved = std::sync::Arc::clone(moved);
                self.each_source(node, &moved, |importer, map| {
                    if importer.maps[map].quant == Some(quant) {
                        return map;
                    }
                    let shape = importer.maps[map].shape;
                    let function = Function::Rounded(quant, Box::new(Function::Argument));
                    importer.push(node, RealOp::Pointwise(function), vec![map], shape)
                })
            }
            Meaning::Pointwise(root, function) if function.size() < FUNCTION_SIZE_MAX => {
                let meaning = Meaning::Pointwise(*root, Function::Rounded(quant, Box::new(function.clone())));
                if self.maps[*root].quant.is_some() {
                    meaning
                } else {
                    Meaning::Map(self.mapped(OutletId::new(node.id, 0), &meaning)?)
                }
            }
            other => {
                let map = self.mapped(node.inputs[0], other)?;
                let from = self.original(node.inputs[0]);
                let alone = self.model.node(from.node).outputs[from.slot].successors.len() == 1;
                match self.maps[map].quant {
                    Some(same) if same == quant => Meaning::Map(map),
                    None if alone => {
                        self.maps[map].quant = Some(quant);
                        Meaning::Map(map)
                    }
                    found => {
                        let meaning = Meaning::Pointwise(map, Function::Rounded(quant, Box::new(Function::Argument)));
                        if found.is_some() {
                            meaning
                        } else {
                            Meaning::Map(self.mapped(OutletId::new(node.id, 0), &meaning)?)
                        }
                    }
                }
            }
        }))
    }

    /// The quantization that `node` does. tract keeps the inverse of its scale; the file's own number
    /// is that of the dequantization behind it.
    fn stated(&self, node: &TypedNode) -> Result<Option<Quant>, Refusal> {
        let Some((inverse, zero)) = quantization(node.op.as_ref()) else { return Ok(None) };
        let close = |scale: &f32| (scale * inverse - 1.0).abs() < 1e-6;
        let behind = node.outputs[0].successors.iter().find_map(|next| {
            self.model.node(next.node).op_as::<DequantizeLinearF32>().map(|op| op.scale).filter(close)
        });
        let scale = behind.unwrap_or(inverse.recip());
        usable(scale)?;
        usable(inverse)?;
        Ok(Some(Quant { scale, zero: zero.clamp(0, 255) as u8 }))
    }

    /// The scale that the only reader of `node` states.
    pub(super) fn next_scale(&self, node: &TypedNode) -> Result<Option<Quant>, Refusal> {
        let [next] = node.outputs[0].successors.as_slice() else { return Ok(None) };
        self.stated(self.model.node(next.node))
    }

    /// In a file that states scales: nodes whose result has none.
    pub(super) fn without_scales(&self) -> BTreeMap<usize, String> {
        let mut found = BTreeMap::new();
        if self.maps.iter().all(|m| m.quant.is_none()) {
            return found;
        }
        let why = || "the file states no scale for what it reads or gives".to_owned();
        let inner = |map: usize| {
            // a sum in 32 bits, rounded only after a function
            let mut readers = self.nodes.iter().filter(|n| n.inputs.contains(&map));
            let reader = readers.next();
            readers.next().is_none()
                && reader.is_some_and(|r| matches!(&r.op, RealOp::Pointwise(f) if f.unrounded().1.is_some()))
                && !self.outputs.iter().flat_map(|o| &o.parts).any(|p| p.map == map)
        };
        for node in &self.nodes {
            let computes = matches!(node.op, RealOp::Conv(_) | RealOp::Add | RealOp::Sub | RealOp::Mul);
            let stated = self.maps[node.output].quant.is_some() || (computes && inner(node.output));
            let reads = node.inputs.iter().all(|&m| {
                let written = self.nodes.iter().any(|n| n.output == m);
                self.maps[m].quant.is_some() || (written && matches!(node.op, RealOp::Pointwise(_)))
            });
            if !stated || !reads {
                found.extend(node.origin.iter().map(|&id| (id, why())));
            }
        }
        found
    }
}

fn usable(scale: f32) -> Result<(), Refusal> {
    if scale.is_finite() && scale > 0.0 {
        return Ok(());
    }
    Err(Refusal::Broken("its scale is zero or not a number; quantize the model again".into()))
}
