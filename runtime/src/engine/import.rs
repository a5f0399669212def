//! From tract's graph to a [`Network`]: which node is which operation.
//!
//! Every value of tract's graph is given a meaning: a constant, a map, a function of a map's values,
//! or values of maps in another order. Nodes that only move values (reshapes, transpositions,
//! gathers, slices, concatenations, nearest resizing) are not matched by pattern: tract itself
//! evaluates them on the indices 0, 1, 2, ..., and the order they come out in is the meaning. So a
//! channel shuffle is recognised in whatever way it is spelt.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::ir::{Shape, Source, Window};
use super::network::{Function, Map, MapId, Network, RealConv, RealNode, RealOp, RealOutput, RealPart, evaluate};

/// Indices travel through f32 operations, so they must be exact in f32.
const INDICES_MAX: usize = 1 << 24;

#[derive(Debug, Clone)]
enum Meaning {
    Constant(Arc<Tensor>),
    Map(MapId),
    Pointwise(MapId, Function),
    Moved(Arc<Moved>),
}

/// Values of maps in another order.
#[derive(Debug)]
struct Moved {
    sources: Vec<MapId>,
    shape: Vec<usize>,
    /// Into the sources' values, in the order (channel, row, column), one source after the other.
    index: Vec<u32>,
}

/// Finds the network in a typed graph with one picture for its input.
///
/// # Errors
/// The first node without a rule, by name, and why.
pub fn import(mut model: TypedModel) -> Result<Network, String> {
    model.prop_consts().map_err(|e| words(&e))?;
    let order = model.eval_order().map_err(|e| words(&e))?;
    let mut importer = Importer { maps: Vec::new(), nodes: Vec::new(), meanings: HashMap::new() };
    for id in order {
        let node = model.node(id);
        let meaning =
            importer.node(&model, node).map_err(|what| format!("node {:?} ({}): {what}", node.name, node.op.name()))?;
        importer.meanings.insert(OutletId::new(id, 0), meaning);
    }
    let mut outputs = Vec::new();
    for outlet in model.output_outlets().map_err(|e| words(&e))? {
        let name = model.outlet_label(*outlet).unwrap_or(&model.node(outlet.node).name).to_owned();
        outputs.push(importer.output(&model, *outlet, &name).map_err(|what| format!("output {name:?}: {what}"))?);
    }
    Ok(Network { maps: importer.maps, nodes: importer.nodes, outputs, model })
}

fn words(error: &TractError) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

struct Importer {
    maps: Vec<Map>,
    nodes: Vec<RealNode>,
    meanings: HashMap<OutletId, Meaning>,
}

impl Importer {
    fn node(&mut self, model: &TypedModel, node: &TypedNode) -> Result<Meaning, String> {
        let outlet = OutletId::new(node.id, 0);
        let shape = concrete(model, outlet)?;
        if let Some(constant) = node.op_as::<Const>() {
            return Ok(Meaning::Constant(Arc::clone(constant.val())));
        }
        if node.op_is::<TypedSource>() {
            return Ok(Meaning::Map(self.map(shape_of(&shape)?, outlet)));
        }
        let inputs: Vec<Meaning> = node
            .inputs
            .iter()
            .map(|i| self.meanings.get(i).cloned().ok_or("an input has no meaning"))
            .collect::<Result<_, _>>()?;
        if let Some(conv) = node.op_as::<Conv>() {
            return self.conv(model, node, conv, &inputs);
        }
        if let Some(pool) = node.op_as::<MaxPool>() {
            let input = shape_of(&concrete(model, node.inputs[0])?)?;
            let window = window(&pool.pool_spec, input)?;
            return self.unary(model, node, &inputs[0], RealOp::MaxPool(window));
        }
        if let Some(pool) = node.op_as::<SumPool>() {
            let input = shape_of(&concrete(model, node.inputs[0])?)?;
            let window = window(&pool.pool_spec, input)?;
            if !pool.normalize || (pool.count_include_pad && window.pad != [0; 4]) {
                return Err("only a mean that leaves padding out has a rule".into());
            }
            return self.unary(model, node, &inputs[0], RealOp::MeanPool(window));
        }
        if node.op_is::<TypedBinOp>() || node.op_is::<ElementWiseOp>() {
            if let Some(meaning) = self.pointwise(model, node, &inputs)? {
                return Ok(meaning);
            }
            return self.binary(model, node, &inputs);
        }
        if let Some(concat) = node.op_as::<TypedConcat>()
            && concat.axis == 1
            && shape_of(&shape).is_ok()
        {
            return self.concat(model, node, &inputs);
        }
        self.moved(model, node, &inputs, &shape)
    }

