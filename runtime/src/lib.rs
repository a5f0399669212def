//! lapwing turns a board with a camera into a sentinel: it sees, acts, hides and remembers.
//!
//! The way of a frame, one module a station; a module knows those before it and none after it:
//!
//! ```text
//! camera ─▶ frame ─▶ input ─▶ engine ─▶ detect ─▶ rules ─▶ pins ─▶ log (lapwing-firmware)
//!                                          └─▶ track ─▶ privacy (Redacted<Frame>) ─▶ sinks
//! ```
//!
//! [`pipeline`] runs them as the main job. `lapwing-vision` measures a detector on annotated pictures.
//!
//! # Example
//!
//! ```no_run
//! use lapwing_camera::frame::{Frame, picture};
//! use lapwing_vision::Model;
//! use lapwing_vision::detect::{DetectOptions, Detector};
//!
//! let model = Model::builtin()?;
//! let mut detector = Detector::load(&model)?;
//! let mut frame = Frame::new();
//! picture::decode(&std::fs::read("cat.jpg")?, "cat.jpg", &mut frame)?;
//! for found in detector.detect(&frame, &DetectOptions::of(model.manifest()))? {
//!     println!("{:?} {:.2}", found.bounds, found.score);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz_targets;
pub mod latency;
pub mod name_table;
pub mod panic_record;
pub mod pins;
pub mod pipeline;
pub mod privacy;
pub mod queue;
pub mod rules;
pub mod sinks;
