//! From a picture to the network's input tensor.
//!
//! [`Fitting`] is the geometry (where the picture lies in the input, and back), [`InputTensor`] the
//! buffers and the work; a camera's own formats come in by [`fused`], in one pass. Buffers are sized at start and reused for every picture.

mod fitting;
pub mod fused;
mod taps;
mod tensor;

pub use fitting::Fitting;
pub use tensor::InputTensor;

/// The picture could not be brought to the input's size.
#[derive(Debug, thiserror::Error)]
#[error("picture of {width}x{height} pixels cannot be resized for the model: {cause}")]
pub struct InputError {
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// The resizer's words.
    pub cause: String,
}
