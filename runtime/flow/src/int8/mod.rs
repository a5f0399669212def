//! A flow in eight bits, without tract: what a board runs.
//!
//! ```text
//! FlowArtifact ─▶ Recipe ──(band of t, film)──▶ ir::Graph ─▶ Plan ─▶ v
//!        └▶ Dense condition ─▶ film ─┘
//! ```
//!
//! Weights are shared by all t; ranges of activations belong to a band of t. `film` is folded into
//! the multipliers and biases of the convolutions that it follows, so it costs nothing and rounds
//! nothing. The condition network runs in f32, in one order of additions and with `libm`'s
//! functions, so that every machine computes the same film and, whole numbers being exact, the same
//! picture.
//!
//! | file | noun |
//! |---|---|
//! | [`dense`] | the condition network |
//! | [`recipe`] | weights, ranges, and the graph of one step |
//! | [`artifact`] | the file |
//! | [`flow`] | the network that runs |

pub mod artifact;
pub mod dense;
pub mod flow;
pub mod recipe;

#[cfg(test)]
pub(crate) mod tests;

pub use artifact::FlowArtifact;
pub use flow::Int8Flow;
