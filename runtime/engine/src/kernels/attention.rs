//! Attention of pixels to pixels, see `ir::Attention`: two rounds of products of rows of whole numbers.
//!
//! A thread brings keys and values of a head into rows of its own, keys a pixel, values a channel, so that both rounds
//! are products of rows ([`super::dots`]). Rows are filled up with zeros to a multiple of [`ROW`] numbers.

use std::ops::Range;

use super::super::ir::{Attention, AttentionHead};
use super::dots::ROW;
use super::scratch::Scratch;
use super::set::Kernels;
use super::tensor_span::TensorSpan;

/// Attention over the whole of its regions.
#[derive(Debug)]
pub struct AttentionStep {
    attention: Attention,
    /// See [`Attention::exponential`].
    exponential: Vec<i16>,
    /// Zero points of queries, keys, values and output.
    zeros: [u8; 4],
    inputs: [TensorSpan; 3],
    output: TensorSpan,
    scratch: Scratch,
}

/// Where the rows of a head lie in a thread's scratch, in numbers of sixteen bits from its beginning.
struct Rows {
    /// Length of a row of channels, and of one of pixels.
    channels: usize,
    pixels: usize,
    /// (pixel, channel), (channel, pixel), (channel), (pixel).
    keys: usize,
    values: usize,
    query: usize,
    weights: usize,
    /// Products, two numbers each: of pixels, of channels.
    products: usize,
    all: usize,
}

impl Rows {
    fn of(attention: &Attention) -> Rows {
        let (channels, pixels) = (attention.key.next_multiple_of(ROW), attention.tokens.next_multiple_of(ROW));
        let keys = 0;
        let values = keys + attention.tokens * channels;
        let query = values + attention.value * pixels;
        let weights = query + channels;
        let products = weights + pixels;
        let all = products + 2 * attention.tokens.max(attention.value);
        Rows { channels, pixels, keys, values, query, weights, products, all }
    }
}

impl AttentionStep {
    /// A part of `scratch` has [`AttentionStep::scratch_bytes`] or more. `zeros` are those of the inputs and the output.
    pub fn new(
        attention: &Attention,
        zeros: [u8; 4],
        inputs: [TensorSpan; 3],
        output: TensorSpan,
        scratch: Scratch,
    ) -> AttentionStep {
        let (attention, exponential) = (attention.clone(), attention.exponential());
        AttentionStep { attention, exponential, zeros, inputs, output, scratch }
    }

    /// Bytes of one thread's rows.
    pub fn scratch_bytes(attention: &Attention) -> usize {
        Rows::of(attention).all * size_of::<i16>()
    }

    /// Everything that it reads and writes.
    pub fn regions(&self) -> impl Iterator<Item = &TensorSpan> {
        self.inputs.iter().chain([&self.output])
    }

    /// The output.
    pub fn output(&self) -> &TensorSpan {
        &self.output
    }

