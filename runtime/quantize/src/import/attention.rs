//! Attention: products of two maps, their softmax, and values of a third one, as one operation.
//!
//! Networks spell it in many ways: heads split before or after, tokens in rows or columns, areas of the picture in the
//! batch. So the axes are not matched. [`Products`] says of each product which token of which batch it is of; nodes
//! that only move products move these numbers, and where values come in, the tokens tell pixels and channels.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::Softmax;

use super::Importer;
use super::meaning::{Meaning, Moved, Refusal, concrete, reals, words};
use super::offsets::offsets;
use super::pointwise::in_order;
use super::products::{Products, Side, UNKNOWN, run_of};
use crate::network::{MapId, RealAttention, RealOp};
use lapwing_engine::ir::{AttentionHead, Shape};

/// Most products of all batches, and most values that are multiplied: each keeps its number, which must be exact in f32.
const PRODUCTS_MAX: usize = 1 << 23;

impl Importer<'_> {
    /// A step of attention; none if it is something else.
    pub(super) fn attention(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Option<Meaning>, Refusal> {
        let products: Vec<&Arc<Products>> =
            inputs.iter().filter_map(|m| if let Meaning::Products(p) = m { Some(p) } else { None }).collect();
        if let Some(product) = node.op_as::<EinSum>() {
            let computed = |m: &Meaning| matches!(m, Meaning::Map(_) | Meaning::Pointwise(..) | Meaning::Moved(_));
            return match inputs {
                [a, b] if computed(a) && computed(b) => self.products(node, product, inputs).map(Some),
                [Meaning::Products(weights), values] if computed(values) => {
                    self.attended(node, product, weights, (values, [0, 1])).map(Some)
                }
                [values, Meaning::Products(weights)] if computed(values) => {
                    self.attended(node, product, weights, (values, [1, 0])).map(Some)
                }
                _ if !products.is_empty() => Err(UNKNOWN.into()),
                _ => Ok(None),
            };
        }
        let [products] = products[..] else {
            return if products.is_empty() { Ok(None) } else { Err(UNKNOWN.into()) };
        };
        let shape = concrete(self.model, OutletId::new(node.id, 0))?;
        if let Some(softmax) = node.op_as::<Softmax>() {
            return self.kept(products.softmaxed(softmax)?).map(Some);
        }
        if let Some(op) = node.op_as::<TypedBinOp>() {
            let factor = inputs.iter().find_map(|m| match m {
                Meaning::Constant(value) if value.len() == 1 => Some(reals(value)),
                _ => None,
            });
            let by = factor.transpose()?.and_then(|values| values.first().copied());
            let first = matches!(inputs.first(), Some(Meaning::Products(_)));
            let by = match (op.0.name(), by) {
                ("Mul", Some(by)) => by,
                ("Div", Some(by)) if first => 1.0 / by,
                _ => return Err(UNKNOWN.into()),
            };
            return self.kept(products.scaled(by, shape)?).map(Some);
        }
        let constant = |meaning: &Meaning| match meaning {
            Meaning::Products(_) => Ok(None),
            Meaning::Constant(value) => Ok(Some(Arc::clone(value))),
            _ => Err(UNKNOWN),
        };
        let constants: Vec<_> = inputs.iter().map(constant).collect::<Result<_, _>>()?;
        self.kept(products.moved(node, &constants, shape)?).map(Some)
    }

    /// Products of two maps.
    fn products(&mut self, node: &TypedNode, product: &EinSum, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        if product.q_params.is_some() {
            return Err("no rule for a product of whole numbers".into());
        }
        let axes = Axes::of(self.model, node, product, [0, 1])?;
        let (batches, channels) = (axes.batch[0].len(), axes.joint[0].len());
        let tokens = [0, 1].map(|side| axes.own[side].len());
        if batches.saturating_mul(tokens[0]).saturating_mul(tokens[1]) > PRODUCTS_MAX {
            return Err(format!("it has more than {PRODUCTS_MAX} products").into());
        }
        let mut factor = 1.0;
        let mut side = |side: usize| -> Result<Side, Refusal> {
            let (map, order) = self.order_of_factor(node.inputs[side], &inputs[side])?;
            let (map, by) = self.unscaled(map)?;
            factor *= by;
            let mut index = Vec::with_capacity(batches * tokens[side] * channels);
            for batch in &axes.batch[side] {
                for token in &axes.own[side] {
                    index.extend(axes.joint[side].iter().map(|channel| order[batch + token + channel]));
                }
            }
            Ok(Side { map, tokens: tokens[side], channels, index })
        };
        let sides = [side(0)?, side(1)?];
        let shape = concrete(self.model, OutletId::new(node.id, 0))?;
        let mut index = vec![0; shape.iter().product()];
        let mut number = 0;
        for batch in &axes.batch[2] {
            for a in &axes.placed[0] {
                for b in &axes.placed[1] {
                    index[batch + a + b] = number;
                    number += 1;
                }
            }
        }
        self.kept(Products { sides: Arc::new(sides), shape, index, factor, compared: None })
    }

    /// Products as a meaning, if there is room for their numbers beside those that are kept already.
    fn kept(&mut self, products: Products) -> Result<Meaning, Refusal> {
        self.reserve(products.index.len())?;
        Ok(Meaning::Products(Arc::new(products)))
    }

    /// The map that `map` is a multiple of, and the factor; itself and 1 where it is none.
    fn unscaled(&self, map: MapId) -> Result<(MapId, f32), Refusal> {
        let Some(node) = self.nodes.iter().find(|node| node.output == map) else { return Ok((map, 1.0)) };
        let RealOp::Pointwise(function) = &node.op else { return Ok((map, 1.0)) };
        const POINTS: [f32; 5] = [1.0, 0.0, -1.0, 0.5, 1000.0];
        let values = function.eval(&POINTS).map_err(|e| words(&e))?;
        let factor = values.first().copied().unwrap_or(0.0);
        let linear = POINTS.iter().zip(&values).all(|(x, y)| (y - x * factor).abs() <= 1e-6 * (x * factor).abs());
        Ok(if linear && factor > 0.0 && factor.is_finite() { (node.inputs[0], factor) } else { (map, 1.0) })
    }

    /// Weights times values: the end of attention. `slots` are the inputs of weights and of `values`.
    fn attended(
        &mut self,
        node: &TypedNode,
        product: &EinSum,
        weights: &Products,
        (values, slots): (&Meaning, [usize; 2]),
    ) -> Result<Meaning, Refusal> {
        let compared = weights.compared.ok_or(UNKNOWN)?;
        let (keys, queries) = (&weights.sides[compared], &weights.sides[1 - compared]);
        let axes = Axes::of(self.model, node, product, slots)?;
        let (values, value_order) = self.order_of_factor(node.inputs[slots[1]], values)?;
        let [query_map, key_map] = [queries.map, keys.map].map(|map| self.maps[map].shape);
        let value_map = self.maps[values].shape;
        let (area, tokens, width) = (query_map.height * query_map.width, keys.tokens, axes.own[1].len());
        let one_size = [key_map, value_map].iter().all(|s| (s.height, s.width) == (query_map.height, query_map.width));
        if !one_size || queries.tokens != tokens || axes.joint[0].len() != tokens || axes.own[0].len() != tokens {
            return Err("no rule for attention between pictures of different sizes".into());
        }
        const ORDER: &str = "no rule for the order of its tokens and channels";
        let mut heads: Vec<AttentionHead> = Vec::new();
        let to = concrete(self.model, OutletId::new(node.id, 0))?;
        let mut index = vec![0u32; to.iter().product()];
        let mut next: Vec<(usize, usize)> = Vec::new();
        for batch in 0..axes.batch[0].len() {
            // (batch, token of side 0, token of side 1) of a weight
            let of = |row: usize, column: usize| {
                let place = axes.batch[0][batch] + axes.own[0][row] + axes.joint[0][column];
                weights.tokens_of(weights.index[place] as usize)
            };
            let group = of(0, 0).0;
            let (query_of, key_of) = if compared == 1 { (1, 2) } else { (2, 1) };
            let part = |at: (usize, usize, usize), side: usize| if side == 1 { at.1 } else { at.2 };
            let key_at = |column: usize| part(of(0, column), key_of);
            let query_at = |row: usize| part(of(row, 0), query_of);
            let whole = (0..tokens).all(|row| {
                (0..tokens).all(|column| {
                    let at = of(row, column);
                    at.0 == group && part(at, key_of) == key_at(column) && part(at, query_of) == query_at(row)
                })
            });
            if !whole {
                return Err(ORDER.into());
            }
            // pixels and first channels
            let query = |row: usize| queries.token(group, query_at(row), area);
            let key = |column: usize| keys.token(group, key_at(column), area);
            let value = |column: usize| {
                let first = axes.batch[1][batch] + axes.joint[1][column];
                run_of(axes.own[1].iter().map(|channel| value_order[first + channel] as usize), area)
            };
            let (Some(first_query), Some(first_key), Some(first_value)) = (query(0), key(0), value(0)) else {
                return Err(ORDER.into());
            };
            let pixel = (0..tokens).filter_map(query).map(|(pixel, _)| pixel).min().unwrap_or(0);
            let mut seen = [vec![false; tokens], vec![false; tokens]];
            for token in 0..tokens {
                let (Some(q), Some(k), Some(v)) = (query(token), key(token), value(token)) else {
                    return Err(ORDER.into());
                };
                let alike = q.1 == first_query.1 && k.1 == first_key.1 && v.1 == first_value.1 && k.0 == v.0;
                for (seen, place) in seen.iter_mut().zip([q.0, k.0]) {
                    match place.checked_sub(pixel).and_then(|at| seen.get_mut(at)) {
                        Some(seen) if alike => *seen = true,
                        _ => return Err(ORDER.into()),
                    }
                }
            }
            if seen.iter().flatten().any(|seen| !seen) {
                return Err(ORDER.into());
            }
            // heads of one area stand side by side
            let output = match next.iter_mut().find(|(first, _)| *first == pixel) {
                Some((_, output)) => {
                    *output += width;
                    *output
                }
                None => {
                    next.push((pixel, 0));
                    0
                }
            };
            let (query_first, key_first, value_first) = (first_query.1, first_key.1, first_value.1);
            heads.push(AttentionHead { pixel, query: query_first, key: key_first, value: value_first, output });
            for row in 0..tokens {
                let (pixel, _) = query(row).ok_or(ORDER)?;
                for (channel, at) in axes.placed[1].iter().enumerate() {
                    index[axes.batch[2][batch] + axes.placed[0][row] + at] = ((output + channel) * area + pixel) as u32;
                }
            }
        }
        let channels = next.iter().map(|(_, output)| output + width).max().unwrap_or(0);
        let shape = Shape { channels, ..query_map };
        let attention = RealAttention { tokens, key: keys.channels, value: width, heads, factor: weights.factor };
        if attention.heads.len() * tokens * width != shape.elements() {
            return Err(ORDER.into());
        }
        let map = self.push(node, RealOp::Attention(attention), vec![queries.map, keys.map, values], shape);
        let moved = Moved { sources: vec![map], shape: to, index };
        self.maps[map].ordered = in_order(&moved);
        Ok(Meaning::Moved(Arc::new(moved)))
    }
}

