//! From a picture to the network's input tensor.
//!
//! [`Fitting`] is the geometry (where the picture lies in the input, and back), [`InputTensor`] the tensor; pictures of
//! every format come into it by [`fused`], in one pass. Buffers are sized with the first picture of a kind and reused.
//!
//! | file | noun |
//! |---|---|
//! | `taps` | the weights of a resized row or column |

mod fitting;
pub mod fused;
mod taps;
mod tensor;

pub use fitting::Fitting;
#[cfg(feature = "onnx")]
pub(crate) use fitting::clip;
pub use tensor::InputTensor;

/// The picture could not be brought to the input's size.
#[derive(Debug, thiserror::Error)]
#[error("picture of {width}x{height} pixels cannot be resized for the model: it has no pixels, or too many")]
pub struct InputError {
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
}
