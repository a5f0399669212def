//! The configuration file: one TOML file says what to watch, what to do and what to keep.
//!
//! Every mistake is reported with its file, line and column, the offending line, and the cure.
//! [`Config::parse`] checks what can be checked alone; [`Config::bind`] checks it against a model's
//! classes and makes what the pipeline needs.

mod bind;
mod camera;
mod check;
mod error;
mod lines;
mod path;
mod place;
mod read;
mod schema;
mod text;

pub use bind::{Bound, BoundInput, BoundRule};
pub use camera::CameraSection;
pub use error::ConfigError;
pub use lines::{BiasWord, INPUTS_MAX, InputSection, LineWord, OutputSection};
pub use read::BUILTIN;
pub use schema::{
    Active, Config, FillMode, Keep, LogSection, ModelSection, PictureSection, PrivacySection, RuleSection,
    WatchdogSection,
};
