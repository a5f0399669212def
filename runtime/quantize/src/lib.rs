//! A network in real numbers becomes a [`Graph`] of eight-bit ones.
//!
//! ```text
//! Samples ─▶ Calibrator ─▶ Observed ─▶ Choices ─▶ Quants ─▶ lower ─▶ Graph
//!                             ▲           ▲                   │
//!                        equalise      search ◀── Judge ◀─────┘ ─▶ correct ─▶ Report
//! ```
//!
//! [`quantize`] takes the first method for every range and asks nothing further. [`tuned`] measures:
//! every equalisation, range and bias correction is tried on pictures that the [`judge`] keeps for
//! itself, and stays only if the outputs come closer to the real ones.
//!
//! | file | noun |
//! |---|---|
//! | [`samples`] | pictures at the input's size, bounded |
//! | [`ranges`] | methods: min-max, percentile, MSE, entropy |
//! | [`classes`] | maps that share one quantisation |
//! | [`choices`] | which method serves which range |
//! | [`build`] | the graph |
//! | [`judge`] | the error at the outputs |
//! | [`equalise`], [`split`], [`correct`] | like channels, groups of them, true means |
//! | [`widen`] | where sixteen bits pay |
//! | [`search`] | the order of decisions |
//! | [`harm`], [`report`] | what each layer costs |

#![deny(unsafe_code)]

pub mod build;
pub mod calibrate;
pub mod choices;
pub mod classes;
pub mod correct;
pub mod equalise;
pub mod float;
pub mod harm;
pub mod import;
pub mod judge;
pub mod mixed;
pub mod network;
pub mod own_scales;
pub mod ranges;
pub mod region;
pub mod report;
pub mod samples;
pub mod search;
pub mod split;
#[cfg(test)]
mod tests;
pub mod widen;

pub use float::{FloatEngine, OnnxFile, Outputs};
pub use report::Report;
pub use samples::Samples;
pub use search::{Phase, Quantised, Request, tuned};

use calibrate::Observed;
use lapwing_engine::ir::Graph;
use lapwing_engine::quant::Quant;
use network::Network;

/// Quantises a calibrated network: ranges of least squared error, rounding taken off the biases.
/// `input` is the quantisation of the first map: the pixels'.
///
/// # Errors
/// The node and what is wrong with it.
pub fn quantize(network: &Network, observed: &[Observed], input: Quant) -> Result<Graph, String> {
    let classes = classes::Classes::of(network);
    let quants = choices::Choices::new(network, &classes, observed, input)?.quants()?;
    Ok(build::lower(network, &classes, observed, &quants, true)?.graph)
}