    fn map(&mut self, shape: Shape, outlet: OutletId) -> MapId {
        self.maps.push(Map { shape, outlet });
        self.maps.len() - 1
    }

    fn push(&mut self, name: &str, op: RealOp, inputs: Vec<MapId>, shape: Shape, outlet: OutletId) -> MapId {
        let output = self.map(shape, outlet);
        self.nodes.push(RealNode { name: name.to_owned(), op, inputs, output });
        output
    }

    /// The meaning of `outlet` as a map; functions and movements become nodes, once.
    fn mapped(&mut self, model: &TypedModel, outlet: OutletId, meaning: &Meaning) -> Result<MapId, String> {
        let name = &model.node(outlet.node).name;
        let made = match meaning {
            Meaning::Map(map) => return Ok(*map),
            Meaning::Constant(_) => return Err("a constant stands where a map is needed".into()),
            Meaning::Pointwise(root, function) => {
                let shape = self.maps[*root].shape;
                self.push(name, RealOp::Pointwise(function.clone()), vec![*root], shape, outlet)
            }
            Meaning::Moved(moved) => self.rearranged(name, outlet, moved)?,
        };
        self.meanings.insert(outlet, Meaning::Map(made));
        Ok(made)
    }

    fn unary(&mut self, model: &TypedModel, node: &TypedNode, input: &Meaning, op: RealOp) -> Result<Meaning, String> {
        let outlet = OutletId::new(node.id, 0);
        let from = self.mapped(model, node.inputs[0], input)?;
        let shape = shape_of(&concrete(model, outlet)?)?;
        Ok(Meaning::Map(self.push(&node.name, op, vec![from], shape, outlet)))
    }

    fn conv(
        &mut self,
        model: &TypedModel,
        node: &TypedNode,
        conv: &Conv,
        inputs: &[Meaning],
    ) -> Result<Meaning, String> {
        let (Meaning::Constant(kernel), Some(Meaning::Constant(bias))) = (&inputs[1], inputs.get(2)) else {
            return Err("its weights are not constant".into());
        };
        if conv.kernel_fmt != KernelFormat::OIHW || conv.q_params.is_some() || kernel.rank() != 4 {
            return Err("only two-dimensional convolutions of real numbers in the order OIHW have a rule".into());
        }
        let input = shape_of(&concrete(model, node.inputs[0])?)?;
        let window = window(&conv.pool_spec, input)?;
        let (kernel, bias) = (reals(kernel)?, reals(bias)?);
        let outputs = conv.pool_spec.output_channels;
        let per_group = input.channels / conv.group.max(1);
        let area = window.kernel[0] * window.kernel[1];
        if kernel.len() != outputs * per_group * area {
            return Err("its weights do not fit its channels".into());
        }
        let mut weights = Vec::with_capacity(kernel.len());
        for o in 0..outputs {
            for tap in 0..area {
                weights.extend((0..per_group).map(|i| kernel[(o * per_group + i) * area + tap]));
            }
        }
        let bias = match bias.as_slice() {
            [one] => vec![*one; outputs],
            all if all.len() == outputs => all.to_vec(),
            other => return Err(format!("{} biases for {outputs} channels", other.len())),
        };
        if let Some(at) = weights.iter().chain(&bias).position(|w| !w.is_finite()) {
            return Err(format!("weight {at} is not a finite number"));
        }
        self.unary(model, node, &inputs[0], RealOp::Conv(RealConv { window, groups: conv.group, weights, bias }))
    }

