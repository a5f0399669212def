//! An int8 inference engine for convolutional networks on CPUs.
//!
//! ```text
//! file ─▶ Artifact ─▶ Plan ─▶ Int8Engine ─▶ outputs: bytes with their quantization, or f32
//!         [ir]        [layout] [kernels]     [tail]
//! ```
//!
//! A graph of eight-bit tensors ([`ir`]) is laid out in one piece of memory (`layout`), packed for the processor's
//! best instruction set ([`kernels`]) and run by a [`plan`]. Every instruction set computes the bytes of [`mod@reference`].
//! The [`artifact`] is the file format: versioned, checksummed, with a golden run.
//!
//! The engine knows tensors. Pictures, boxes and ONNX are other crates' business; the [`manifest`] travels in the
//! artifact for them, and the engine reads the input's size and pixel arithmetic from it.
#![deny(unsafe_code)]

pub mod artifact;
pub mod bytes;
pub mod finite;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
pub mod int16;
pub mod int8;
pub mod ir;
#[allow(unsafe_code)]
pub mod kernels;
mod layout;
pub mod manifest;
pub mod parallel;
pub mod plan;
#[cfg(test)]
mod plan_tests;
mod planner;
pub mod quant;
pub mod reference;
pub mod refit;
pub mod tail;
pub mod user_file;

pub use artifact::Artifact;
pub use int8::Int8Engine;
pub use manifest::Manifest;

/// What can be wrong with a network. Each message names the file or the node.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The network cannot be parsed, typed or planned.
    #[error("model {origin}: {stage} failed: {what}")]
    Load {
        /// The network.
        origin: String,
        /// Which step.
        stage: &'static str,
        /// tract's words; they name the node.
        what: String,
    },
    /// The network's input or outputs are not what the manifest says.
    #[error("model {origin}: {what}")]
    Shape {
        /// The network.
        origin: String,
        /// Found, expected, and which field of the manifest to correct.
        what: String,
    },
    /// A node failed while running.
    #[error("model {origin}: running it failed: {what}")]
    Run {
        /// The network.
        origin: String,
        /// tract's words; they name the node.
        what: String,
    },
}
