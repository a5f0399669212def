//! From a file to a [`Config`] that is checked, or to the place of the first mistake.

use std::path::Path;

use super::error::{ConfigError, closest};
use super::schema::Config;
use super::text::{self, NoText};

/// The built-in configuration, which is also the documentation of every key.
pub const BUILTIN: &str = include_str!("builtin.toml");

impl Config {
    /// The built-in configuration.
    pub fn builtin() -> Result<Config, ConfigError> {
        Config::parse(BUILTIN, "built-in configuration")
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
    match closest(written, keys) {
        Some(key) if what.starts_with("unknown") => (what.to_owned(), format!("did you mean `{key}`?")),
        _ => (what.to_owned(), format!("expected {expected}")),
    }
}