    /// Operations on one map and scalars: a function of each value.
    fn pointwise(
        &mut self,
        model: &TypedModel,
        node: &TypedNode,
        inputs: &[Meaning],
    ) -> Result<Option<Meaning>, String> {
        let mut root = None;
        let mut arguments = Vec::new();
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            let (map, function) = match meaning {
                Meaning::Constant(value) if value.len() == 1 => {
                    arguments.push(Function::Constant(reals(value)?[0]));
                    continue;
                }
                Meaning::Constant(_) => return Ok(None),
                Meaning::Map(map) => (*map, Function::Argument),
                Meaning::Pointwise(map, function) => (*map, function.clone()),
                Meaning::Moved(_) if shape_of(&concrete(model, *outlet)?).is_ok() => {
                    (self.mapped(model, *outlet, meaning)?, Function::Argument)
                }
                Meaning::Moved(_) => return Ok(None),
            };
            if *root.get_or_insert(map) != map {
                return Ok(None);
            }
            arguments.push(function);
        }
        let Some(root) = root else { return Ok(None) };
        let function = Function::Apply(node.op.clone(), arguments);
        function.eval(&[0.0, 1.0]).map_err(|e| words(&e))?;
        Ok(Some(Meaning::Pointwise(root, function)))
    }

    fn binary(&mut self, model: &TypedModel, node: &TypedNode, inputs: &[Meaning]) -> Result<Meaning, String> {
        let op = match node.op.name().as_ref() {
            "Add" => RealOp::Add,
            "Mul" => RealOp::Mul,
            _ => return Err("no rule for it on two maps".into()),
        };
        let [a, b] = inputs else { return Err("it has not two inputs".into()) };
        let mut a = self.mapped(model, node.inputs[0], a)?;
        let mut b = self.mapped(model, node.inputs[1], b)?;
        let pixels = |m: &Map| m.shape.height * m.shape.width;
        if matches!(op, RealOp::Mul) && pixels(&self.maps[a]) < pixels(&self.maps[b]) {
            std::mem::swap(&mut a, &mut b);
        }
        let (first, second) = (self.maps[a].shape, self.maps[b].shape);
        let factor = matches!(op, RealOp::Mul) && second == (Shape { height: 1, width: 1, ..first });
        if first != second && !factor {
            return Err(format!("no rule for {first:?} with {second:?}"));
        }
        let outlet = OutletId::new(node.id, 0);
        Ok(Meaning::Map(self.push(&node.name, op, vec![a, b], first, outlet)))
    }

    fn concat(&mut self, model: &TypedModel, node: &TypedNode, inputs: &[Meaning]) -> Result<Meaning, String> {
        let outlet = OutletId::new(node.id, 0);
        let shape = shape_of(&concrete(model, outlet)?)?;
        let mut parts = Vec::new();
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            parts.push(self.mapped(model, *outlet, meaning)?);
        }
        Ok(Meaning::Map(self.push(&node.name, RealOp::Concat, parts, shape, outlet)))
    }

    /// An operation that only moves values: tract shows where each goes.
    fn moved(
        &mut self,
        model: &TypedModel,
        node: &TypedNode,
        inputs: &[Meaning],
        shape: &[usize],
    ) -> Result<Meaning, String> {
        let mut sources: Vec<MapId> = Vec::new();
        let mut indices: Vec<u32> = Vec::new();
        let mut values = tvec!();
        let mut total = 0;
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            let Meaning::Constant(value) = meaning else {
                let extents = concrete(model, *outlet)?;
                let (from, order) = match meaning {
                    Meaning::Moved(moved) => (moved.sources.clone(), moved.index.clone()),
                    _ => {
                        let map = self.mapped(model, *outlet, meaning)?;
                        (vec![map], (0..self.maps[map].shape.elements() as u32).collect())
                    }
                };
                let base: usize = sources.iter().map(|&m| self.maps[m].shape.elements()).sum();
                sources.extend(from);
                let positions: Vec<f32> = (total..total + order.len()).map(|i| i as f32).collect();
                total += order.len();
                indices.extend(order.into_iter().map(|i| i + base as u32));
                if total > INDICES_MAX {
                    return Err(format!("it moves more than {INDICES_MAX} values"));
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
        let moved = evaluate(node.op.as_ref(), values).map_err(|e| format!("{rule}: {}", words(&e)))?;
        let found = reals(&moved)?;
        let index = found
            .iter()
            .map(|&at| (at >= 0.0 && at.fract() == 0.0).then(|| indices.get(at as usize).copied()).flatten())
            .collect::<Option<Vec<u32>>>()
            .filter(|index| index.len() == shape.iter().product::<usize>())
            .ok_or(rule)?;
        // a computation can look like a movement on one set of numbers; a second one tells
        let again = self.again(model, node, inputs, &found)?;
        if !again {
            return Err(rule.into());
        }
        Ok(Meaning::Moved(Arc::new(Moved { sources, shape: shape.to_vec(), index })))
    }

    /// Whether the node moves scrambled values to the same places.
    fn again(&self, model: &TypedModel, node: &TypedNode, inputs: &[Meaning], first: &[f32]) -> Result<bool, String> {
        let scramble = |at: usize| ((at as u64).wrapping_mul(2_654_435_761) % (1 << 23)) as f32 - 4_000_000.0;
        let mut values = tvec!();
        let mut total = 0;
        for (meaning, outlet) in inputs.iter().zip(&node.inputs) {
            if let Meaning::Constant(value) = meaning {
                values.push(Arc::clone(value).into_tvalue());
                continue;
            }
            let extents = concrete(model, *outlet)?;
            let length: usize = extents.iter().product();
            let data: Vec<f32> = (total..total + length).map(scramble).collect();
            total += length;
            values.push(Tensor::from_shape(&extents, &data).map_err(|e| words(&e))?.into_tvalue());
        }
        let moved = reals(&*evaluate(node.op.as_ref(), values).map_err(|e| words(&e))?)?;
        Ok(moved.len() == first.len() && moved.iter().zip(first).all(|(m, &at)| *m == scramble(at as usize)))
    }

    /// A movement that gives a map: an enlargement, or channels (and strides) of one or more maps.
    fn rearranged(&mut self, name: &str, outlet: OutletId, moved: &Moved) -> Result<MapId, String> {
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
                self.push(name, RealOp::Concat, many.to_vec(), Shape { channels, ..first }, outlet)
            }
        };
        let from = self.maps[source].shape;
        let at = |index: u32| {
            let index = index as usize;
            let (channel, rest) = (index / (from.height * from.width), index % (from.height * from.width));
            (rest / from.width, rest % from.width, channel)
        };
        let output = |y: usize, x: usize, c: usize| at(moved.index[(c * shape.height + y) * shape.width + x]);
        let all = |expected: &dyn Fn(usize, usize, usize) -> (usize, usize, usize)| {
            (0..shape.channels)
                .all(|c| (0..shape.height).all(|y| (0..shape.width).all(|x| output(y, x, c) == expected(y, x, c))))
        };
        let factor = [shape.height / from.height, shape.width / from.width];
        if shape.channels == from.channels
            && factor.iter().all(|&f| f >= 1)
            && factor != [1, 1]
            && (from.height * factor[0], from.width * factor[1]) == (shape.height, shape.width)
            && all(&|y, x, c| (y / factor[0], x / factor[1], c))
        {
            return Ok(self.push(name, RealOp::Upsample(factor), vec![source], shape, outlet));
        }
        let stride = [from.height / shape.height, from.width / shape.width];
        let sources: Vec<Source> = (0..shape.channels)
            .map(|c| {
                let (row, column, channel) = output(0, 0, c);
                Source { row, column, channel }
            })
            .collect();
        let inside = |s: &Source| s.row < stride[0] && s.column < stride[1];
        let whole = (shape.height * stride[0], shape.width * stride[1]) == (from.height, from.width);
        if whole
            && stride.iter().all(|&s| s >= 1)
            && sources.iter().all(inside)
            && all(&|y, x, c| (y * stride[0] + sources[c].row, x * stride[1] + sources[c].column, sources[c].channel))
        {
            return Ok(self.push(name, RealOp::Gather { stride, from: sources }, vec![source], shape, outlet));
        }
        Err("no rule for the order in which it puts values".into())
    }

    fn output(&mut self, model: &TypedModel, outlet: OutletId, name: &str) -> Result<RealOutput, String> {
        let shape = concrete(model, outlet)?;
        let meaning = self.meanings.get(&outlet).cloned().ok_or("it has no meaning")?;
        let Meaning::Moved(moved) = meaning else {
            let map = self.mapped(model, outlet, &meaning)?;
            let Shape { height, width, .. } = self.maps[map].shape;
            let parts = vec![RealPart { map, base: 0, strides: [width, 1, height * width] }];
            return Ok(RealOutput { name: name.to_owned(), shape, parts });
        };
        let mut places = vec![None; moved.sources.iter().map(|&m| self.maps[m].shape.elements()).sum()];
        for (place, &from) in moved.index.iter().enumerate() {
            if places[from as usize].replace(place).is_some() {
                return Err("it holds a value twice".into());
            }
        }
        let mut parts = Vec::new();
        let mut first = 0;
        for &map in &moved.sources {
            let shape = self.maps[map].shape;
            let part = affine(map, shape, &places[first..first + shape.elements()]);
            parts.push(part.ok_or("no rule for the order of its values")?);
            first += shape.elements();
        }
        // parts that are concatenations are read from what was joined
        Ok(RealOutput { name: name.to_owned(), shape, parts })
    }
}

