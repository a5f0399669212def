//! Operations value by value: on one map a function, on a map and constants a channel an affine map,
//! on two maps a sum, difference or product.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::Importer;
use super::meaning::{Meaning, Moved, Refusal, concrete, reals, shape_of, words};
use crate::network::{Function, MapId, RealConv, RealOp};
use lapwing_engine::ir::{Shape, Source, Window};

/// Most operations of one function; what comes behind them is a function of its result. A function is copied to each
/// that takes it in, so that they would double with every product of two equal ones.
pub(super) const FUNCTION_SIZE_MAX: usize = 128;

impl Importer<'_> {
    /// Operations on one map and scalars: a function of each value.
    pub(super) fn pointwise(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Option<Meaning>, Refusal> {
        let (mut root, mut size) = (None, 1);
        let mut arguments = Vec::new();
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            let (map, function) = match meaning {
                Meaning::Constant(value) if value.len() == 1 => {
                    arguments.push(Function::Constant(reals(value)?[0]));
                    continue;
                }
                Meaning::Constant(_) => return Ok(None),
                Meaning::Map(map) => (*map, Function::Argument),
                Meaning::Pointwise(map, function) => {
                    size += function.size();
                    if size <= FUNCTION_SIZE_MAX {
                        (*map, function.clone())
                    } else {
                        (self.mapped(*outlet, meaning)?, Function::Argument)
                    }
                }
                Meaning::Moved(moved) => {
                    let alone = inputs.iter().filter(|m| !matches!(m, Meaning::Constant(_))).count() == 1;
                    let is_map = shape_of(&concrete(self.model, *outlet)?).is_ok();
                    match is_map.then(|| self.mapped(*outlet, meaning)) {
                        Some(Ok(map)) => (map, Function::Argument),
                        Some(Err(Refusal::NoRule(_))) | None if alone => {
                            return self.pointwise_moved(node, inputs, moved);
                        }
                        Some(Err(refusal)) => return Err(refusal),
                        None => return Ok(None),
                    }
                }
                Meaning::Products(_) => return Ok(None),
                // a tensor that tract computes becomes a map only where something multiplies it
                Meaning::Real => return Ok(None),
            };
            if *root.get_or_insert(map) != map {
                return Ok(None);
            }
            arguments.push(function);
        }
        let Some(root) = root else { return Ok(None) };
        let function = Function::Apply(node.op.clone(), arguments);
        if function.is_identity().map_err(|e| words(&e))? {
            return Ok(Some(Meaning::Map(root)));
        }
        Ok(Some(Meaning::Pointwise(root, function)))
    }

    /// A function of moved values: the maps change, the order stays.
    fn pointwise_moved(
        &mut self,
        node: &TypedNode,
        inputs: &[Meaning],
        moved: &Moved,
    ) -> Result<Option<Meaning>, Refusal> {
        let mut arguments = Vec::new();
        for meaning in inputs {
            arguments.push(match meaning {
                Meaning::Constant(value) if value.len() == 1 => Function::Constant(reals(value)?[0]),
                Meaning::Constant(_) => return Ok(None),
                _ => Function::Argument,
            });
        }
        let function = Function::Apply(node.op.clone(), arguments);
        Ok(Some(self.each_source(node, moved, |importer, map| {
            let shape = importer.maps[map].shape;
            importer.push(node, RealOp::Pointwise(function.clone()), vec![map], shape)
        })))
    }

    /// The same movement of changed maps.
    pub(super) fn each_source(
        &mut self,
        node: &TypedNode,
        moved: &Moved,
        mut change: impl FnMut(&mut Self, MapId) -> MapId,
    ) -> Meaning {
        let outlet = OutletId::new(node.id, 0);
        let mut made: Vec<(MapId, MapId)> = Vec::new();
        for &map in &moved.sources {
            if made.iter().any(|(from, _)| *from == map) {
                continue;
            }
            let changed = change(self, map);
            if changed != map && self.maps[changed].outlet == outlet {
                self.maps[changed].ordered = in_order(moved);
            }
            made.push((map, changed));
        }
        let of = |map: &MapId| made.iter().find(|(from, _)| from == map).map_or(*map, |(_, to)| *to);
        let sources = moved.sources.iter().map(of).collect();
        Meaning::Moved(Arc::new(Moved { sources, shape: moved.shape.clone(), index: moved.index.clone() }))
    }

    /// A map and a constant that differs from channel to channel at most: a factor and an offset a
    /// channel, folded into the convolution before it or a depthwise one of its own.
    pub(super) fn affine(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Option<Meaning>, Refusal> {
        let (at, constant) = match inputs {
            [Meaning::Constant(c), _] => (1, c),
            [_, Meaning::Constant(c)] => (0, c),
            _ => return Ok(None),
        };
        let name = node.op.name();
        let line: fn(f32) -> (f32, f32) = match (name.as_ref(), at) {
            ("Add", _) => |c| (1.0, c),
            ("Sub", 0) => |c| (1.0, -c),
            ("Sub", _) => |c| (-1.0, c),
            ("Mul", _) => |c| (c, 0.0),
            ("Div", 0) => |c| (1.0 / c, 0.0),
            _ => return Ok(None),
        };
        let shape = concrete(self.model, node.inputs[at])?;
        if shape != concrete(self.model, OutletId::new(node.id, 0))? {
            return Ok(None);
        }
        let moved = match &inputs[at] {
            Meaning::Moved(moved) => Arc::clone(moved),
            other => {
                let (sources, index) = self.order_of(node.inputs[at], other)?;
                Arc::new(Moved { sources, shape: shape.clone(), index })
            }
        };
        let wide = constant.broadcast_to_shape(&shape).map_err(|e| words(&e))?;
        let values = reals(&wide)?;
        // one constant a channel of all sources, one source after the other
        let mut of_channel: Vec<Option<f32>> = Vec::new();
        let channel_of: Vec<usize> = moved
            .sources
            .iter()
            .enumerate()
            .flat_map(|(i, &map)| {
                let before: usize = moved.sources[..i].iter().map(|&m| self.maps[m].shape.channels).sum();
                let Shape { height, width, channels } = self.maps[map].shape;
                (0..channels).flat_map(move |c| std::iter::repeat_n(before + c, height * width))
            })
            .collect();
        of_channel.resize(channel_of.last().map_or(0, |c| c + 1), None);
        for (&from, &value) in moved.index.iter().zip(&values) {
            let slot = &mut of_channel[channel_of[from as usize]];
            if *slot.get_or_insert(value) != value {
                return Ok(None);
            }
        }
        if let Some(bad) = of_channel.iter().flatten().find(|v| !v.is_finite()) {
            return Err(Refusal::Broken(format!("a constant is {bad}; train or export the model again")));
        }
        let mut first = 0;
        let lines: Vec<(MapId, Vec<(f32, f32)>)> = moved
            .sources
            .iter()
            .map(|&map| {
                let channels = self.maps[map].shape.channels;
                first += channels;
                (map, of_channel[first - channels..first].iter().map(|c| line(c.unwrap_or(0.0))).collect())
            })
            .collect();
        let meaning = self.each_source(node, &moved, |importer, map| {
            let lines = lines.iter().find(|(m, _)| *m == map).map_or(&[][..], |(_, l)| l);
            importer.folded(node, map, lines, node.inputs[at])
        });
        if let (Meaning::Moved(made), false) = (&meaning, matches!(inputs[at], Meaning::Moved(_))) {
            return Ok(Some(Meaning::Map(made.sources[0])));
        }
        Ok(Some(meaning))
    }

    fn folded(&mut self, node: &TypedNode, map: MapId, lines: &[(f32, f32)], from: OutletId) -> MapId {
        let alone = self.model.node(from.node).outputs[from.slot].successors.len() == 1;
        let unread = self.nodes.iter().all(|n| !n.inputs.contains(&map));
        let free = self.maps[map].quant.is_none() && self.maps[map].outlet == from;
        if alone
            && unread
            && free
            && let Some(before) = self.nodes.iter_mut().find(|n| n.output == map)
            && let RealOp::Conv(conv) = &mut before.op
        {
            let products = conv.weights.len() / conv.bias.len().max(1);
            for ((weights, bias), (factor, offset)) in
                conv.weights.chunks_exact_mut(products).zip(&mut conv.bias).zip(lines)
            {
                weights.iter_mut().for_each(|w| *w *= factor);
                *bias = *bias * factor + offset;
            }
            before.origin.push(node.id);
            self.maps[map].outlet = OutletId::new(node.id, 0);
            return map;
        }
        let shape = self.maps[map].shape;
        let conv = RealConv {
            window: Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0; 4] },
            groups: shape.channels,
            weights: lines.iter().map(|l| l.0).collect(),
            bias: lines.iter().map(|l| l.1).collect(),
        };
        self.push(node, RealOp::Conv(conv), vec![map], shape)
    }

    pub(super) fn binary(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        let op = match node.op.name().as_ref() {
            "Add" => RealOp::Add,
            "Sub" => RealOp::Sub,
            "Mul" => RealOp::Mul,
            _ => return Err("no rule for it on two maps".into()),
        };
        let [a, b] = inputs else { return Err("it has not two inputs".into()) };
        let shape = shape_of(&concrete(self.model, OutletId::new(node.id, 0))?)?;
        let mut a = self.mapped(node.inputs[0], a)?;
        let mut b = self.mapped(node.inputs[1], b)?;
        if matches!(op, RealOp::Mul) && self.maps[a].shape != shape {
            std::mem::swap(&mut a, &mut b);
        }
        a = self.widened(node, a, shape)?;
        let factor = matches!(op, RealOp::Mul) && self.maps[b].shape == Shape { height: 1, width: 1, ..shape };
        if !factor {
            b = self.widened(node, b, shape)?;
        }
        Ok(Meaning::Map(self.push(node, op, vec![a, b], shape)))
    }

    /// Repeats rows, columns and channels of extent one.
    fn widened(&mut self, node: &TypedNode, map: MapId, to: Shape) -> Result<MapId, Refusal> {
        let mut map = map;
        let repeat = |made: &mut Self, map: MapId, op: RealOp, shape: Shape| {
            let outlet = made.maps[map].outlet;
            let wide = made.push(node, op, vec![map], shape);
            made.maps[wide].outlet = outlet;
            made.maps[wide].ordered = false;
            wide
        };
        let Shape { height, width, channels } = self.maps[map].shape;
        let fits = |from: usize, to: usize| from == to || from == 1;
        if !fits(height, to.height) || !fits(width, to.width) || !fits(channels, to.channels) {
            return Err(format!("no rule for {:?} beside {to:?}", self.maps[map].shape).into());
        }
        if channels != to.channels {
            let from = vec![Source { row: 0, column: 0, channel: 0 }; to.channels];
            let shape = Shape { height, width, channels: to.channels };
            map = repeat(self, map, RealOp::Gather { stride: [1, 1], from }, shape);
        }
        if (height, width) != (to.height, to.width) {
            map = repeat(self, map, RealOp::Upsample([to.height / height, to.width / width]), to);
        }
        Ok(map)
    }

    pub(super) fn concat(&mut self, node: &TypedNode, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        let shape = shape_of(&concrete(self.model, OutletId::new(node.id, 0))?)?;
        let to = self.next_scale(node)?;
        let mut parts = Vec::new();
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            let mut part = self.mapped(*outlet, meaning)?;
            if let (Some(to), Some(from)) = (to, self.maps[part].quant)
                && to != from
            {
                let function = Function::Rounded(to, Box::new(Function::Argument));
                let (shape, outlet) = (self.maps[part].shape, self.maps[part].outlet);
                part = self.push(node, RealOp::Pointwise(function), vec![part], shape);
                self.maps[part].outlet = outlet;
            }
            parts.push(part);
        }
        Ok(Meaning::Map(self.push(node, RealOp::Concat, parts, shape)))
    }
}

/// True if one map's values come in their own order.
pub(super) fn in_order(moved: &Moved) -> bool {
    moved.sources.len() == 1 && moved.index.iter().enumerate().all(|(at, &from)| at as u32 == from)
}
