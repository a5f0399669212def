//! What stays in float32 becomes a [`Tail`], if all of it lies behind the regions.
//!
//! As in the rest of the import, operations that only move values are not matched by pattern: tract
//! evaluates them on the indices 0, 1, 2, ..., and the steps between the indices that come out are
//! the strides of a view.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer, Softmax, SoftmaxKind};

use super::meaning::{reals, words};
use crate::network::{FloatNetwork, Remaining, evaluate};
use crate::onnx::{at, guarded};
use lapwing_engine::tail::{End, Function, Op, Pair, Reduction, Tail, TailStep};

/// Indices travel through f32 operations, so they must be exact in f32.
const INDICES_MAX: usize = 1 << 24;
/// What a user can do about a node that runs nowhere but in tract.
const CURE: &str = "end the model before it, or run the float model";

/// The tail of a network that was imported with [`super::Options::behind`]; none if nothing remains.
///
/// # Errors
/// The node that has no place in it, why, and the cure.
pub fn tail(network: &FloatNetwork) -> Result<Option<Tail>, String> {
    guarded(|| found(network))
}

fn found(network: &FloatNetwork) -> Result<Option<Tail>, String> {
    let Some(first) = network.remaining.first() else { return Ok(None) };
    if network.inputs.len() > 1 {
        let Remaining { name, op, why, .. } = first;
        return Err(format!("node {name:?} ({op}): {why}, and a region reads what comes of it; {CURE}"));
    }
    let values = network.outputs.iter().enumerate().map(|(index, output)| (output.outlet, index)).collect();
    let shapes = network.outputs.iter().map(|o| o.shape.clone()).collect();
    let mut builder = Builder { network, shapes, values, tail: Tail::default() };
    for remaining in &network.remaining {
        at(&remaining.name);
        let named = |what: String| {
            let Remaining { name, op, why, .. } = remaining;
            let cause = if remaining == first {
                String::new()
            } else {
                format!(" (the first is node {:?} ({}): {})", first.name, first.op, first.why)
            };
            format!("node {name:?} ({op}): {why}{cause}, nor can it run in float32 without tract: {what}; {CURE}")
        };
        builder.node(remaining).map_err(named)?;
    }
    for outlet in network.model.output_outlets().map_err(|e| words(&e))? {
        let name = network.model.outlet_label(*outlet).unwrap_or(&network.model.node(outlet.node).name).to_owned();
        let value = builder.value(*outlet, "an output")?;
        builder.tail.outputs.push(End { name, value });
    }
    let Builder { shapes, tail, .. } = builder;
    let tail = tail.pruned(shapes.len());
    tail.check(&shapes)?;
    Ok(Some(tail))
}

struct Builder<'a> {
    network: &'a FloatNetwork,
    /// Of the regions' outputs.
    shapes: Vec<Vec<usize>>,
    /// Numbers of the values that are there.
    values: HashMap<OutletId, usize>,
    tail: Tail,
}

