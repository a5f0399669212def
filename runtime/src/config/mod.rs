//! The configuration file: one TOML file says what to watch, what to do and what to keep.
//!
//! Every mistake is reported with its file, line and column, the offending line, and the cure.
//! [`Config::parse`] checks what can be checked alone; [`Config::bind`] checks it against a model's
//! classes and makes what the pipeline needs.

mod bind;
mod camera;
mod error;
mod schema;

pub use bind::{Bound, BoundRule};
pub use camera::CameraSection;
pub use error::ConfigError;
pub use schema::{
    Active, Config, FillMode, Keep, LogSection, ModelSection, PictureSection, PrivacySection, RuleSection,
};

/// The built-in configuration, which is also the documentation of every key.
pub const BUILTIN: &str = include_str!("builtin.toml");