    /// Checks that its rows lie below `bytes`.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self, bytes: usize) -> Result<(), String> {
        self.scratch.check(AttentionStep::scratch_bytes(&self.attention), bytes)
    }

    /// Takes other numbers; the structure is the same.
    pub fn set_params(&mut self, attention: &Attention, zeros: [u8; 4]) {
        (self.attention.multiplier, self.attention.store, self.zeros) = (attention.multiplier, attention.store, zeros);
    }

    /// Writes `share`, a range of the output's rows.
    ///
    /// # Safety
    /// The regions lie inside the memory at `base`, for which [`AttentionStep::check`] held; nobody else touches these
    /// rows of the output or part `part` of the scratch, or writes the inputs; the operation passes `Graph::check` for
    /// these regions; `kernels` runs on this processor.
    pub unsafe fn run(&self, base: *mut u8, share: Range<usize>, part: usize, kernels: &Kernels) {
        let width = self.output.shape.width;
        let share = share.start * width..share.end * width;
        let rows = Rows::of(&self.attention);
        // Safety: this thread's own part, which is aligned and large enough by `check`; it has no tensor in it.
        let scratch =
            unsafe { std::slice::from_raw_parts_mut(base.add(self.scratch.at(part)).cast::<i16>(), rows.all) };
        for head in &self.attention.heads {
            let pixels = head.pixel.max(share.start)..(head.pixel + self.attention.tokens).min(share.end);
            if !pixels.is_empty() {
                // Safety: pixels and channels of the regions by `Graph::check`.
                unsafe { self.head(base, head, pixels, &rows, scratch, kernels) };
            }
        }
    }

    /// Writes `pixels` of a head.
    ///
    /// Safety: as for [`AttentionStep::run`].
    unsafe fn head(
        &self,
        base: *mut u8,
        head: &AttentionHead,
        pixels: Range<usize>,
        rows: &Rows,
        scratch: &mut [i16],
        kernels: &Kernels,
    ) {
        let Attention { tokens, key, value, store, .. } = self.attention;
        let (all_keys, rest) = scratch.split_at_mut(rows.values);
        let (all_values, rest) = rest.split_at_mut(rows.query - rows.values);
        let (query, rest) = rest.split_at_mut(rows.weights - rows.query);
        let (weights, products) = rest.split_at_mut(rows.products - rows.weights);
        // Safety: two numbers of sixteen bits are one of 32; the part begins where one may, and so do these, whose
        // number before them is even.
        let products =
            unsafe { std::slice::from_raw_parts_mut(products.as_mut_ptr().cast::<i32>(), tokens.max(value)) };
        let [queries, keys, values] = self.inputs;
        // the channels of one pixel from `first` on, less `zero`
        let numbers = |region: &TensorSpan, pixel: usize, first: usize, count: usize, zero: u8| {
            let at = region.at(pixel / region.shape.width, pixel % region.shape.width) + first;
            let number = move |byte: u8| i16::from(byte ^ kernels.sign_xor) - i16::from(zero);
            // Safety: a pixel and channels inside the regions, by the caller; nobody writes them now.
            let bytes = unsafe { std::slice::from_raw_parts(base.add(at), count) };
            bytes.iter().map(move |byte| number(*byte))
        };
        let [zero_q, zero_k, zero_v, zero_out] = self.zeros;
        for (token, row) in all_keys[rows.keys..].chunks_exact_mut(rows.channels).enumerate() {
            let from = numbers(&keys, head.pixel + token, head.key, key, zero_k);
            row[..key].iter_mut().zip(from).for_each(|(to, from)| *to = from);
            row[key..].fill(0);
        }
        for token in 0..tokens {
            let from = numbers(&values, head.pixel + token, head.value, value, 0);
            let to = all_values[token..].iter_mut().step_by(rows.pixels);
            to.zip(from).for_each(|(to, from)| *to = from);
        }
        all_values.chunks_exact_mut(rows.pixels).for_each(|row| row[tokens..].fill(0));
        query[key..].fill(0);
        weights[tokens..].fill(0);
        for pixel in pixels {
            let from = numbers(&queries, pixel, head.query, key, zero_q);
            query[..key].iter_mut().zip(from).for_each(|(to, from)| *to = from);
            // Safety: this processor has the kernels, by the caller.
            unsafe { (kernels.dots)(query, all_keys, &mut products[..tokens]) };
            let greatest = products[..tokens].iter().copied().max().unwrap_or(0);
            let mut sum = 0i32;
            for (weight, product) in weights[..tokens].iter_mut().zip(&products[..tokens]) {
                *weight = self.exponential[self.attention.entry(greatest - product)];
                sum += i32::from(*weight);
            }
            // Safety: as above.
            unsafe { (kernels.dots)(weights, all_values, &mut products[..value]) };
            let output = &self.output;
            let at = output.at(pixel / output.shape.width, pixel % output.shape.width) + head.output;
            // Safety: channels of a pixel of this share.
            let to = unsafe { std::slice::from_raw_parts_mut(base.add(at), value) };
            for (to, product) in to.iter_mut().zip(&products[..value]) {
                let mean = *product as f32 / sum as f32 - f32::from(zero_v);
                *to = stored(mean * store, zero_out) ^ kernels.sign_xor;
            }
        }
    }
}

/// As [`super::super::quant::rounded`], in operations that every processor has for vectors.
#[inline(always)]
fn stored(steps: f32, zero: u8) -> u8 {
    // the sum has no place for a fraction: so it is rounded, halves to even
    const WHOLE: f32 = 12_582_912.0; // 1.5 * 2^23
    let whole = steps.clamp(-512.0, 512.0) + WHOLE - WHOLE;
    (whole as i32 + i32::from(zero)).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::quant::rounded;
    use super::*;

    proptest! {
        #[test]
        fn the_fast_way_rounds_alike(
            steps in prop_oneof![-600.0f32..600.0, -1e9f32..1e9, (-1200i32..1200).prop_map(|i| i as f32 / 2.0)], zero: u8,
        ) {
            prop_assert_eq!(stored(steps, zero), rounded(steps, zero));
        }
    }
}
