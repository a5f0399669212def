//! The main job: frames in; detections, triggers, durable events and redacted pictures out.
//!
//! ```text
//!   capture thread        caller's thread                          recorder thread              a thread a sink
//!   Source ─▶ frames ─▶ Detector ─▶ rules and pins ─▶ outbox ─▶ log (durable) ─▶ redact ─▶ pictures ─▶ print, ...
//!      ▲                                ▲                                           │
//!      │                                └── dead-man thread: deadlines              │
//!      └──────────────────────────── pool of frames ◀───────────────────────────────┘
//! ```
//!
//! * Every queue is bounded and every wait has a deadline.
//! * A live source never waits: the newest frame wins, and what was dropped is counted. A replay is
//!   read at the pace of the detector, and nothing of it is dropped.
//! * The pin changes on the detector's thread, before anything is logged, stored or printed.
//! * Without a frame for `stall_ms` the pin is safe, whatever the other threads do: see [`deadman`].
//! * Frames circulate in bounded memory: after the first ones no picture buffer is made.
//! * When the pipeline ends, for whatever reason, every output takes its safe level first.
//! * A thread that panics ends the run, in order and with a record of it where that is possible.

mod actuate;
mod capture;
pub mod deadman;
mod inputs;
mod liveness;
mod message;
mod outbox;
pub mod pool;
mod record;
mod recycle;
mod report;
mod run;
mod source_state;
mod stamp;
mod tell;
mod watcher;

#[cfg(test)]
mod deadman_tests;
#[cfg(test)]
mod inputs_tests;
#[cfg(test)]
mod liveness_tests;
#[cfg(test)]
mod privacy_tests;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use actuate::{Firing, RuleRunner};
pub use deadman::DeadMan;
pub use message::EVENTS_PER_FRAME_MAX;
pub use record::{Recorder, RecorderError};
pub use report::{Observer, PipelineError, RecordReport, Report, RuleReport, Seen};
pub use run::Pipeline;
