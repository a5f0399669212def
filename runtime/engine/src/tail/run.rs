//! The values of a tail, step by step, in memory that is kept from run to run.

use super::{Function, Op, Pair, Reduction, Tail, TailStep, math};

/// A tail with room for all its values. The first are the graph's outputs, see [`Run::outputs_mut`].
#[derive(Debug, Clone)]
pub struct Run {
    tail: Tail,
    /// Extents of the graph's outputs.
    shapes: Vec<Vec<usize>>,
    values: Vec<Vec<f32>>,
}

impl Run {
    /// Checks a tail behind outputs of `shapes` and makes room.
    ///
    /// # Errors
    /// The step and what is wrong with it.
    pub fn new(tail: Tail, shapes: Vec<Vec<usize>>) -> Result<Run, String> {
        tail.check(&shapes)?;
        let room = |shape: &Vec<usize>| vec![0.0; shape.iter().product()];
        let mut values: Vec<Vec<f32>> = shapes.iter().map(room).collect();
        values.extend(tail.steps.iter().map(|step| match &step.op {
            Op::Constant(constant) => constant.clone(),
            _ => room(&step.shape),
        }));
        Ok(Run { tail, shapes, values })
    }

    /// The tail.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The graph's outputs, to be written before [`Run::run`]; each keeps its length.
    pub fn outputs_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.values[..self.shapes.len()]
    }

    /// Computes all steps.
    pub fn run(&mut self) {
        (0..self.tail.steps.len()).for_each(|index| self.step(index));
    }

    /// Computes step `index`.
    pub fn step(&mut self, index: usize) {
        let number = self.shapes.len() + index;
        let mut into = std::mem::take(&mut self.values[number]);
        let step = &self.tail.steps[index];
        let read = |at: usize| {
            let number = step.inputs[at];
            (self.values[number].as_slice(), self.tail.shape(&self.shapes, number).unwrap_or(&[]))
        };
        compute(step, read, &mut into);
        self.values[number] = into;
    }

    /// Value `number` of the last run.
    pub fn value(&self, number: usize) -> &[f32] {
        self.values.get(number).map_or(&[], Vec::as_slice)
    }

    /// Output `index` of the original network, of the last run.
    pub fn output(&self, index: usize) -> Option<&[f32]> {
        self.tail.outputs.get(index).map(|end| self.value(end.value))
    }

    /// Extents of the original network's outputs.
    pub fn output_shapes(&self) -> Vec<Vec<usize>> {
        let shape = |value| self.tail.shape(&self.shapes, value).unwrap_or(&[]).to_vec();
        self.tail.outputs.iter().map(|end| shape(end.value)).collect()
    }
}

fn compute<'a>(step: &TailStep, read: impl Fn(usize) -> (&'a [f32], &'a [usize]), into: &mut [f32]) {
    let shape = step.shape.as_slice();
    match &step.op {
        Op::Constant(_) => {}
        Op::View { base, strides } => view(read(0).0, *base, shape, strides, into),
        Op::Concat { axis } => {
            let (outer, extent, inner) = around(shape, *axis);
            let mut first = 0;
            for input in 0..step.inputs.len() {
                let (from, from_shape) = read(input);
                let run = from_shape[*axis] * inner;
                for row in 0..outer {
                    into[row * extent * inner + first..][..run].copy_from_slice(&from[row * run..][..run]);
                }
                first += run;
            }
        }
        Op::Softmax { axis } => softmax(read(0).0, around(shape, *axis), into),
        Op::Function(function) => {
            let from = read(0).0;
            match function {
                Function::Sigmoid => each(from, into, math::sigmoid),
                Function::Exp => each(from, into, math::exp),
                Function::Tanh => each(from, into, math::tanh),
                Function::Sqrt => each(from, into, f32::sqrt),
                Function::Square => each(from, into, |x| x * x),
                Function::Recip => each(from, into, |x| 1.0 / x),
                Function::Neg => each(from, into, |x| -x),
                Function::Abs => each(from, into, f32::abs),
            }
        }
        Op::Pair(pair) => {
            let (a, b) = (read(0), read(1));
            match pair {
                Pair::Add => both(a, b, shape, into, |a, b| a + b),
                Pair::Sub => both(a, b, shape, into, |a, b| a - b),
                Pair::Mul => both(a, b, shape, into, |a, b| a * b),
                Pair::Div => both(a, b, shape, into, |a, b| a / b),
                Pair::Min => both(a, b, shape, into, |a, b| if b < a { b } else { a }),
                Pair::Max => both(a, b, shape, into, |a, b| if b > a { b } else { a }),
            }
        }
        Op::Reduce { how, axis } => {
            let (from, from_shape) = read(0);
            let (outer, extent, inner) = around(from_shape, *axis);
            for row in 0..outer {
                let to = &mut into[row * inner..][..inner];
                to.copy_from_slice(&from[row * extent * inner..][..inner]);
                for at in 1..extent {
                    let more = &from[(row * extent + at) * inner..][..inner];
                    let more = to.iter_mut().zip(more);
                    match how {
                        Reduction::Max => more.for_each(|(to, v)| *to = if *v > *to { *v } else { *to }),
                        Reduction::Sum | Reduction::Mean => more.for_each(|(to, v)| *to += v),
                    }
                }
                if *how == Reduction::Mean {
                    to.iter_mut().for_each(|v| *v /= extent as f32);
                }
            }
        }
        Op::Mix { axis, weights, bias } => {
            let (from, from_shape) = read(0);
            let (outer, extent, inner) = around(from_shape, *axis);
            for row in 0..outer {
                for (o, bias) in bias.iter().enumerate() {
                    let to = &mut into[(row * shape[*axis] + o) * inner..][..inner];
                    to.fill(*bias);
                    for i in 0..extent {
                        let weight = weights[o * extent + i];
                        let more = &from[(row * extent + i) * inner..][..inner];
                        to.iter_mut().zip(more).for_each(|(to, v)| *to += weight * v);
                    }
                }
            }
        }
    }
}

