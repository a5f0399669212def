//! The keys of the configuration file, their types, defaults and limits.

use std::path::{Path, PathBuf};

use lapwing_firmware::limits::SEGMENTS_MAX;
use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::camera::CameraSection;
use super::lines::{InputSection, OutputSection};
use super::path;
use super::text::{self, NoText};
use crate::privacy::Level;
use crate::rules::RULES_MAX;

/// Longest time of redaction that may be configured, in milliseconds.
const TIME_MS_MAX: u32 = 60_000;

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

/// A default has no place in a file.
pub(super) fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
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
            hide_score_min: unplaced(0.15),
            fill: FillMode::Auto,
            budget_ms: unplaced(400),
            persist_ms: unplaced(800),
        }
    }
}

impl Config {
    /// The built-in configuration.
    pub fn builtin() -> Result<Config, ConfigError> {
        Config::parse(super::BUILTIN, "built-in configuration")
    }

    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let file = path.display().to_string();
        match text::read(path) {
            Ok(text) => Config::parse(&text, &file),
            Err(NoText { what, cure, line, column, text }) => Err(ConfigError { file, line, column, text, what, cure }),
        }
    }

    /// Parses and checks `text`, the content of `file`.
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config: Config = toml::from_str(text).map_err(|e| {
            let (what, cure) = split_cure(e.message(), text, e.span());
            ConfigError::at(file, text, e.span().unwrap_or(0..0), what, cure)
        })?;
        config.file = file.to_owned();
        config.text = text.to_owned();
        config.check()?;
        Ok(config)
    }

    pub(super) fn error<T>(&self, at: &Spanned<T>, what: impl Into<String>, cure: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.file, &self.text, at.span(), what.into(), cure.into())
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (value, key) in [(&self.model.score_min, "model.score_min"), (&self.model.nms_iou, "model.nms_iou")] {
            if let Some(value) = value {
                self.check_fraction(value, key)?;
            }
        }
        self.check_fraction(&self.privacy.hide_score_min, "privacy.hide_score_min")?;
        let (budget, persist) = (&self.privacy.budget_ms, &self.privacy.persist_ms);
        if !(1..=TIME_MS_MAX).contains(budget.get_ref()) {
            let what = format!("budget_ms is {}", budget.get_ref());
            return Err(self.error(budget, what, "give 1 to 60000; 400 is good, or fill = \"fill\" for no limit"));
        }
        if *persist.get_ref() > TIME_MS_MAX {
            let what = format!("persist_ms is {}", persist.get_ref());
            return Err(self.error(persist, what, "give 0 to 60000; 800 is good"));
        }
        let quality = &self.pictures.jpeg_quality;
        if !(1..=100).contains(quality.get_ref()) {
            return Err(self.error(
                quality,
                format!("jpeg_quality is {}", quality.get_ref()),
                "give 1 to 100; 88 is good",
            ));
        }
        if *self.pictures.count_max.get_ref() == 0 {
            return Err(self.error(&self.pictures.count_max, "count_max is 0", "give at least 1, or keep = \"none\""));
        }
        self.check_log()?;
        self.camera.check(self)?;
        if let Some(extra) = self.rules.get(RULES_MAX) {
            return Err(self.error(&extra.name, format!("more than {RULES_MAX} rules"), "merge some"));
        }
        self.rules.iter().enumerate().try_for_each(|(index, rule)| self.check_rule(index, rule))?;
        self.check_lines()
    }

    fn check_log(&self) -> Result<(), ConfigError> {
        let (segment, total) = (&self.log.segment_kib, &self.log.total_kib);
        if !(16..=65_536).contains(segment.get_ref()) {
            return Err(self.error(segment, format!("segment_kib is {}", segment.get_ref()), "give 16 to 65536"));
        }
        let fewest = segment.get_ref().saturating_mul(2);
        let most = segment.get_ref().saturating_mul(SEGMENTS_MAX).min(1 << 21);
        if !(fewest..=most).contains(total.get_ref()) {
            return Err(self.error(
                total,
                format!("total_kib is {}", total.get_ref()),
                format!("give {fewest} to {most}: two to {SEGMENTS_MAX} segments of segment_kib"),
            ));
        }
        Ok(())
    }

    fn check_rule(&self, index: usize, rule: &RuleSection) -> Result<(), ConfigError> {
        if self.rules[..index].iter().any(|r| r.name.get_ref() == rule.name.get_ref()) {
            return Err(self.error(
                &rule.name,
                format!("a second rule named {:?}", rule.name.get_ref()),
                "give it another name",
            ));
        }
        if rule.classes.get_ref().is_empty() {
            return Err(self.error(
                &rule.classes,
                "a rule that watches no class never fires",
                "name at least one class",
            ));
        }
        self.check_fraction(&rule.score_min, "score_min")?;
        for (value, key) in [(&rule.count_min, "count_min"), (&rule.confirm_frames, "confirm_frames")] {
            if !(1..=1000).contains(value.get_ref()) {
                return Err(self.error(value, format!("{key} is {}", value.get_ref()), "give 1 to 1000"));
            }
        }
        if *rule.stall_ms.get_ref() == 0 {
            return Err(self.error(
                &rule.stall_ms,
                "stall_ms is 0",
                "give the longest time without a frame that is safe, such as 2000",
            ));
        }
        let pulse = *rule.pulse_ms.get_ref();
        if pulse != 0 && !(1..=3_600_000).contains(&pulse) {
            return Err(self.error(&rule.pulse_ms, format!("pulse_ms is {pulse}"), "give at most 3600000 (an hour)"));
        }
        Ok(())
    }

    fn check_fraction(&self, value: &Spanned<f32>, key: &str) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(value.get_ref()) {
            return Ok(());
        }
        Err(self.error(value, format!("{key} is {}", value.get_ref()), "give a fraction, 0.0 to 1.0"))
    }
}

/// Splits the parser's message into what and cure, with the nearest key where one was misspelt.
fn split_cure(message: &str, text: &str, span: Option<std::ops::Range<usize>>) -> (String, String) {
    let message = message.trim().replace('\n', ", ");
    let Some((what, expected)) = message.split_once(", expected ") else {
        let cure = if message.starts_with("missing field") {
            "add it; `lapwing check --print` shows every key"
        } else {
            "correct the line"
        };
        return (message, cure.to_owned());
    };
    let written = span.and_then(|s| text.get(s)).unwrap_or("");
    let keys = expected.split('`').skip(1).step_by(2);
    match super::error::closest(written, keys) {
        Some(key) if what.starts_with("unknown") => (what.to_owned(), format!("did you mean `{key}`?")),
        _ => (what.to_owned(), format!("expected {expected}")),
    }
}
