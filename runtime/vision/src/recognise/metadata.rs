//! What an exporter wrote into a file beside the network.

use std::collections::BTreeMap;

/// Most names and the longest one that are taken from a file.
const NAMES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 200;

/// The parts of it that lapwing understands (those of Ultralytics).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metadata {
    /// Who wrote it.
    pub exporter: Option<String>,
    /// Class names in the order of the network.
    pub names: Option<Vec<String>>,
    /// Height, width in pixels.
    pub size: Option<(usize, usize)>,
    /// `detect`, `segment`, `pose`, `obb`, `classify`.
    pub task: Option<String>,
    /// The exporter's own name of the head.
    pub head: Option<String>,
    /// The network gives one box for each object.
    pub end_to_end: Option<bool>,
    /// Key points of an object, and values of each.
    pub key_points: Option<(usize, usize)>,
    /// What it is.
    pub source: Option<String>,
    /// Its licence.
    pub licence: Option<String>,
}

impl Metadata {
    /// Of a file's keys and values.
    pub(super) fn of(entries: &BTreeMap<&str, &str>) -> Metadata {
        let text = |key: &str| entries.get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let head = text("head");
        let end_to_end = match (text("end2end").as_deref(), head.as_deref()) {
            (Some(value), _) => Some(value.eq_ignore_ascii_case("true")),
            (None, Some("v10Detect")) => Some(true),
            _ => None,
        };
        let version = text("version").map(|version| format!(" {version}")).unwrap_or_default();
        Metadata {
            exporter: text("author"),
            names: entries.get("names").and_then(|text| names(text)),
            size: entries.get("imgsz").and_then(|text| size(text)),
            task: text("task"),
            head,
            end_to_end,
            // written as a size is: [17, 3]
            key_points: entries.get("kpt_shape").and_then(|text| size(text)),
            source: text("description").map(|what| format!("{what} ({}{version})", text("author").unwrap_or_default())),
            licence: text("license"),
        }
    }
}

/// `[480, 640]` or `640`: height, width.
fn size(text: &str) -> Option<(usize, usize)> {
    let numbers: Option<Vec<usize>> =
        text.trim_matches(|c| "[]() ".contains(c)).split(',').map(|word| word.trim().parse().ok()).collect();
    match numbers?[..] {
        [side] => Some((side, side)),
        [height, width] => Some((height, width)),
        _ => None,
    }
}

/// Python's or JSON's writing of `{0: 'person', 1: "fireman's axe"}` or `['person', …]`. `None` if it is anything else,
/// if a number is missing, or if it is too long.
fn names(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let is_list = text.starts_with('[');
    let inside = text.strip_prefix(['{', '['])?.strip_suffix(['}', ']'])?;
    let mut rest = inside.trim();
    let mut names = BTreeMap::new();
    while !rest.is_empty() {
        if names.len() == NAMES_MAX {
            return None;
        }
        let number = if is_list {
            names.len()
        } else {
            let (key, after) = rest.split_once(':')?;
            rest = after.trim_start();
            key.trim().trim_matches(['"', '\'']).parse().ok()?
        };
        let (name, after) = quoted(rest)?;
        if name.len() > NAME_BYTES_MAX || names.insert(number, name).is_some() {
            return None;
        }
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    let whole = !names.is_empty() && names.keys().copied().eq(0..names.len());
    whole.then(|| names.into_values().collect())
}

/// A text in quotes of either kind, with its escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut made = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => made.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            letter if letter == quote => return Some((made, &text[at + letter.len_utf8()..])),
            letter => made.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_exporters_write_them() {
        let of = |text: &str| names(text).map(|names| names.join("|"));
        assert_eq!(of("{0: 'person', 1: \"fireman's axe\", 2: 'a, b: c'}").unwrap(), "person|fireman's axe|a, b: c");
        assert_eq!(of("{\"1\": \"b\", \"0\": \"a\"}").unwrap(), "a|b");
        assert_eq!(of("['x', 'y\\'s',]").unwrap(), "x|y's");
        for wrong in
            ["", "{}", "{0: 'a', 2: 'b'}", "{0: 'a' 1: 'b'}", "{0: 'a}", "{0: a}", "person", "{0: 'a', 0: 'b'}"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_height_and_width() {
        assert_eq!(size("[480, 640]"), Some((480, 640)));
        assert_eq!(size("640"), Some((640, 640)));
        assert_eq!(size("[1, 2, 3]"), None);
        assert_eq!(size("[-1, 2]"), None);
    }

    proptest! {
        #[test]
        fn any_names_come_back(list in prop::collection::vec("[a-z'\" ,:{}\\\\]{0,12}", 1..20)) {
            let escape = |name: &String| name.replace('\\', "\\\\").replace('\'', "\\'");
            let text: Vec<String> = list.iter().enumerate().map(|(i, name)| format!("{i}: '{}'", escape(name))).collect();
            prop_assert_eq!(names(&format!("{{{}}}", text.join(", "))), Some(list));
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,60}") {
            names(&text);
            size(&text);
        }
    }
}
