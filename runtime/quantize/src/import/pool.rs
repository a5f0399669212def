//! Pools, and means and maxima over whole maps.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::Importer;
use super::meaning::{Meaning, Refusal, concrete, reals, shape_of, window};
use crate::network::{RealConv, RealOp};
use lapwing_engine::ir::{Shape, Window};

impl Importer<'_> {
    fn window_of(
        &self,
        node: &TypedNode,
        spec: &tract_onnx::tract_core::ops::cnn::PoolSpec,
    ) -> Result<Window, Refusal> {
        let input = shape_of(&concrete(self.model, node.inputs[0])?)?;
        let output = shape_of(&concrete(self.model, OutletId::new(node.id, 0))?)?;
        Ok(window(spec, input, output)?)
    }

    pub(super) fn max_pool(
        &mut self,
        node: &TypedNode,
        pool: &MaxPool,
        inputs: &[Meaning],
    ) -> Result<Meaning, Refusal> {
        let window = self.window_of(node, &pool.pool_spec)?;
        self.unary(node, &inputs[0], RealOp::MaxPool(window))
    }

    pub(super) fn sum_pool(
        &mut self,
        node: &TypedNode,
        pool: &SumPool,
        inputs: &[Meaning],
    ) -> Result<Meaning, Refusal> {
        let window = self.window_of(node, &pool.pool_spec)?;
        let area = (window.kernel[0] * window.kernel[1]) as f32;
        if !pool.normalize {
            return self.weighed(node, &inputs[0], window, 1.0);
        }
        if window.pad == [0; 4] {
            return self.mean(node, &inputs[0], window);
        }
        if pool.count_include_pad {
            let stated = pool.pool_spec.computed_padding(&{
                let shape = self.shape_at(node.inputs[0])?;
                [shape.height, shape.width]
            });
            if stated[0].pad_after < window.pad[2] || stated[1].pad_after < window.pad[3] {
                return Err("no rule for a mean over padding with the size rounded up".into());
            }
            return self.weighed(node, &inputs[0], window, 1.0 / area);
        }
        self.unary(node, &inputs[0], RealOp::MeanPool(window))
    }

    fn shape_at(&self, outlet: OutletId) -> Result<Shape, Refusal> {
        Ok(shape_of(&concrete(self.model, outlet)?)?)
    }

    /// A mean without padding: of a map with a stated scale as a convolution, which may have another
    /// scale behind it.
    fn mean(&mut self, node: &TypedNode, input: &Meaning, window: Window) -> Result<Meaning, Refusal> {
        let map = self.mapped(node.inputs[0], input)?;
        if self.maps[map].quant.is_some() {
            let area = (window.kernel[0] * window.kernel[1]) as f32;
            return self.weighed(node, input, window, 1.0 / area);
        }
        self.unary(node, input, RealOp::MeanPool(window))
    }

    /// The sum of each channel's window times `weight`.
    fn weighed(&mut self, node: &TypedNode, input: &Meaning, window: Window, weight: f32) -> Result<Meaning, Refusal> {
        let channels = self.shape_at(node.inputs[0])?.channels;
        let count = channels * window.kernel[0] * window.kernel[1];
        let conv = RealConv { window, groups: channels, weights: vec![weight; count], bias: vec![0.0; channels] };
        self.unary(node, input, RealOp::Conv(conv))
    }

    pub(super) fn reduce(&mut self, node: &TypedNode, reduce: &Reduce, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        let Shape { height, width, .. } = self.shape_at(node.inputs[0])?;
        let wide = |axis: usize, size: usize| reduce.axes.contains(&axis) == (size > 1) || reduce.axes.contains(&axis);
        if reduce.axes.iter().any(|&a| a < 2) || !wide(2, height) || !wide(3, width) {
            return Err(format!("no rule for a reduction over the axes {:?}", reduce.axes).into());
        }
        let window = Window { kernel: [height, width], stride: [1, 1], dilation: [1, 1], pad: [0; 4] };
        match reduce.reducer {
            Reducer::Max => self.unary(node, &inputs[0], RealOp::MaxPool(window)),
            Reducer::Sum => {
                let Some(next) = self.divided(node, (height * width) as f32) else {
                    return self.weighed(node, &inputs[0], window, 1.0);
                };
                let meaning = self.mean(node, &inputs[0], window)?;
                if let Meaning::Map(map) = meaning {
                    self.maps[map].outlet = OutletId::new(next, 0);
                }
                if let Some(made) = self.nodes.last_mut() {
                    made.origin.push(next);
                }
                self.ready.insert(next, meaning.clone());
                Ok(meaning)
            }
            _ => Err("no rule for it".into()),
        }
    }

    /// The node that alone reads `node` and divides it by `count`.
    fn divided(&self, node: &TypedNode, count: f32) -> Option<usize> {
        let [next] = node.outputs[0].successors.as_slice() else { return None };
        let reader = self.model.node(next.node);
        let other = reader.inputs.get(1 - next.slot.min(1))?;
        let constant = reals(self.model.outlet_fact(*other).ok()?.konst.as_ref()?).ok()?;
        let [value] = constant.as_slice() else { return None };
        let divides = match reader.op.name().as_ref() {
            "Div" => next.slot == 0 && *value == count,
            "Mul" => (value * count - 1.0).abs() < 1e-6,
            _ => false,
        };
        divides.then_some(reader.id)
    }
}
