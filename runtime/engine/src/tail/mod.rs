//! The tail: what a network still computes in float32 behind its eight-bit graph.
//!
//! Exporters put parts of the decoding into the network: a softmax over classes, the expectation of a
//! distribution, scaling by anchors, a concatenation. These are few operations on few values, and
//! eight bits would spoil them. A [`Tail`] lists them; it needs no tract and, like the kernels, gives
//! the same bits on every machine ([`math`] has its own exponential).
//!
//! Values are numbered: first the graph's outputs, dequantized, then the result of each step.
//!
//! | file | noun |
//! |---|---|
//! | `check` | the proof that a tail can run |
//! | `run` | the values, step by step |
//! | [`math`] | functions of one number |

mod check;
pub mod math;
mod run;
#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};

pub use run::Run;

/// Most steps of a tail.
pub const STEPS_MAX: usize = 4096;
/// Most values that all steps of a tail give.
pub const VALUES_MAX: usize = 1 << 26;
/// Most axes of a value.
pub const AXES_MAX: usize = 8;

/// Steps in float32 behind a graph, and what they give.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tail {
    /// In the order of execution.
    pub steps: Vec<TailStep>,
    /// The outputs of the original network, in its order.
    pub outputs: Vec<End>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct TailStep {
    /// The name in the file it came from.
    pub name: String,
    /// Why it has no place in the eight-bit graph.
    pub why: String,
    /// What it computes.
    pub op: Op,
    /// Numbers of the values that it reads.
    pub inputs: Vec<usize>,
    /// Extents of its result, row-major.
    pub shape: Vec<usize>,
}

/// An output of the original network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The name in the file it came from.
    pub name: String,
    /// Number of its value.
    pub value: usize,
}

/// What a step computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// These values, for every picture. No input.
    Constant(Vec<f32>),
    /// Value (i, j, ...) is the input's at `base + i * strides[0] + j * strides[1] + ...`: a transposition,
    /// a slice, another shape, or the same value again and again.
    View {
        /// Place of the first value.
        base: usize,
        /// One an axis.
        strides: Vec<usize>,
    },
    /// Along one axis, one input after the other.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Shares that sum to one along an axis: `exp(x - max) / sum exp(x - max)`.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Of each value.
    Function(Function),
    /// Of two values; an axis of extent one is repeated to the other's.
    Pair(Pair),
    /// Over one axis, which remains with extent one.
    Reduce {
        /// How.
        how: Reduction,
        /// The axis.
        axis: usize,
    },
    /// `out[o] = bias[o] + sum weights[o, i] * in[i]` along an axis.
    Mix {
        /// The axis.
        axis: usize,
        /// (output, input).
        weights: Vec<f32>,
        /// One an output.
        bias: Vec<f32>,
    },
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// See [`math::sigmoid`].
    Sigmoid,
    /// See [`math::exp`].
    Exp,
    /// See [`math::tanh`].
    Tanh,
    /// The square root.
    Sqrt,
    /// The number times itself.
    Square,
    /// One by the number.
    Recip,
    /// The number with the other sign.
    Neg,
    /// The number without its sign.
    Abs,
}

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pair {
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a * b.
    Mul,
    /// a / b.
    Div,
    /// The lesser.
    Min,
    /// The greater.
    Max,
}

/// What becomes of many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Their sum, in their order.
    Sum,
    /// Their sum by their count.
    Mean,
    /// The greatest.
    Max,
}

impl Op {
    /// The operation's name in the field.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Constant(_) => "Constant",
            Op::View { .. } => "View",
            Op::Concat { .. } => "Concat",
            Op::Softmax { .. } => "Softmax",
            Op::Function(Function::Sigmoid) => "Sigmoid",
            Op::Function(Function::Exp) => "Exp",
            Op::Function(Function::Tanh) => "Tanh",
            Op::Function(Function::Sqrt) => "Sqrt",
            Op::Function(Function::Square) => "Square",
            Op::Function(Function::Recip) => "Recip",
            Op::Function(Function::Neg) => "Neg",
            Op::Function(Function::Abs) => "Abs",
            Op::Pair(Pair::Add) => "Add",
            Op::Pair(Pair::Sub) => "Sub",
            Op::Pair(Pair::Mul) => "Mul",
            Op::Pair(Pair::Div) => "Div",
            Op::Pair(Pair::Min) => "Min",
            Op::Pair(Pair::Max) => "Max",
            Op::Reduce { how: Reduction::Sum, .. } => "ReduceSum",
            Op::Reduce { how: Reduction::Mean, .. } => "ReduceMean",
            Op::Reduce { how: Reduction::Max, .. } => "ReduceMax",
            Op::Mix { .. } => "Mix",
        }
    }
}

impl Tail {
    /// Extents of value `number`, of which the first are outputs of `shapes`.
    pub fn shape<'a>(&'a self, shapes: &'a [Vec<usize>], number: usize) -> Option<&'a [usize]> {
        match number.checked_sub(shapes.len()) {
            None => shapes.get(number).map(Vec::as_slice),
            Some(step) => self.steps.get(step).map(|s| s.shape.as_slice()),
        }
    }

    /// Without steps that nothing reads, behind `graph_outputs` outputs.
    pub fn pruned(self, graph_outputs: usize) -> Tail {
        let mut needed = vec![false; graph_outputs + self.steps.len()];
        for end in &self.outputs {
            needed[end.value] = true;
        }
        for (index, step) in self.steps.iter().enumerate().rev() {
            if needed[graph_outputs + index] {
                step.inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        let mut moved_to: Vec<usize> = (0..needed.len()).collect();
        let mut next = graph_outputs;
        for (number, to) in moved_to.iter_mut().enumerate().skip(graph_outputs) {
            *to = next;
            next += usize::from(needed[number]);
        }
        let kept = self.steps.into_iter().zip(&needed[graph_outputs..]).filter(|(_, needed)| **needed);
        let with_params = |mut step: TailStep| {
            step.inputs.iter_mut().for_each(|input| *input = moved_to[*input]);
            step
        };
        let steps = kept.map(|(step, _)| with_params(step)).collect();
        let end = |end: End| End { value: moved_to[end.value], ..end };
        Tail { steps, outputs: self.outputs.into_iter().map(end).collect() }
    }

    /// What happens to graph output `output` alone, before other values join it: the numbers by which
    /// two graphs are compared. None if nothing does.
    pub fn lead(&self, shapes: &[Vec<usize>], output: usize) -> Option<Tail> {
        let mut steps: Vec<TailStep> = Vec::new();
        let mut value = output;
        loop {
            let mut readers = self.steps.iter().enumerate().filter(|(_, s)| s.inputs.contains(&value));
            let (Some((index, step)), None) = (readers.next(), readers.next()) else { break };
            if step.inputs.len() > 1 || self.outputs.iter().any(|end| end.value == value) {
                break;
            }
            steps.push(TailStep { inputs: vec![steps.len()], ..step.clone() });
            value = shapes.len() + index;
        }
        let outputs = vec![End { name: String::new(), value: steps.len() }];
        (!steps.is_empty()).then_some(Tail { steps, outputs })
    }
}
