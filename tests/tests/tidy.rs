//! The house's style, held by a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

fn sources(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "lapwing-data" | "__pycache__") && !name.starts_with('.') {
                sources(&path, endings, found);
            }
        } else if endings.iter().any(|e| name.ends_with(e)) {
            found.push(path);
        }
    }
}

fn all(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["firmware", "models", "runtime", "tests"] {
        sources(&lapwing_tests::root().join(folder), endings, &mut found);
    }
    found.into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect()
}

#[test]
fn the_top_level_holds_what_the_plan_names() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "rust-toolchain.toml",
        "firmware",
        "models",
        "runtime",
        "tests",
    ];
    let tracked = std::process::Command::new("git").args(["ls-files"]).current_dir(lapwing_tests::root()).output();
    let Ok(tracked) = tracked else {
        eprintln!("SKIPPED: git is not here");
        return;
    };
    for path in String::from_utf8_lossy(&tracked.stdout).lines() {
        let top = path.split('/').next().unwrap();
        assert!(top.starts_with('.') || allowed.contains(&top), "{path}");
    }
}

#[test]
fn every_rust_file_says_what_it_is_and_holds_one_noun() {
    let files = all(&[".rs"]);
    assert!(files.len() > 30);
    for (path, text) in files {
        assert!(text.starts_with("//!"), "{}: no `//!` header", path.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines", path.display());
        assert!(!text.contains(concat!("FIX", "ME")) && !text.contains(concat!("TO", "DO:")), "{}", path.display());
    }
}

#[test]
fn no_file_names_a_machine() {
    for (path, text) in all(&[".rs", ".py", ".toml", ".md"]) {
        for word in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
            assert!(!text.contains(word), "{}: holds {word}", path.display());
        }
    }
}

#[test]
fn no_dataset_is_called_by_a_benchmark_s_name() {
    for (path, text) in all(&[".rs", ".py", ".toml", ".md"]) {
        for line in text.lines() {
            let lower = line.to_lowercase();
            let named = lower.contains(concat!("voc2007 ", "map")) || lower.contains(concat!("voc2007 ", "test map"));
            assert!(!named || lower.contains("never"), "{}: {line}", path.display());
        }
    }
}

/// `array::from_fn` and `array::map` are functions without the processor's features: what they call with
/// them cannot be inlined, and vectors go through memory. Only optimisation over the whole program hides it.
#[test]
fn no_vector_goes_through_a_function_without_its_features() {
    let folder = lapwing_tests::root().join("runtime/engine/src/kernels");
    let mut files = Vec::new();
    sources(&folder, &[".rs"], &mut files);
    let mut seen = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("use std::arch::") {
            continue;
        }
        seen += 1;
        for (index, line) in text.lines().enumerate() {
            // `Option::map`, which `as_deref` gives, is inlined: it takes and gives no vector by value
            let held = line.contains("from_fn(") || line.contains(".map(") && !line.contains(".as_deref().map(");
            assert!(!held, "{}:{}: write the array out: {line}", path.display(), index + 1);
        }
    }
    assert!(seen >= 9, "only {seen} kernel files were found");
}
