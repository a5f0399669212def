//! An instruction set's constructor asks the processor for everything that its loops enable, and for what the
//! loops that it borrows from another one need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every instruction set by the word that its files' names begin with, and the feature that stands for it.
const SETS: [(&str, &str); 6] = [
    ("avx2", "avx2"),
    ("avxvnni", "avxvnni"),
    ("avx512", "avx512f"),
    ("neon", "neon"),
    ("dotprod", "dotprod"),
    ("i8mm", "i8mm"),
];

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("feature_tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// What stands in quotes behind each `before`.
fn quoted<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|behind| behind.split('"').next()).flat_map(|all| all.split(',')).collect()
}

#[test]
#[cfg_attr(miri, ignore = "it reads the sources")]
fn what_is_enabled_is_asked_for() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut sets = 0;
    for (path, text) in &files {
        let asked = quoted(text, "_feature_detected!(\"");
        if asked.is_empty() {
            continue;
        }
        sets += 1;
        let enabled = quoted(text, "enable = \"").into_iter().map(|feature| (feature, "enabled"));
        let imports = text.lines().filter(|line| line.trim_start().starts_with("use super"));
        let words: BTreeSet<&str> = imports.flat_map(|line| line.split([':', ' ', '{', '}', ',', ';'])).collect();
        let borrowed = SETS.iter().filter(|(set, _)| words.iter().any(|word| word.starts_with(set)));
        for (feature, how) in enabled.chain(borrowed.map(|(_, feature)| (*feature, "borrowed from"))) {
            assert!(asked.contains(feature), "{}: {feature} is {how} and not asked for", path.display());
        }
    }
    assert!(sets >= 5, "the sources were not found");
}
