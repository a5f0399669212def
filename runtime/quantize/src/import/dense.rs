//! Products with a constant matrix (MatMul, Gemm): convolutions of one pixel, or of a whole map.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::Importer;
use super::conv::finite;
use super::meaning::{Meaning, Moved, Refusal, concrete, reals};
use super::offsets::offsets;
use super::pointwise::in_order;
use crate::network::{RealConv, RealOp};
use lapwing_engine::ir::{Shape, Window};

impl Importer<'_> {
    pub(super) fn dense(&mut self, node: &TypedNode, product: &EinSum, inputs: &[Meaning]) -> Result<Meaning, Refusal> {
        let (x, w) = match inputs {
            [Meaning::Constant(_), Meaning::Constant(_)] => return Err("it has no map".into()),
            [_, Meaning::Constant(_)] => (0, 1),
            [Meaning::Constant(_), _] => (1, 0),
            _ => return Err("no rule for a product of two maps".into()),
        };
        let Meaning::Constant(matrix) = &inputs[w] else { return Err("it has no constant matrix".into()) };
        if product.q_params.is_some() {
            return Err("no rule for a product of whole numbers".into());
        }
        let (from, to) = (concrete(self.model, node.inputs[x])?, concrete(self.model, OutletId::new(node.id, 0))?);
        // axes of (x, w, output): of pixels, of products, of output channels
        let (mut pixels, mut products, mut channels) = (Vec::new(), Vec::new(), Vec::new());
        for axis in product.axes.iter_all_axes() {
            let place = |places: &[usize]| places.first().copied();
            match (place(&axis.inputs[x]), place(&axis.inputs[w]), place(&axis.outputs[0])) {
                (Some(x), None, Some(o)) => pixels.push((x, o)),
                (Some(x), Some(w), None) => products.push((x, w)),
                (None, Some(w), Some(o)) => channels.push((w, o)),
                (Some(i), Some(j), Some(o)) if from[i] == 1 && matrix.shape()[j] == 1 && to[o] == 1 => {}
                _ => return Err("no rule for the axes of its product".into()),
            }
        }
        pixels.sort_by_key(|p| p.1);
        channels.sort_by_key(|c| c.1);
        let pick = |pairs: &[(usize, usize)], first: bool| -> Vec<usize> {
            pairs.iter().map(|&(a, b)| if first { a } else { b }).collect()
        };
        let (x_pixels, x_products) = (offsets(&from, &pick(&pixels, true)), offsets(&from, &pick(&products, true)));
        let (w_products, w_channels) =
            (offsets(matrix.shape(), &pick(&products, false)), offsets(matrix.shape(), &pick(&channels, true)));
        let (o_pixels, o_channels) = (offsets(&to, &pick(&pixels, false)), offsets(&to, &pick(&channels, false)));
        let (source, index) = self.order_of_factor(node.inputs[x], &inputs[x])?;
        let shape = self.maps[source].shape;
        let area = shape.height * shape.width;
        let place = |m: usize, k: usize| index[x_pixels[m] + x_products[k]] as usize;
        let (count, outputs) = (x_products.len(), w_channels.len());
        // the whole map at once, or the channels of each pixel
        let whole = x_pixels.len() == 1 && count == shape.elements();
        let each = count == shape.channels
            && x_pixels.len() == area
            && (0..area).all(|m| {
                (0..count).all(|k| place(m, k) % area == place(m, 0) % area && place(m, k) / area == place(0, k) / area)
            });
        if !whole && !each {
            return Err("no rule for the order of its values".into());
        }
        let kernel = if whole { [shape.height, shape.width] } else { [1, 1] };
        let taps = kernel[0] * kernel[1];
        // position of product k among a filter's weights: (row, column, channel)
        let slot: Vec<usize> =
            (0..count).map(|k| place(0, k) % area % taps * shape.channels + place(0, k) / area).collect();
        let values = reals(matrix)?;
        finite(&values, &[])?;
        let arrange = |n: usize, k: usize| w_products[k] + w_channels[n];
        let mut weights = vec![0.0; outputs * count];
        for n in 0..outputs {
            for k in 0..count {
                weights[n * count + slot[k]] = values[arrange(n, k)];
            }
        }
        let window = Window { kernel, stride: [1, 1], dilation: [1, 1], pad: [0; 4] };
        let conv = RealConv { window, groups: 1, weights, bias: vec![0.0; outputs] };
        let made =
            if whole { Shape { height: 1, width: 1, channels: outputs } } else { Shape { channels: outputs, ..shape } };
        let map = self.push(node, RealOp::Conv(conv), vec![source], made);
        let mut index = vec![0u32; to.iter().product()];
        for (m, &pixel) in o_pixels.iter().enumerate() {
            for (n, &channel) in o_channels.iter().enumerate() {
                let at = if whole { n } else { n * area + place(m, 0) % area };
                index[pixel + channel] = at as u32;
            }
        }
        let moved = Moved { sources: vec![map], shape: to, index };
        self.maps[map].ordered = in_order(&moved);
        Ok(Meaning::Moved(Arc::new(moved)))
    }
}
