//! Operations that only move values: tract shows where each goes.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode};

use super::meaning::{Meaning, Moved, Refusal, concrete, reals, shape_of, words};
use super::{Importer, MOVED_MAX, order};
use crate::network::{MapId, RealOp, evaluate};
use lapwing_engine::ir::{Between, Shape, WEIGHT_ONE};

/// Indices travel through f32 operations, so they must be exact in f32.
const INDICES_MAX: usize = 1 << 24;
/// Largest error of a bilinear enlargement whose weights are rounded, on values from 0 to 1.
const BILINEAR_ERROR_MAX: f32 = 2e-3;

impl Importer<'_> {
    /// The maps that an outlet's values are of, and their places in them, one map after the other.
    pub(super) fn order_of(&mut self, outlet: OutletId, meaning: &Meaning) -> Result<(Vec<MapId>, Vec<u32>), Refusal> {
        if let Meaning::Moved(moved) = meaning {
            return Ok((moved.sources.clone(), moved.index.clone()));
        }
        let map = self.mapped(outlet, meaning)?;
        Ok((vec![map], (0..self.maps[map].shape.elements() as u32).collect()))
    }

    /// As [`Importer::order_of`], where a product's factor must be of one map.
    pub(super) fn order_of_factor(
        &mut self,
        outlet: OutletId,
        meaning: &Meaning,
    ) -> Result<(MapId, Vec<u32>), Refusal> {
        match self.order_of(outlet, meaning)? {
            (sources, order) if sources.len() == 1 => Ok((sources[0], order)),
            _ => Err("no rule for a product of several maps".into()),
        }
    }

    /// Makes sure that so many places of values can be kept beside those that are kept already.
    pub(super) fn reserve(&mut self, places: usize) -> Result<(), Refusal> {
        let left = self.moved_left.checked_sub(places);
        self.moved_left = left.ok_or_else(|| format!("it and those before it move more than {MOVED_MAX} values"))?;
        Ok(())
    }

    /// An operation that only moves values: tract shows where each goes.
    pub(super) fn moved(&mut self, node: &TypedNode, inputs: &[Meaning], shape: &[usize]) -> Result<Meaning, Refusal> {
        let mut sources: Vec<MapId> = Vec::new();
        let mut indices: Vec<u32> = Vec::new();
        let mut values = tvec!();
        let mut total = 0;
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            let Meaning::Constant(value) = meaning else {
                let extents = concrete(self.model, *outlet)?;
                let (from, order) = self.order_of(*outlet, meaning)?;
                let base: usize = sources.iter().map(|&m| self.maps[m].shape.elements()).sum();
                sources.extend(from);
                let positions: Vec<f32> = (total..total + order.len()).map(|i| i as f32).collect();
                total += order.len();
                indices.extend(order.into_iter().map(|i| i + base as u32));
                if total > INDICES_MAX {
                    return Err(format!("it moves more than {INDICES_MAX} values").into());
                }
                let tensor = Tensor::from_shape(&extents, &positions).map_err(|e| words(&e))?;
                values.push(tensor.into_tvalue());
                continue;
            };
            values.push(Arc::clone(value).into_tvalue());
        }
        let rule = "no rule for it";
        if total == 0 {
            return Err(rule.into());
        }
        self.reserve(total + shape.iter().product::<usize>())?;
        let moved = evaluate(node.op.as_ref(), values).map_err(|e| format!("{rule}: {}", words(&e)))?;
        let found = reals(&moved)?;
        let index = found
            .iter()
            .map(|&at| (at >= 0.0 && at.fract() == 0.0).then(|| indices.get(at as usize).copied()).flatten())
            .collect::<Option<Vec<u32>>>()
            .filter(|index| index.len() == shape.iter().product::<usize>())
            .ok_or(rule)?;
        // a computation can look like a movement on one set of numbers; a second one tells
        let again = self.again(node, inputs, &found)?;
        if !again {
            return Err(rule.into());
        }
        Ok(Meaning::Moved(Arc::new(Moved { sources, shape: shape.to_vec(), index })))
    }

    /// Whether the node moves scrambled values to the same places.
    fn again(&self, node: &TypedNode, inputs: &[Meaning], first: &[f32]) -> Result<bool, Refusal> {
        let scramble = |at: usize| ((at as u64).wrapping_mul(2_654_435_761) % (1 << 23)) as f32 - 4_000_000.0;
        let mut values = tvec!();
        let mut total = 0;
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            if let Meaning::Constant(value) = meaning {
                values.push(Arc::clone(value).into_tvalue());
                continue;
            }
            let extents = concrete(self.model, *outlet)?;
            let length: usize = extents.iter().product();
            let data: Vec<f32> = (total..total + length).map(scramble).collect();
            total += length;
            values.push(Tensor::from_shape(&extents, &data).map_err(|e| words(&e))?.into_tvalue());
        }
        let moved = reals(&*evaluate(node.op.as_ref(), values).map_err(|e| words(&e))?)?;
        Ok(moved.len() == first.len() && moved.iter().zip(first).all(|(m, &at)| *m == scramble(at as usize)))
    }

    /// A movement that gives a map of one or more maps.
    pub(super) fn rearranged(&mut self, node: &TypedNode, moved: &Moved) -> Result<MapId, Refusal> {
        let shape = shape_of(&moved.shape)?;
        let source = match moved.sources.as_slice() {
            [one] => *one,
            many => {
                let first = self.maps[many[0]].shape;
                if many
                    .iter()
                    .any(|&m| (self.maps[m].shape.height, self.maps[m].shape.width) != (first.height, first.width))
                {
                    return Err("it mixes maps of different sizes".into());
                }
                let channels = many.iter().map(|&m| self.maps[m].shape.channels).sum();
                // the joined map is not a value of tract's graph: its range is that of its parts
                let joined = self.push(node, RealOp::Concat, many.to_vec(), Shape { channels, ..first });
                self.maps[joined].ordered = false;
                joined
            }
        };
        let from = self.maps[source].shape;
        let at = |index: u32| {
            let index = index as usize;
            let (channel, rest) = (index / (from.height * from.width), index % (from.height * from.width));
            (rest / from.width, rest % from.width, channel)
        };
        let output = |y: usize, x: usize, c: usize| at(moved.index[(c * shape.height + y) * shape.width + x]);
        if shape == from && order::all(shape, &output, |y, x, c| (y, x, c)) {
            return Ok(source);
        }
        let op = order::enlarged(shape, from, &output)
            .or_else(|| order::gathered(shape, from, &output))
            .or_else(|| order::picked(shape, from, &output))
            .or_else(|| order::spread(shape, from, &output));
        let op = op.ok_or("no rule for the order in which it puts values")?;
        Ok(self.push(node, op, vec![source], shape))
    }

    /// Padding with a constant; other kinds are movements.
    pub(super) fn pad(&mut self, node: &TypedNode, pad: &Pad, inputs: &[Meaning]) -> Result<Option<Meaning>, Refusal> {
        let PadMode::Constant(value) = &pad.mode else { return Ok(None) };
        let [(0, 0), (0, 0), rows, columns] = *pad.pads.as_slice() else {
            return Err(format!("no rule for padding {:?}", pad.pads).into());
        };
        let fill = reals(value)?.first().copied().unwrap_or(0.0);
        let from = self.mapped(node.inputs[0], &inputs[0])?;
        let Shape { height, width, .. } = self.maps[from].shape;
        let around = |(before, after): (usize, usize), size: usize| -> Vec<Option<u16>> {
            let inside = (0..size).map(|i| u16::try_from(i).ok());
            std::iter::repeat_n(None, before).chain(inside).chain(std::iter::repeat_n(None, after)).collect()
        };
        let op = RealOp::Pick { rows: around(rows, height), columns: around(columns, width), fill };
        Ok(Some(self.unary(node, &Meaning::Map(from), op)?))
    }

    /// Linear resizing: a picture of row numbers shows which rows each output row lies between.
    pub(super) fn bilinear(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Option<Meaning>, Refusal> {
        let from = self.mapped(node.inputs[0], &inputs[0])?;
        let (from, to) = (self.maps[from].shape, concrete(self.model, OutletId::new(node.id, 0))?);
        let to = shape_of(&to)?;
        let resized = |value: &dyn Fn(usize, usize) -> f32| -> Result<Vec<f32>, Refusal> {
            let plane: Vec<f32> =
                (0..from.height).flat_map(|y| (0..from.width).map(move |x| (y, x))).map(|(y, x)| value(y, x)).collect();
            let data: Vec<f32> = (0..from.channels).flat_map(|_| plane.iter().copied()).collect();
            let picture =
                Tensor::from_shape(&[1, from.channels, from.height, from.width], &data).map_err(|e| words(&e))?;
            let mut values = tvec!(picture.into_tvalue());
            for meaning in &inputs[1..] {
                let Meaning::Constant(value) = meaning else { return Err("its size is not constant".into()) };
                values.push(Arc::clone(value).into_tvalue());
            }
            let found = reals(&*evaluate(node.op.as_ref(), values).map_err(|e| words(&e))?)?;
            if found.len() == to.elements() { Ok(found) } else { Err("no rule for its size".into()) }
        };
        let rows = resized(&|y, _| y as f32)?;
        let columns = resized(&|_, x| x as f32)?;
        let rows: Vec<Between> = (0..to.height).map(|y| between(rows[y * to.width], from.height)).collect();
        let columns: Vec<Between> = columns[..to.width].iter().map(|&x| between(x, from.width)).collect();
        let noise = |y: usize, x: usize| ((y * 7919 + x * 104_729) % 1013) as f32 / 1013.0;
        let found = resized(&noise)?;
        let exact = (0..to.height).all(|y| {
            (0..to.width).all(|x| {
                let (row, column) = (rows[y], columns[x]);
                let share = |b: Between| f32::from(b.weight) / f32::from(WEIGHT_ONE);
                let along = |y: u16| {
                    let at = |x: u16| noise(usize::from(y), usize::from(x));
                    at(column.first) * (1.0 - share(column)) + at(column.second) * share(column)
                };
                let mixed = along(row.first) * (1.0 - share(row)) + along(row.second) * share(row);
                (mixed - found[y * to.width + x]).abs() < BILINEAR_ERROR_MAX
            })
        });
        if !exact {
            return Ok(None);
        }
        Ok(Some(self.unary(node, &inputs[0], RealOp::Bilinear { rows, columns })?))
    }
}

/// The place `at`, clamped to 0..size.
fn between(at: f32, size: usize) -> Between {
    let last = size.saturating_sub(1);
    let at = at.clamp(0.0, last as f32);
    let first = (at.floor() as usize).min(last);
    let weight = ((at - first as f32) * f32::from(WEIGHT_ONE)).round() as u16;
    Between { first: first as u16, second: (first + 1).min(last) as u16, weight: weight.min(WEIGHT_ONE) }
}
