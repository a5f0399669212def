//! The quantized network: what is computed, with no word about where or in which order of bytes.
//!
//! A [`Graph`] is a list of nodes in the order of their execution. Tensors are one picture each,
//! (height, width, channels) of u8; weights are i8 with one scale a channel, folded into
//! multipliers. Everything else (memory, padding, packing, threads) is decided by
//! [`super::plan`]; what the numbers must be is defined by [`super::reference`].

pub mod attention;
mod check;
mod checked;
mod conv;
mod graph;
mod op;
mod params;
mod signature;
mod tensor;
mod weights;
mod wide;
mod window;

pub use attention::{Attention, AttentionHead};
pub use checked::Checked;
pub use conv::{Conv, PRODUCTS_MAX};
pub use graph::{Graph, NODES_MAX, Node, OUTPUT_VALUES_MAX, Output, Part};
pub use op::{Between, Op, Source, WEIGHT_ONE};
pub use params::{NodeParams, QuantParams};
pub use signature::Signature;
pub use tensor::{BYTES_MAX, SIDE_MAX, Shape, Tensor, TensorId};
pub use weights::{WeightSums, Weights};
pub use wide::Wide;
pub use window::Window;
