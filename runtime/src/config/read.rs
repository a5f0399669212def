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
        _ => (in_words(what), wanted(expected)),
    }
}

/// What stands there, in the words of who writes such a file.
fn in_words(what: &str) -> String {
    let Some(found) = what.strip_prefix("invalid type: ") else { return what.to_owned() };
    let found = match found {
        "map" => "a section".to_owned(),
        "sequence" => "a list".to_owned(),
        _ => match found.split_once(' ') {
            Some(("string", text)) => format!("the text {text}"),
            _ => found.split('`').nth(1).unwrap_or(found).to_owned(),
        },
    };
    format!("{found} does not fit here")
}

/// What to write in its place.
fn wanted(expected: &str) -> String {
    match expected {
        "a string" => "write a text in quotes, such as \"yard\"",
        "a boolean" => "write true or false, without quotes",
        "a sequence" => "write a list, such as [\"person\", \"dog\"]",
        "f32" | "f64" => "write a number without quotes, such as 0.5",
        _ if expected.starts_with(['u', 'i']) && !expected.contains(' ') => {
            "write a whole number without quotes, such as 10"
        }
        _ if expected == "a map" || expected.starts_with("struct ") => {
            "it is a section: a line of its own such as [model], and its keys below it"
        }
        _ => return format!("expected {expected}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_without_the_parser_s_words() {
        for (text, what, cure) in [
            ("[source]\npath = \"x\"", "a section does not fit here", "a text in quotes"),
            ("[model]\nscore_min = \"high\"", "the text \"high\" does not fit here", "a number without quotes"),
            ("[[rule]]\nname = \"x\"\nclasses = \"person\"", "the text \"person\" does not fit here", "a list"),
            ("[[rule]]\nname = 5", "5 does not fit here", "a text in quotes"),
            ("[log]\ntotal_kib = \"two\"", "the text \"two\" does not fit here", "a whole number"),
            ("model = 3", "3 does not fit here", "it is a section"),
            ("[privacy]\nhide = true", "true does not fit here", "a list"),
            ("[log]\ntotal_kib = [5]", "a list does not fit here", "a whole number"),
        ] {
            let error = Config::parse(text, "f.toml").unwrap_err();
            assert!(error.what == what && error.cure.contains(cure), "{text}: {error}");
        }
    }
}
