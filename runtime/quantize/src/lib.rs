//! A network in float32 becomes a [`Graph`] of eight-bit ones.
//!
//! ```text
//! Samples ─▶ Calibrator ─▶ Observed ─▶ Choices ─▶ Quants ─▶ lower ─▶ Graph
//!                             ▲           ▲                   │
//!                        equalise      search ◀── ErrorMetric ◀─────┘ ─▶ correct ─▶ Report
//! ```
//!
//! [`quantize`] takes the first method for every range and asks nothing further. [`tuned`] measures:
//! every equalisation, range and bias correction is tried on pictures that the [`error_metric`] keeps for
//! itself, and stays only if the outputs come closer to the real ones.
//!
//! | file | noun |
//! |---|---|
//! | [`make`] | from a file to an artifact: where to begin |
//! | [`onnx`] | tract, within bounds |
//! | [`samples`] | pictures at the input's size, bounded |
//! | [`ranges`] | methods: min-max, percentile, MSE, entropy |
//! | [`classes`] | maps that share one quantization |
//! | [`choices`], [`quants`] | which method serves which range, and what follows |
//! | [`lookup`] | functions as tables |
//! | [`build`], [`lowered`] | the graph, and where its nodes came from |
//! | [`error_metric`] | the error at the outputs |
//! | [`equalise`], [`split`], [`joint`], [`correct`] | like channels, groups of them, those that are joined, true means |
//! | [`widen`] | where sixteen bits pay |
//! | [`search`], `subjects` | the order of decisions, and what they are made for |
//! | [`phase`] | where the work stands |
//! | [`sensitivity`], [`report`] | what each layer costs |

#![deny(unsafe_code)]

pub mod build;
pub mod calibrate;
pub mod choices;
pub mod classes;
pub mod correct;
pub mod equalise;
pub mod error_metric;
pub mod float;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
pub mod import;
pub mod int8_region;
pub mod joint;
#[cfg(test)]
mod joint_tests;
pub mod lookup;
pub mod lowered;
pub mod make;
pub mod mixed;
pub mod network;
pub mod onnx;
pub mod own_scales;
pub mod phase;
pub mod quants;
pub mod ranges;
pub mod report;
pub mod samples;
pub mod search;
pub mod sensitivity;
pub mod split;
mod subjects;
#[cfg(test)]
mod tests;
pub mod widen;

pub use float::{FloatEngine, OnnxFile, Outputs};
pub use make::{Made, OnnxNetwork, Settings};
pub use phase::Phase;
pub use report::{LayerReport, Report};
pub use samples::Samples;
pub use search::{Quantized, Request, tuned};

use calibrate::Observed;
use lapwing_engine::ir::Graph;
use lapwing_engine::quant::Quant;
use network::FloatNetwork;

/// Quantizes a calibrated network: ranges of least squared error, rounding taken off the biases.
/// `input` is the quantization of the first map: the pixels'.
///
/// # Errors
/// The node and what is wrong with it.
pub fn quantize(network: &FloatNetwork, observed: &[Observed], input: Quant) -> Result<Graph, String> {
    let classes = classes::Classes::of(network);
    let quants = choices::Choices::new(network, &classes, observed, input)?.quants()?;
    Ok(build::lower(network, &classes, observed, &quants, true)?.graph)
}
