//! From raw outputs to detections in the picture's own pixels.
//!
//! ```text
//! Frame ─▶ InputTensor ─▶ engine ─▶ head (decode) ─▶ Candidates ─▶ NMS ─▶ Detections
//! ```
//!
//! Decoding stays outside the network: sigmoid, exp and NMS are done here, and only on cells whose
//! score passes the threshold.

mod detection;
mod detector;
pub mod nms;

pub use crate::head::{CANDIDATES_MAX, Candidate, Candidates, DetectOptions, Labels};
pub use detection::{DETECTIONS_MAX, Detection};
pub use detector::{DetectError, Detector, StageTimes};
