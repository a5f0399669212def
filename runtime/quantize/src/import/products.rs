//! Products of two maps on their way to attention: which token of which batch each of them is of.
//!
//! What only moves products moves their numbers here, so that they are known wherever they come to stand.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

use crate::network::{MapId, evaluate};
use crate::onnx::words;

/// Products of two maps: of each token of one with each of the other, batch by batch.
#[derive(Debug)]
pub(super) struct Products {
    /// The factors.
    pub(super) sides: Arc<[Side; 2]>,
    /// Extents of the value.
    pub(super) shape: Vec<usize>,
    /// By value: `(batch * tokens of side 0 + token of side 0) * tokens of side 1 + token of side 1`.
    pub(super) index: Vec<u32>,
    /// The network multiplies them with this.
    pub(super) factor: f32,
    /// The side whose tokens softmax compared, once it did.
    pub(super) compared: Option<usize>,
}

/// Values of one map by batch, token and channel.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) map: MapId,
    pub(super) tokens: usize,
    pub(super) channels: usize,
    /// (batch, token, channel): into the map's values, in the order (channel, row, column).
    pub(super) index: Vec<u32>,
}

pub(super) const UNKNOWN: &str = "products of two maps, which no softmax and no values follow";

impl Side {
    /// Pixel and first channel of a token; none if its channels do not follow each other in one pixel.
    pub(super) fn token(&self, batch: usize, token: usize, area: usize) -> Option<(usize, usize)> {
        let first = (batch * self.tokens + token) * self.channels;
        run_of(self.index[first..first + self.channels].iter().map(|&at| at as usize), area)
    }
}

/// Pixel and first channel of values that are channels of one pixel, one after the other.
pub(super) fn run_of(mut places: impl Iterator<Item = usize>, area: usize) -> Option<(usize, usize)> {
    let first = places.next()?;
    let mut expected = first;
    for place in places {
        expected += area;
        if place != expected {
            return None;
        }
    }
    Some((first % area, first / area))
}

impl Products {
    /// The maps that are multiplied.
    pub(super) fn maps(&self) -> impl Iterator<Item = MapId> {
        self.sides.iter().map(|side| side.map)
    }

    /// Batch and tokens of a product, by its number.
    pub(super) fn tokens_of(&self, number: usize) -> (usize, usize, usize) {
        let [a, b] = [self.sides[0].tokens, self.sides[1].tokens];
        (number / (a * b), number / b % a, number % b)
    }

    fn with(&self, shape: Vec<usize>, index: Vec<u32>, factor: f32, compared: Option<usize>) -> Products {
        Products { sides: Arc::clone(&self.sides), shape, index, factor, compared }
    }

    /// Each product times `by`.
    pub(super) fn scaled(&self, by: f32, shape: Vec<usize>) -> Result<Products, String> {
        if shape.iter().product::<usize>() != self.index.len() || self.compared.is_some() || by <= 0.0 {
            return Err(UNKNOWN.into());
        }
        Ok(self.with(shape, self.index.clone(), self.factor * by, None))
    }

    /// Softmax over all tokens of one side.
    pub(super) fn softmaxed(&self, softmax: &Softmax) -> Result<Products, String> {
        let [axis] = softmax.axes[..] else { return Err(UNKNOWN.into()) };
        if softmax.quant_output_dt.is_some() || !matches!(softmax.kind, SoftmaxKind::Softmax) || self.compared.is_some()
        {
            return Err(UNKNOWN.into());
        }
        let extent = self.shape[axis];
        let inner: usize = self.shape[axis + 1..].iter().product();
        let line = |first: usize| (0..extent).map(move |i| first + i * inner);
        let firsts = (0..self.index.len()).filter(|at| (at / inner).is_multiple_of(extent));
        let over = |side: usize| {
            let (fixed, compared) = (1 - side, side);
            let of = |at: usize| {
                let (batch, a, b) = self.tokens_of(self.index[at] as usize);
                (batch, [a, b][fixed], [a, b][compared])
            };
            extent == self.sides[compared].tokens
                && firsts.clone().all(|first| {
                    let (batch, token, _) = of(first);
                    let mut seen = vec![false; extent];
                    line(first).all(|at| {
                        let found = of(at);
                        (found.0, found.1) == (batch, token) && !std::mem::replace(&mut seen[found.2], true)
                    })
                })
        };
        let side = (0..2).find(|&side| over(side)).ok_or(UNKNOWN)?;
        Ok(self.with(self.shape.clone(), self.index.clone(), self.factor, Some(side)))
    }

    /// What only moves products.
    ///
    /// `constants` has the node's inputs, none where the products stand.
    pub(super) fn moved(
        &self,
        node: &TypedNode,
        constants: &[Option<Arc<Tensor>>],
        shape: Vec<usize>,
    ) -> Result<Products, String> {
        let numbers: Vec<f32> = (0..self.index.len()).map(|i| i as f32).collect();
        let mut values = tvec!();
        for constant in constants {
            values.push(match constant {
                None => Tensor::from_shape(&self.shape, &numbers).map_err(|e| words(&e))?.into_tvalue(),
                Some(value) => Arc::clone(value).into_tvalue(),
            });
        }
        let moved = evaluate(node.op.as_ref(), values).map_err(|_| UNKNOWN)?;
        let cast = moved.cast_to::<f32>().map_err(|e| words(&e))?;
        let found = cast.as_plain_ram().ok_or(UNKNOWN)?.as_slice::<f32>().map_err(|e| words(&e))?;
        let mut seen = vec![false; self.index.len()];
        let once = |&at: &f32| {
            let place = (at >= 0.0 && at.fract() == 0.0).then_some(at as usize);
            place.and_then(|place| seen.get_mut(place)).is_some_and(|seen| !std::mem::replace(seen, true))
        };
        if found.len() != self.index.len() || !found.iter().all(once) {
            return Err(UNKNOWN.into());
        }
        let index = found.iter().map(|&at| self.index[at as usize]).collect();
        Ok(self.with(shape, index, self.factor, self.compared))
    }
}
