//! From raw outputs to detections in the picture's own pixels.
//!
//! ```text
//! Frame ─▶ InputTensor ─▶ engine ─▶ head (decode) ─▶ Candidates ─▶ NMS ─▶ Detections
//! ```
//!
//! Decoding stays outside the network: sigmoid, exp and NMS are done here, and only on cells whose
//! score passes the threshold. What a network gives beside boxes (masks, key points, angles) is read for those that NMS
//! leaves.

mod bounds;
mod detection;
mod detector;
mod extras;
mod mask;
pub mod nms;
mod outline;
mod rotated;

pub use crate::head::{CANDIDATES_MAX, Candidate, Candidates, DetectOptions, Labels};
pub use bounds::around;
pub use detection::{DETECTIONS_MAX, Detection, KeyPoint};
pub use detector::{DetectError, Detector, StageTimes};
pub use mask::Mask;
pub use outline::{OUTLINE_CELLS, Outline};
pub use rotated::{RotatedBox, Turned};
