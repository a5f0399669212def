//! From a frame to detections in the picture's own pixels.
//!
//! ```text
//! Model ─▶ Detector: Frame ─▶ input ─▶ engine ─▶ head (decode) ─▶ NMS ─▶ Detections ─▶ track
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `recognise` | what an ONNX file is that comes without a manifest (feature `onnx`) |
//! | [`model`] | a manifest and its network, by the word a user gives |
//! | [`input`] | fitting a frame to the input tensor |
//! | [`head`] | decoders of outputs, one file a family; candidates |
//! | [`detect`] | NMS, the detector |
//! | [`track`] | detections of one object over time |
//! | [`eval`] | average precision on annotated pictures |
#![deny(unsafe_code)]

pub mod detect;
pub mod eval;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
pub mod head;
pub mod input;
pub mod model;
#[cfg(feature = "onnx")]
pub mod recognise;
pub mod track;

pub use model::{Model, ModelError};