/// The steps at which a map's values lie, if they lie at steps.
fn affine(map: MapId, shape: Shape, places: &[Option<usize>]) -> Option<RealPart> {
    let at = |y: usize, x: usize, c: usize| places[(c * shape.height + y) * shape.width + x];
    let base = at(0, 0, 0)?;
    let step = |size: usize, next: Option<usize>| if size > 1 { next?.checked_sub(base) } else { Some(0) };
    let strides = [
        step(shape.height, if shape.height > 1 { at(1, 0, 0) } else { None })?,
        step(shape.width, if shape.width > 1 { at(0, 1, 0) } else { None })?,
        step(shape.channels, if shape.channels > 1 { at(0, 0, 1) } else { None })?,
    ];
    let fits = (0..shape.channels).all(|c| {
        (0..shape.height).all(|y| {
            (0..shape.width).all(|x| at(y, x, c) == Some(base + y * strides[0] + x * strides[1] + c * strides[2]))
        })
    });
    fits.then_some(RealPart { map, base, strides })
}

fn concrete(model: &TypedModel, outlet: OutletId) -> Result<Vec<usize>, String> {
    let fact = model.outlet_fact(outlet).map_err(|e| words(&e))?;
    fact.shape.as_concrete().map(<[usize]>::to_vec).ok_or_else(|| format!("its shape {:?} is not fixed", fact.shape))
}

