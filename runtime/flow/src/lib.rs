//! The generator: a rectified flow that fills holes in pictures and makes pictures of a class.
//!
//! One velocity network is the only thing that was trained. A sampler walks along its velocity from
//! noise (t = 1) to a picture (t = 0):
//!
//! ```text
//! normal ─▶ eps ─┐            ┌── condition (class, t, mode) ◀─┐
//!                ▼            ▼                                │
//!              x_t ─▶ network ─▶ v ─▶ sampler ─▶ x_t' ... ─▶ x_0 ─▶ picture
//! ```
//!
//! | file | noun |
//! |---|---|
//! | [`normal`] | random numbers that are the same on every machine |
//! | [`manifest`] | what a flow's files do not say about themselves |
//! | [`model`] | a flow from the binary or from a folder |
//! | [`condition`] | the time features, and what makes `film` of them |
//! | [`network`] | the velocity network, as whatever runs it |
//! | [`path`] | the straight line between data and noise, and the maps between predictions |
//! | [`samplers`] | ways to walk it |
//! | [`guidance`] | towards a class |
//! | [`likelihood`] | bits per dimension of a picture |
//! | [`anomaly`] | how unusual a picture of a scene is |
//! | [`crop`] | a part of a frame at a flow's size |
//! | [`generate`] | whole pictures of classes |
//! | [`table`], [`plot`] | distance against steps for every sampler |
//! | [`frechet`] | how far two sets of pictures lie apart, in features |
//! | [`pixel`] | a pixel as the networks know it |
//! | [`field`] | a network as a sampler sees it |
//! | [`int8`] | a flow in eight bits, without tract |
//! | [`filler`] | holes in 64x64 windows |
//!
//! Values are in -1..=1 for pixels 0..=255, pictures (h, w, 3). Nothing here knows of cameras, of
//! detections, or of what is to be hidden.

pub mod anomaly;
pub mod condition;
pub mod crop;
mod executor;
pub mod field;
pub mod filler;
pub mod frechet;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
pub mod generate;
#[cfg(test)]
mod golden;
pub mod guidance;
pub mod int8;
pub mod likelihood;
pub mod manifest;
pub mod model;
pub mod network;
pub mod normal;
pub mod path;
pub mod pixel;
pub mod plot;
#[cfg(feature = "onnx")]
pub mod quantize;
#[cfg(feature = "onnx")]
pub mod real;
pub mod samplers;
pub mod table;

pub use filler::Filler;
pub use manifest::FlowManifest;
pub use model::FlowModel;
pub use network::{Asked, VelocityNetwork};

/// What can be wrong with a flow or with what is asked of it.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The manifest has a mistake.
    #[error("flow {origin}: manifest: {what}")]
    Manifest {
        /// Where the flow came from.
        origin: String,
        /// The field and the cure.
        what: String,
    },
    /// No such flow.
    #[error("flow {word:?}: {what}")]
    Missing {
        /// What the user asked for.
        word: String,
        /// What there is.
        what: String,
    },
    /// A network cannot be read or planned.
    #[error("flow {origin}: {what}")]
    Load {
        /// Where the flow came from.
        origin: String,
        /// The step that failed, and why.
        what: String,
    },
    /// A network failed while running.
    #[error("flow {origin}: running it failed: {what}")]
    Run {
        /// Where the flow came from.
        origin: String,
        /// The engine's words.
        what: String,
    },
    /// No steps, or more than are of use.
    #[error("{steps} steps: give 1 to {most}")]
    Steps {
        /// What was asked.
        steps: usize,
        /// What is possible.
        most: usize,
    },
    /// A buffer has the wrong size.
    #[error("{name} holds {found} values, it should hold {expected}")]
    Size {
        /// Which.
        name: &'static str,
        /// What it holds.
        found: usize,
        /// What it should hold.
        expected: usize,
    },
    /// Nothing of the window is known.
    #[error("the hole covers the whole window, so that there is nothing to go by; cover it with a mosaic")]
    AllHole,
    /// No such class.
    #[error("class {word:?} is not one of this flow's: {known}")]
    Class {
        /// What was asked.
        word: String,
        /// What there is.
        known: String,
    },
    /// The flow cannot do it.
    #[error("flow {origin}: {what}")]
    Unable {
        /// Where the flow came from.
        origin: String,
        /// What it cannot do, and what can.
        what: String,
    },
    /// Threads are not to be had.
    #[error(transparent)]
    Threads(#[from] lapwing_engine::parallel::Broken),
    /// A number that a sampler was given makes no sense.
    #[error("{name} is {value}: {cure}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What may be given.
        cure: &'static str,
    },
}