/// Offsets of a product of two values, by what their axes are: of the first input, the second, the output.
struct Axes {
    /// Axes that all three have.
    batch: [Vec<usize>; 3],
    /// Axes of one input alone, in itself.
    own: [Vec<usize>; 2],
    /// The same in the output.
    placed: [Vec<usize>; 2],
    /// Axes that are summed over, in both inputs.
    joint: [Vec<usize>; 2],
}

impl Axes {
    fn of(model: &TypedModel, node: &TypedNode, product: &EinSum, slots: [usize; 2]) -> Result<Axes, Refusal> {
        let shapes = [
            concrete(model, node.inputs[slots[0]])?,
            concrete(model, node.inputs[slots[1]])?,
            concrete(model, OutletId::new(node.id, 0))?,
        ];
        // before anything is as long as they say
        let values = |shape: &Vec<usize>| shape.iter().fold(1usize, |all, extent| all.saturating_mul(*extent));
        if shapes.iter().any(|shape| values(shape) > PRODUCTS_MAX) {
            return Err(format!("it is a product of more than {PRODUCTS_MAX} values").into());
        }
        let (mut batch, mut first, mut second, mut joint) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for axis in product.axes.iter_all_axes() {
            let place = |places: &[usize]| places.first().copied();
            let [a, b] = slots.map(|slot| place(&axis.inputs[slot]));
            match (a, b, place(&axis.outputs[0])) {
                (Some(a), Some(b), Some(o)) if shapes[0][a] == shapes[1][b] => batch.push([a, b, o]),
                (Some(a), Some(b), None) if shapes[0][a] == shapes[1][b] => joint.push([a, b]),
                (Some(a), None, Some(o)) => first.push([a, o]),
                (None, Some(b), Some(o)) => second.push([b, o]),
                _ => return Err("no rule for the axes of its product".into()),
            }
        }
        batch.sort_by_key(|axis| axis[2]);
        first.sort_by_key(|axis| axis[1]);
        second.sort_by_key(|axis| axis[1]);
        let pick = |which: usize, axes: Vec<usize>| offsets(&shapes[which], &axes);
        let of = |list: &[[usize; 2]], place: usize| list.iter().map(|axis| axis[place]).collect::<Vec<_>>();
        Ok(Axes {
            batch: [0, 1, 2].map(|which| pick(which, batch.iter().map(|axis| axis[which]).collect())),
            own: [pick(0, of(&first, 0)), pick(1, of(&second, 0))],
            placed: [pick(2, of(&first, 1)), pick(2, of(&second, 1))],
            joint: [pick(0, of(&joint, 0)), pick(1, of(&joint, 1))],
        })
    }
}
