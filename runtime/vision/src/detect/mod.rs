//! From raw outputs to detections in the picture's own pixels.
//!
//! ```text
//! Frame ─▶ InputTensor ─▶ engine ─▶ head (decode) ─▶ Candidates ─▶ NMS ─▶ Detections
//! ```
//!
//! Decoding stays outside the network: sigmoid, exp and NMS are done here, and only on cells whose
//! score passes the threshold.

mod candidates;
mod detection;
mod detector;
pub mod head;
pub mod nms;
mod options;

pub use candidates::{CANDIDATES_MAX, Candidate, Candidates};
pub use detection::{DETECTIONS_MAX, Detection};
pub use detector::{DetectError, Detector, StageTimes};
pub use options::{DetectOptions, Labels};
