//! Decoders of raw network outputs, one file a family.
//!
//! A head is checked against the network's output shapes when it is made; decoding then cannot
//! meet a shape it does not know. Cells below the threshold are passed over before any exponential
//! is computed.

mod fastestdet;
mod ltrb;
#[cfg(test)]
mod tests;
mod yolox;

use super::Candidates;
use crate::detect::DetectOptions;
use lapwing_engine::ir::Signature;
use lapwing_engine::manifest::{HeadFamily, Manifest};
use lapwing_engine::plan::Plan;

/// A decoder for the outputs of one network.
#[derive(Debug, Clone)]
pub enum Head {
    /// See [`HeadFamily::Ltrb`].
    Ltrb(ltrb::Ltrb),
    /// See [`HeadFamily::Yolox`].
    Yolox(yolox::Yolox),
    /// See [`HeadFamily::FastestDet`].
    FastestDet(fastestdet::FastestDet),
}

impl Head {
    /// A decoder for outputs of `shapes`; the message says what was found and what the manifest's
    /// head expects.
    pub fn new(manifest: &Manifest, shapes: &[Vec<usize>]) -> Result<Head, String> {
        match manifest.head.family {
            HeadFamily::Ltrb => ltrb::Ltrb::new(manifest, shapes).map(Head::Ltrb),
            HeadFamily::Yolox => yolox::Yolox::new(manifest, shapes).map(Head::Yolox),
            HeadFamily::FastestDet => fastestdet::FastestDet::new(manifest, shapes).map(Head::FastestDet),
        }
    }

    /// Adds every candidate above `options.score_min`, in input pixels; `output(i)` is output i of
    /// the network, flat.
    pub fn decode<'a>(
        &self,
        output: impl Fn(usize) -> Option<&'a [f32]>,
        options: &DetectOptions,
        into: &mut Candidates,
    ) {
        match self {
            Head::Ltrb(head) => head.decode(|i| output(i).unwrap_or(&[]), options, into),
            Head::Yolox(head) => head.decode(output(0).unwrap_or(&[]), options, into),
            Head::FastestDet(head) => head.decode(output(0).unwrap_or(&[]), options, into),
        }
    }
}

/// How a head reads the outputs of an eight-bit graph as they lie in memory.
#[derive(Debug)]
pub enum EightBits {
    /// One tensor an output.
    Ltrb,
    /// Rows put together from tensors.
    Yolox(yolox::Parts),
}

impl Head {
    /// How this head can read the outputs of `network`; none if they must become real numbers first.
    pub fn eight_bits(&self, network: &Signature) -> Option<EightBits> {
        match self {
            Head::Ltrb(head) => head.reads(network).then_some(EightBits::Ltrb),
            Head::Yolox(head) => head.reads(network).map(EightBits::Yolox),
            Head::FastestDet(_) => None,
        }
    }

    /// As [`Head::decode`] on the plan's dequantised outputs, and adds the same candidates; the
    /// threshold is applied to bytes.
    pub fn decode_bytes(&self, way: &mut EightBits, plan: &Plan, options: &DetectOptions, into: &mut Candidates) {
        match (self, way) {
            (Head::Ltrb(head), EightBits::Ltrb) => head.decode_bytes(plan, options, into),
            (Head::Yolox(head), EightBits::Yolox(parts)) => head.decode_bytes(parts, plan, options, into),
            _ => {}
        }
    }
}

/// Cells (width, height) of the grid of `stride` for the manifest's input.
fn grid(manifest: &Manifest, stride: u32) -> (usize, usize) {
    ((manifest.input.width / stride) as usize, (manifest.input.height / stride) as usize)
}

fn expect_shapes(found: &[Vec<usize>], expected: &[Vec<usize>], family: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "its outputs have shapes {found:?}, but head family `{family}` with the manifest's strides and classes needs {expected:?}; correct `head.family`, `head.strides` or `classes.names`"
    ))
}

/// Index of the greatest value; 0 for an empty slice.
fn argmax(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

/// The logistic function.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The logit of a probability, for thresholds that are compared before the sigmoid.
fn logit(p: f32) -> f32 {
    if p <= 0.0 {
        f32::NEG_INFINITY
    } else if p >= 1.0 {
        f32::INFINITY
    } else {
        (p / (1.0 - p)).ln()
    }
}
