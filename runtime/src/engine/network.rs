//! The network in real numbers, as [`super::import`] finds it in tract's graph: maps of (channels,
//! height, width) and the operations that have an eight-bit rule.

use tract_onnx::prelude::{OutletId, TractResult, TypedModel};
use tract_onnx::tract_core::internal::*;

use super::ir::{Shape, Source, Window};

/// Index of a map in [`Network::maps`].
pub type MapId = usize;

/// A value of shape (1, channels, height, width).
#[derive(Debug, Clone)]
pub struct Map {
    /// Extents.
    pub shape: Shape,
    /// Where tract computes it.
    pub outlet: OutletId,
}

/// A convolution in real numbers.
#[derive(Debug, Clone)]
pub struct RealConv {
    /// Geometry.
    pub window: Window,
    /// Independent groups of channels.
    pub groups: usize,
    /// (output channel, row, column, input channel of the group).
    pub weights: Vec<f32>,
    /// One a output channel.
    pub bias: Vec<f32>,
}

/// What a node computes.
#[derive(Debug, Clone)]
pub enum RealOp {
    /// See [`RealConv`].
    Conv(RealConv),
    /// A function of each value.
    Pointwise(Function),
    /// Of two maps of one shape.
    Add,
    /// Of two maps of one shape, or the second (channels, 1, 1).
    Mul,
    /// The greatest of a window.
    MaxPool(Window),
    /// The mean of what a window covers.
    MeanPool(Window),
    /// Each pixel repeated.
    Upsample([usize; 2]),
    /// Channels one after the other.
    Concat,
    /// Channels and strides, see `ir::Op::Gather`.
    Gather {
        /// Down and to the right.
        stride: [usize; 2],
        /// One entry an output channel.
        from: Vec<Source>,
    },
}

/// A node of the network.
#[derive(Debug, Clone)]
pub struct RealNode {
    /// The name in the file.
    pub name: String,
    /// What it computes.
    pub op: RealOp,
    /// What it reads.
    pub inputs: Vec<MapId>,
    /// What it writes.
    pub output: MapId,
}

/// A part of an output that one map holds: as `ir::Part`.
#[derive(Debug, Clone)]
pub struct RealPart {
    /// The map.
    pub map: MapId,
    /// Place of its first value.
    pub base: usize,
    /// Steps for the next row, column and channel.
    pub strides: [usize; 3],
}

/// An output, put together from maps.
#[derive(Debug, Clone)]
pub struct RealOutput {
    /// The name in the file.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Where its values come from.
    pub parts: Vec<RealPart>,
}

/// A whole network for which every node has a rule.
#[derive(Debug, Clone)]
pub struct Network {
    /// tract's graph, for running it in real numbers.
    pub model: TypedModel,
    /// All maps; the first is the input.
    pub maps: Vec<Map>,
    /// In the order of execution.
    pub nodes: Vec<RealNode>,
    /// What it gives.
    pub outputs: Vec<RealOutput>,
}

/// A function of one real number, made of tract's own operations.
#[derive(Debug, Clone)]
pub enum Function {
    /// The number itself.
    Argument,
    /// A constant.
    Constant(f32),
    /// An operation of tract on other functions.
    Apply(Box<dyn TypedOp>, Vec<Function>),
}

impl Function {
    /// Its values at `points`.
    ///
    /// # Errors
    /// tract's, if an operation fails.
    pub fn eval(&self, points: &[f32]) -> TractResult<Vec<f32>> {
        let argument = Tensor::from_shape(&[1, 1, 1, points.len()], points)?.into_tvalue();
        let value = self.tensor(&argument)?;
        let value = value.cast_to::<f32>()?;
        let view = value.as_plain_ram().context("a plain tensor")?;
        let found = view.as_slice::<f32>()?;
        match found {
            [constant] => Ok(vec![*constant; points.len()]),
            _ => Ok(found.to_vec()),
        }
    }

    fn tensor(&self, argument: &TValue) -> TractResult<TValue> {
        Ok(match self {
            Function::Argument => argument.clone(),
            Function::Constant(value) => tensor4(&[[[[*value]]]]).into_tvalue(),
            Function::Apply(op, arguments) => {
                let inputs = arguments.iter().map(|a| a.tensor(argument)).collect::<TractResult<TVec<_>>>()?;
                evaluate(op.as_ref(), inputs)?
            }
        })
    }

    /// The interval in which this function is the identity and outside of which it is constant
    /// (ReLU, ReLU6, Clip); `None` for any other function.
    ///
    /// # Errors
    /// tract's, if an operation fails.
    pub fn clamp(&self) -> TractResult<Option<(f32, f32)>> {
        const FAR: f32 = 1e6;
        let ends = self.eval(&[-FAR, FAR])?;
        let (low, high) = (ends[0], ends[1]);
        let points: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.01).chain([low, high]).collect();
        let same = self.eval(&points)?.iter().zip(&points).all(|(f, x)| *f == x.clamp(low.min(high), high));
        Ok((low <= high && same).then_some((low, high)))
    }

    /// This function with `inner` for its argument.
    pub fn after(&self, inner: &Function) -> Function {
        match self {
            Function::Argument => inner.clone(),
            Function::Constant(value) => Function::Constant(*value),
            Function::Apply(op, arguments) => {
                Function::Apply(op.clone(), arguments.iter().map(|a| a.after(inner)).collect())
            }
        }
    }
}

/// The first output of an operation that needs no plan around it.
pub(super) fn evaluate(op: &dyn TypedOp, inputs: TVec<TValue>) -> TractResult<TValue> {
    match op.eval_out_of_plan(inputs)? {
        Some(mut outputs) if !outputs.is_empty() => Ok(outputs.remove(0)),
        _ => bail!("it cannot be evaluated on its own"),
    }
}