/// Values before an axis, along it, and behind it.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn each(from: &[f32], into: &mut [f32], function: impl Fn(f32) -> f32) {
    into.iter_mut().zip(from).for_each(|(to, from)| *to = function(*from));
}

/// Copies axis by axis; the innermost is a loop without a branch.
fn view(from: &[f32], base: usize, shape: &[usize], strides: &[usize], into: &mut [f32]) {
    let ([extent, shape @ ..], [stride, strides @ ..]) = (shape, strides) else {
        into[0] = from[base];
        return;
    };
    if shape.is_empty() {
        if *stride == 1 {
            into.copy_from_slice(&from[base..base + extent]);
        } else {
            into.iter_mut().enumerate().for_each(|(at, to)| *to = from[base + at * stride]);
        }
        return;
    }
    let run = into.len() / extent;
    for (at, into) in into.chunks_exact_mut(run).enumerate() {
        view(from, base + at * stride, shape, strides, into);
    }
}

/// `into` along the axis: exp(x - max) by its sum; a row at a time, all places behind the axis at once.
fn softmax(from: &[f32], (outer, extent, inner): (usize, usize, usize), into: &mut [f32]) {
    /// Places behind the axis that are computed together.
    const TILE: usize = 64;
    if inner == 1 {
        for (from, into) in from.chunks_exact(extent).zip(into.chunks_exact_mut(extent)) {
            let most = from.iter().fold(f32::NEG_INFINITY, |most, v| if *v > most { *v } else { most });
            each(from, into, |v| math::exp(v - most));
            let sum = into.iter().fold(0.0, |sum, v| sum + v);
            into.iter_mut().for_each(|v| *v /= sum);
        }
        return;
    }
    for row in 0..outer {
        for first in (0..inner).step_by(TILE) {
            let width = TILE.min(inner - first);
            let at = |i: usize| (row * extent + i) * inner + first;
            let mut greatest = [f32::NEG_INFINITY; TILE];
            let mut sum = [0f32; TILE];
            for i in 0..extent {
                for (most, v) in greatest.iter_mut().zip(&from[at(i)..][..width]) {
                    *most = if *v > *most { *v } else { *most };
                }
            }
            for i in 0..extent {
                let places = into[at(i)..][..width].iter_mut().zip(&from[at(i)..][..width]);
                for ((to, v), (most, sum)) in places.zip(greatest.iter().zip(&mut sum)) {
                    *to = math::exp(*v - *most);
                    *sum += *to;
                }
            }
            for i in 0..extent {
                into[at(i)..][..width].iter_mut().zip(&sum).for_each(|(to, sum)| *to /= sum);
            }
        }
    }
}

/// Of two values whose axes of extent one are repeated.
fn both(
    (a, a_shape): (&[f32], &[usize]),
    (b, b_shape): (&[f32], &[usize]),
    shape: &[usize],
    into: &mut [f32],
    function: impl Fn(f32, f32) -> f32 + Copy,
) {
    if a_shape == shape && b_shape == shape {
        into.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = function(*a, *b));
        return;
    }
    match (a, b) {
        ([a], b) if shape.len() == 1 => return into.iter_mut().zip(b).for_each(|(to, b)| *to = function(*a, *b)),
        (a, [b]) if shape.len() == 1 => return into.iter_mut().zip(a).for_each(|(to, a)| *to = function(*a, *b)),
        _ => {}
    }
    let ([extent, shape @ ..], [a_extent, a_shape @ ..], [b_extent, b_shape @ ..]) = (shape, a_shape, b_shape) else {
        return;
    };
    let part = |whole: usize, extent: usize, at: usize| {
        let run = whole / extent;
        if extent == 1 { 0..run } else { at * run..(at + 1) * run }
    };
    let run = into.len() / extent;
    for (at, into) in into.chunks_exact_mut(run).enumerate() {
        let (a, b) = (&a[part(a.len(), *a_extent, at)], &b[part(b.len(), *b_extent, at)]);
        both((a, a_shape), (b, b_shape), shape, into, function);
    }
}