fn shape_of(extents: &[usize]) -> Result<Shape, String> {
    match *extents {
        [1, channels, height, width] if channels > 0 && height > 0 && width > 0 => {
            Ok(Shape { height, width, channels })
        }
        _ => Err(format!("its shape {extents:?} is not (1, channels, height, width)")),
    }
}

fn reals(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let cast = tensor.cast_to::<f32>().map_err(|e| words(&e))?;
    let view = cast.try_as_plain_ram().map_err(|e| words(&e))?;
    Ok(view.as_slice::<f32>().map_err(|e| words(&e))?.to_vec())
}

fn window(spec: &PoolSpec, input: Shape) -> Result<Window, String> {
    let [kh, kw] = *spec.kernel_shape.as_slice() else { return Err("it is not two-dimensional".into()) };
    if spec.data_format != DataFormat::NCHW {
        return Err(format!("data format {:?} has no rule", spec.data_format));
    }
    let ceil = matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
    if ceil {
        return Err("rounding the output's size up has no rule".into());
    }
    let computed = spec.computed_padding(&[input.height, input.width]);
    let (h, w) = (&computed[0], &computed[1]);
    Ok(Window {
        kernel: [kh, kw],
        stride: [spec.stride(0), spec.stride(1)],
        dilation: [spec.dilation(0), spec.dilation(1)],
        pad: [h.pad_before, w.pad_before, h.pad_after, w.pad_after],
    })
}
