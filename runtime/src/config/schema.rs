//! The keys of the configuration file, their types and defaults.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::camera::CameraSection;
use super::error::ConfigError;
use super::lines::{InputSection, OutputSection};
use super::path;
use super::place::unplaced;
use crate::privacy::Level;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where frames come from.
    #[serde(default = "source", deserialize_with = "path::written_out")]
    pub source: String,
    /// Where the log and the pictures go.
    #[serde(default = "data", deserialize_with = "path::written_out")]
    pub data: PathBuf,
    /// What is asked of a camera.
    #[serde(default)]
    pub camera: CameraSection,
    /// The detector.
    #[serde(default)]
    pub model: ModelSection,
    /// The record.
    #[serde(default)]
    pub log: LogSection,
    /// The pictures that are kept.
    #[serde(default)]
    pub pictures: PictureSection,
    /// What is hidden.
    #[serde(default)]
    pub privacy: PrivacySection,
    /// The lines that rules drive.
    #[serde(default, rename = "output")]
    pub outputs: Vec<OutputSection>,
    /// The lines that rules hear.
    #[serde(default, rename = "input")]
    pub inputs: Vec<InputSection>,
    /// What bites unless frames are looked at.
    #[serde(default)]
    pub watchdog: WatchdogSection,
    /// What to watch for.
    #[serde(default, rename = "rule")]
    pub rules: Vec<RuleSection>,
    #[serde(skip)]
    pub(super) file: String,
    #[serde(skip)]
    pub(super) text: String,
}

/// `[model]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// A built-in name, a network or a manifest.
    #[serde(deserialize_with = "path::written_out")]
    pub path: String,
    /// Overrides the manifest's `score_min`.
    pub score_min: Option<Spanned<f32>>,
    /// Overrides the manifest's `nms_iou`.
    pub nms_iou: Option<Spanned<f32>>,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Size of one segment file, in KiB.
    pub segment_kib: Spanned<u32>,
    /// Size of the whole log, in KiB.
    pub total_kib: Spanned<u32>,
}

/// `[pictures]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PictureSection {
    /// Which pictures are kept.
    pub keep: Keep,
    /// Most pictures kept; the oldest goes first.
    pub count_max: Spanned<u32>,
    /// 1..=100.
    pub jpeg_quality: Spanned<u8>,
}

/// `[watchdog]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogSection {
    /// The hardware watchdog, such as `/dev/watchdog`; none: systemd's alone, where it asks for it.
    #[serde(deserialize_with = "path::maybe_written_out")]
    pub device: Option<PathBuf>,
}

/// Which pictures are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Frames in which a rule fired.
    Events,
    /// Every frame that was looked at.
    All,
    /// None.
    None,
}

/// `[privacy]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacySection {
    /// Classes that are covered before a picture is stored.
    pub hide: Vec<Spanned<String>>,
    /// Lowest score that hides.
    pub hide_score_min: Spanned<f32>,
    /// How they are covered.
    pub fill: FillMode,
    /// With a live source and `auto`: the time that hiding in one picture may take, in milliseconds.
    pub budget_ms: Spanned<u32>,
    /// What the detector misses stays covered this long, in milliseconds.
    pub persist_ms: Spanned<u32>,
}

/// How hidden classes are covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FillMode {
    /// As well as there is time for: filled, a mosaic, black, or the picture is not kept.
    Auto,
    /// Painted from the surroundings, however long it takes.
    Fill,
    /// By a mosaic of 5x5 averages.
    Mosaic,
    /// By black.
    Black,
}

impl FillMode {
    /// The best level of redaction that is wanted.
    pub fn level(self) -> Level {
        match self {
            FillMode::Auto | FillMode::Fill => Level::Fill,
            FillMode::Mosaic => Level::Mosaic,
            FillMode::Black => Level::Black,
        }
    }
}

/// `[[rule]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSection {
    /// Shown to people and stored by index.
    pub name: Spanned<String>,
    /// Class names that the rule watches.
    pub classes: Spanned<Vec<Spanned<String>>>,
    /// Lowest score that matches.
    #[serde(default = "rule_score_min")]
    pub score_min: Spanned<f32>,
    /// Corners of the zone in fractions of the frame; none: everywhere.
    #[serde(default)]
    pub zone: Option<Spanned<Vec<[f32; 2]>>>,
    /// Objects that must match.
    #[serde(default = "one")]
    pub count_min: Spanned<u16>,
    /// Consecutive frames in which they must.
    #[serde(default = "one")]
    pub confirm_frames: Spanned<u16>,
    /// The output stays on this long after the last match, in milliseconds.
    #[serde(default = "hold_ms")]
    pub hold_ms: Spanned<u32>,
    /// And then stays off at least this long, in milliseconds.
    #[serde(default = "zero")]
    pub cooldown_ms: Spanned<u32>,
    /// 0: on while active; else on for this long, in milliseconds.
    #[serde(default = "zero")]
    pub pulse_ms: Spanned<u32>,
    /// Without a frame for this long the output takes its safe level, in milliseconds.
    #[serde(default = "stall_ms")]
    pub stall_ms: Spanned<u32>,
    /// The name of an `[[output]]`, or `simulated`.
    #[serde(default = "pin")]
    pub pin: Spanned<String>,
    /// Which level of a simulated pin is on.
    #[serde(default)]
    pub active: Option<Spanned<Active>>,
    /// The `[[input]]` that arms the rule while it is active; none: always armed.
    #[serde(default)]
    pub armed_by: Option<Spanned<String>>,
    /// The `[[input]]` that fires the armed rule when it becomes active.
    #[serde(default)]
    pub fired_by: Option<Spanned<String>>,
}

/// Which level of a line means on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Active {
    /// High is on.
    High,
    /// Low is on.
    Low,
}

fn source() -> String {
    "auto".into()
}
fn data() -> PathBuf {
    "lapwing-data".into()
}
fn rule_score_min() -> Spanned<f32> {
    unplaced(0.4)
}
fn one() -> Spanned<u16> {
    unplaced(1)
}
fn zero() -> Spanned<u32> {
    unplaced(0)
}
fn hold_ms() -> Spanned<u32> {
    unplaced(800)
}
fn stall_ms() -> Spanned<u32> {
    unplaced(2000)
}
fn pin() -> Spanned<String> {
    unplaced("simulated".into())
}

impl Default for ModelSection {
    fn default() -> Self {
        ModelSection { path: lapwing_models::DETECT_NANO.name.into(), score_min: None, nms_iou: None }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        LogSection { segment_kib: unplaced(256), total_kib: unplaced(16_384) }
    }
}

impl Default for PictureSection {
    fn default() -> Self {
        PictureSection { keep: Keep::Events, count_max: unplaced(500), jpeg_quality: unplaced(88) }
    }
}

impl Default for PrivacySection {
    fn default() -> Self {
        PrivacySection {
            hide: vec![unplaced("person".into())],
            hide_score_min: unplaced(0.12),
            fill: FillMode::Auto,
            budget_ms: unplaced(400),
            persist_ms: unplaced(800),
        }
    }
}

impl Config {
    /// A mistake at a value of the file.
    pub(super) fn error<T>(&self, at: &Spanned<T>, what: impl Into<String>, cure: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.file, &self.text, at.span(), what.into(), cure.into())
    }
}
