//! A mistake in a configuration, with its place and its cure.

use std::fmt;
use std::ops::Range;

use lapwing_camera::frame::printable::Printable;

/// A mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or `built-in configuration`.
    pub file: String,
    /// Line, from 1; 0 if the mistake has no place.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The text of that line.
    pub text: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
}

impl ConfigError {
    /// A mistake at the bytes `span` of `source`, the text of `file`.
    pub(super) fn at(file: &str, source: &str, span: Range<usize>, what: String, cure: String) -> ConfigError {
        let before = source.get(..span.start).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ConfigError {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: source[line_start..].lines().next().unwrap_or("").to_owned(),
            what,
            cure,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, cure) = (&self.what, &self.cure);
        if self.line == 0 {
            return write!(f, "{}: {what}; {cure}", Printable(&self.file));
        }
        let (line, column) = (self.line, self.column);
        write!(
            f,
            "{}:{line}:{column}: {what}\n  {line} | {}\n  cure: {cure}",
            Printable(&self.file),
            self.text.trim_end()
        )
    }
}

impl std::error::Error for ConfigError {}

/// The candidate closest to `word`, if it is close enough to be meant.
pub(super) fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|c| (edit_distance(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= 1 + c.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Levenshtein's distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_line_and_column() {
        let e = ConfigError::at("f.toml", "a = 1\nbb = 2\n", 11..12, "bad".into(), "mend".into());
        assert_eq!((e.line, e.column, e.text.as_str()), (2, 6, "bb = 2"));
        assert_eq!(e.to_string(), "f.toml:2:6: bad\n  2 | bb = 2\n  cure: mend");
    }

    #[test]
    fn near_words_are_suggested() {
        let words = ["person", "dog", "pottedplant"];
        assert_eq!(closest("persn", words.into_iter()), Some("person"));
        assert_eq!(closest("Potted-plant", words.into_iter()), Some("pottedplant"));
        assert_eq!(closest("submarine", words.into_iter()), None);
    }
}