impl Builder<'_> {
    fn node(&mut self, remaining: &Remaining) -> Result<(), String> {
        let node = self.network.model.node(remaining.node);
        let outlet = OutletId::new(node.id, 0);
        let [output] = node.outputs.as_slice() else { return Err(format!("it has {} results", node.outputs.len())) };
        let shape = output.fact.shape.as_concrete().ok_or("its shape is not fixed")?.to_vec();
        let value = self.compute(node, remaining, shape)?;
        self.values.insert(outlet, value);
        Ok(())
    }

    fn value(&mut self, outlet: OutletId, why: &str) -> Result<usize, String> {
        if let Some(&value) = self.values.get(&outlet) {
            return Ok(value);
        }
        let node = self.network.model.node(outlet.node);
        let Some(constant) = &node.outputs[outlet.slot].fact.konst else {
            return Err(format!("node {:?} gives the picture itself", node.name));
        };
        let step = TailStep {
            name: node.name.clone(),
            why: why.to_owned(),
            op: Op::Constant(reals(constant)?),
            inputs: Vec::new(),
            shape: constant.shape().to_vec(),
        };
        let value = self.push(step);
        self.values.insert(outlet, value);
        Ok(value)
    }

    fn push(&mut self, step: TailStep) -> usize {
        self.tail.steps.push(step);
        self.shapes.len() + self.tail.steps.len() - 1
    }

    fn compute(&mut self, node: &TypedNode, remaining: &Remaining, shape: Vec<usize>) -> Result<usize, String> {
        let why = remaining.why.clone();
        let name = node.name.clone();
        let step = |op: Op, inputs: Vec<usize>, shape: Vec<usize>| TailStep {
            name: name.clone(),
            why: why.clone(),
            op,
            inputs,
            shape,
        };
        if let Some(softmax) = node.op_as::<Softmax>() {
            let wide: Vec<usize> = softmax.axes.iter().copied().filter(|&a| shape[a] > 1).collect();
            let axis = match (wide.as_slice(), softmax.axes.first()) {
                ([axis], _) => *axis,
                ([], Some(axis)) => *axis,
                _ => return Err("it goes over several axes".into()),
            };
            if softmax.kind != SoftmaxKind::Softmax || softmax.quant_output_dt.is_some() {
                return Err("it is another kind of softmax".into());
            }
            let from = self.value(node.inputs[0], &why)?;
            return Ok(self.softmax(&step, from, axis, shape));
        }
        if let Some(concat) = node.op_as::<TypedConcat>() {
            let inputs = node.inputs.iter().map(|i| self.value(*i, &why)).collect::<Result<_, _>>()?;
            return Ok(self.push(step(Op::Concat { axis: concat.axis }, inputs, shape)));
        }
        if node.op_is::<TypedBinOp>() {
            return self.pair(node, &step, &why, shape);
        }
        if node.op_is::<ElementWiseOp>() {
            let function = match node.op.name().as_ref() {
                "Sigmoid" => Function::Sigmoid,
                "Exp" => Function::Exp,
                "Tanh" => Function::Tanh,
                "Sqrt" => Function::Sqrt,
                "Square" => Function::Square,
                "Recip" => Function::Recip,
                "Neg" => Function::Neg,
                "Abs" => Function::Abs,
                _ => return Err("no rule for this function".into()),
            };
            let from = self.value(node.inputs[0], &why)?;
            return Ok(self.push(step(Op::Function(function), vec![from], shape)));
        }
        if let Some(reduce) = node.op_as::<Reduce>() {
            let how = match reduce.reducer {
                Reducer::Sum => Reduction::Sum,
                Reducer::Max => Reduction::Max,
                _ => return Err("no rule for this reduction".into()),
            };
            let mut from = self.value(node.inputs[0], &why)?;
            let mut made = self.tail.shape(&self.shapes, from).unwrap_or_default().to_vec();
            for &axis in &reduce.axes {
                *made.get_mut(axis).ok_or("it has no such axis")? = 1;
                from = self.push(step(Op::Reduce { how, axis }, vec![from], made.clone()));
            }
            return Ok(from);
        }
        if let Some(conv) = node.op_as::<Conv>() {
            return self.mix(node, conv, &step, &why, shape);
        }
        self.view(node, &step, &why, shape)
    }

    /// A softmax of a transposed value is the transposed softmax: so two transpositions around one vanish.
    fn softmax(
        &mut self,
        step: &impl Fn(Op, Vec<usize>, Vec<usize>) -> TailStep,
        from: usize,
        axis: usize,
        shape: Vec<usize>,
    ) -> usize {
        if let Some((view, inner)) = self.transposition(from) {
            let Op::View { strides, .. } = view.op else { return from };
            let wide = self.tail.shape(&self.shapes, inner).unwrap_or_default().to_vec();
            let old = steps(&wide).iter().position(|s| *s == strides[axis]);
            if let Some(old) = old.filter(|&old| wide[old] == shape[axis]) {
                let made = self.push(step(Op::Softmax { axis: old }, vec![inner], wide));
                return self.push(step(Op::View { base: 0, strides }, vec![made], shape));
            }
        }
        self.push(step(Op::Softmax { axis }, vec![from], shape))
    }

    /// The view that gives value `number`, and what it views, if it changes the order of the axes alone.
    fn transposition(&self, number: usize) -> Option<(TailStep, usize)> {
        let view = self.tail.steps.get(number.checked_sub(self.shapes.len())?)?;
        let Op::View { base: 0, strides } = &view.op else { return None };
        let inner = *view.inputs.first()?;
        let wide = self.tail.shape(&self.shapes, inner)?;
        let pairs = |shape: &[usize], strides: &[usize]| {
            let mut all: Vec<(usize, usize)> =
                strides.iter().copied().zip(shape.iter().copied()).filter(|(_, extent)| *extent > 1).collect();
            all.sort_unstable();
            all
        };
        (pairs(&view.shape, strides) == pairs(wide, &steps(wide))).then(|| (view.clone(), inner))
    }

    fn pair(
        &mut self,
        node: &TypedNode,
        step: &impl Fn(Op, Vec<usize>, Vec<usize>) -> TailStep,
        why: &str,
        shape: Vec<usize>,
    ) -> Result<usize, String> {
        let [a, b] = node.inputs[..] else { return Err("it has not two inputs".into()) };
        let name = node.op.name();
        if name == "Pow" {
            let exponent = &self.network.model.node(b.node).outputs[b.slot].fact.konst;
            let exponent = exponent.as_ref().filter(|k| k.len() == 1).ok_or("its exponent is not one constant")?;
            let function = match reals(exponent)?[0] {
                2.0 => Function::Square,
                0.5 => Function::Sqrt,
                other => return Err(format!("no rule for the exponent {other}")),
            };
            let from = self.value(a, why)?;
            return Ok(self.push(step(Op::Function(function), vec![from], shape)));
        }
        let pair = match name.as_ref() {
            "Add" => Pair::Add,
            "Sub" => Pair::Sub,
            "Mul" => Pair::Mul,
            "Div" => Pair::Div,
            "Min" => Pair::Min,
            "Max" => Pair::Max,
            _ => return Err("no rule for this operation on two values".into()),
        };
        let inputs = vec![self.value(a, why)?, self.value(b, why)?];
        Ok(self.push(step(Op::Pair(pair), inputs, shape)))
    }

    /// A convolution of single places mixes channels.
    fn mix(
        &mut self,
        node: &TypedNode,
        conv: &Conv,
        step: &impl Fn(Op, Vec<usize>, Vec<usize>) -> TailStep,
        why: &str,
        shape: Vec<usize>,
    ) -> Result<usize, String> {
        let spec = &conv.pool_spec;
        let from = self.value(node.inputs[0], why)?;
        let extents = self.tail.shape(&self.shapes, from).unwrap_or_default();
        let single = spec.kernel_shape.iter().all(|k| *k == 1) && extents.get(2..) == shape.get(2..);
        let plain = conv.kernel_fmt == KernelFormat::OIHW && spec.data_format == DataFormat::NCHW && conv.group == 1;
        if !single || !plain || conv.q_params.is_some() {
            return Err("it is a convolution with a window or groups".into());
        }
        let constant = |at: usize| {
            let outlet = node.inputs.get(at).ok_or("it lacks its weights")?;
            let fact = &self.network.model.node(outlet.node).outputs[outlet.slot].fact;
            reals(fact.konst.as_ref().ok_or("its weights are not constant")?)
        };
        let (weights, mut bias) = (constant(1)?, constant(2)?);
        if let [one] = bias[..] {
            bias = vec![one; shape[1]];
        }
        Ok(self.push(step(Op::Mix { axis: 1, weights, bias }, vec![from], shape)))
    }

    /// An operation that only moves the values of one input.
    fn view(
        &mut self,
        node: &TypedNode,
        step: &impl Fn(Op, Vec<usize>, Vec<usize>) -> TailStep,
        why: &str,
        shape: Vec<usize>,
    ) -> Result<usize, String> {
        let rule = "no rule for it";
        let mut moving = None;
        for (at, outlet) in node.inputs.iter().enumerate() {
            let fact = &self.network.model.node(outlet.node).outputs[outlet.slot].fact;
            if fact.konst.is_none() && moving.replace(at).is_some() {
                return Err(rule.into());
            }
        }
        let moving = moving.ok_or(rule)?;
        let from = self.value(node.inputs[moving], why)?;
        let extents = self.tail.shape(&self.shapes, from).unwrap_or_default().to_vec();
        let count: usize = extents.iter().product();
        if count > INDICES_MAX {
            return Err(format!("it moves more than {INDICES_MAX} values"));
        }
        let evaluated = |number: &dyn Fn(usize) -> f32| -> Result<Vec<f32>, String> {
            let numbers: Vec<f32> = (0..count).map(number).collect();
            let mut values = tvec!();
            for (at, outlet) in node.inputs.iter().enumerate() {
                let konst = &self.network.model.node(outlet.node).outputs[outlet.slot].fact.konst;
                values.push(match konst {
                    Some(constant) if at != moving => constant.clone().into_tvalue(),
                    _ => Tensor::from_shape(&extents, &numbers).map_err(|e| words(&e))?.into_tvalue(),
                });
            }
            reals(&*evaluate(node.op.as_ref(), values).map_err(|e| format!("{rule}: {}", words(&e)))?)
        };
        let found = evaluated(&|at| at as f32)?;
        let (base, strides) = strided(&found, &shape).ok_or(rule)?;
        // a computation can look like a movement on one set of numbers; a second one tells
        let scramble = |at: usize| ((at as u64).wrapping_mul(2_654_435_761) % (1 << 23)) as f32 - 4_000_000.0;
        let again = evaluated(&scramble)?;
        if again.len() != found.len() || again.iter().zip(&found).any(|(again, &at)| *again != scramble(at as usize)) {
            return Err(rule.into());
        }
        // of a view: what that one takes
        if let Some((outer, inner)) = self.transposition(from)
            && let Op::View { strides: through, .. } = &outer.op
        {
            let place = |at: f32| {
                let mut rest = at as usize;
                steps(&outer.shape).iter().zip(through).fold(0, |sum, (step, stride)| {
                    let along = rest / step;
                    rest %= step;
                    sum + along * stride
                }) as f32
            };
            let places: Vec<f32> = found.iter().map(|&at| place(at)).collect();
            if let Some((base, strides)) = strided(&places, &shape) {
                return Ok(self.viewed(step, inner, base, strides, shape));
            }
        }
        Ok(self.viewed(step, from, base, strides, shape))
    }

    /// A view, or the value itself where nothing changes.
    fn viewed(
        &mut self,
        step: &impl Fn(Op, Vec<usize>, Vec<usize>) -> TailStep,
        from: usize,
        base: usize,
        strides: Vec<usize>,
        shape: Vec<usize>,
    ) -> usize {
        let same = self.tail.shape(&self.shapes, from) == Some(&shape);
        let own = steps(&shape);
        let still = shape.iter().zip(strides.iter().zip(&own)).all(|(extent, (a, b))| *extent == 1 || a == b);
        if same && still && base == 0 { from } else { self.push(step(Op::View { base, strides }, vec![from], shape)) }
    }
}

/// Steps of a row-major value.
fn steps(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// The base and the strides of the places `index`, if they lie at strides.
fn strided(index: &[f32], shape: &[usize]) -> Option<(usize, Vec<usize>)> {
    if index.len() != shape.iter().product::<usize>() || index.iter().any(|at| *at < 0.0 || at.fract() != 0.0) {
        return None;
    }
    let own = steps(shape);
    let base = *index.first()? as usize;
    let mut strides = Vec::with_capacity(shape.len());
    for (extent, step) in shape.iter().zip(&own) {
        strides.push(if *extent > 1 { (*index.get(*step)? as usize).checked_sub(base)? } else { 0 });
    }
    let fits = index.iter().enumerate().all(|(at, &found)| {
        let along = own.iter().zip(shape).map(|(step, extent)| at / step % extent);
        base + along.zip(&strides).map(|(i, stride)| i * stride).sum::<usize>() == found as usize
    });
    fits.then_some((base, strides))
}
