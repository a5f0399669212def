//! The house's style, held by a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use lapwing_tests::{circles, imports, root};

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

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The folders of the workspace's crates.
fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).filter(|word| !word.is_empty()).collect()
}

fn all(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["firmware", "models", "runtime", "tests"] {
        sources(&root().join(folder), endings, &mut found);
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
    let tracked = std::process::Command::new("git").args(["ls-files"]).current_dir(root()).output();
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

/// A test that is not named is not run.
#[test]
fn every_file_of_tests_is_run() {
    let mut files = Vec::new();
    sources(&root().join("tests/tests"), &[".rs"], &mut files);
    let (main, manifest) = (read("tests/tests/main.rs"), read("runtime/Cargo.toml"));
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let named = main.lines().any(|line| line == format!("mod {name};"));
        assert!(named || manifest.contains(&format!("path = \"../tests/tests/{name}.rs\"")), "{}", path.display());
    }
}

/// What computes is built to be fast, in every profile, and procedural macros are not: an entry for `"*"` would take
/// hold of them and of build scripts, which then take longest of all.
#[test]
fn the_profiles_keep_fast_what_computes() {
    let manifest = read("Cargo.toml");
    let entries = manifest.split("\n[profile.").skip(1).filter(|entry| entry.contains("\nopt-level = "));
    let slower: Vec<&str> = entries.filter_map(|entry| entry.split(']').next()).collect();
    assert!(slower.contains(&"release.package.clap_builder"), "{slower:?}");
    let computing =
        imports::CRATES.iter().filter(|name| **name != "lapwing_runtime").map(|name| name.replace('_', "-"));
    let others = ["tract-linalg", "zune-jpeg", "fast_image_resize", "png", "sha2", "crc"].map(String::from);
    for name in computing.chain(others).chain(["\"*\"".to_owned()]) {
        assert!(!slower.iter().any(|entry| entry.ends_with(&format!(".package.{name}"))), "{name}");
    }
}

/// Two commands test lapwing, the README has both, and the whole one is what runs with every change that is shown.
#[test]
fn the_readme_has_the_test_commands() {
    let readme = read("README.md");
    for command in ["cargo xtask test ", "cargo xtask test --full"] {
        assert!(readme.contains(command), "{command}");
    }
    let last = read(".ci/run").lines().last().unwrap().to_owned();
    assert_eq!(last, "exec cargo xtask test --full");
}

/// `array::from_fn` and `array::map` are functions without the processor's features: what they call with
/// them cannot be inlined, and vectors go through memory. Only optimisation over the whole program hides it.
#[test]
fn no_vector_goes_through_a_function_without_its_features() {
    let folder = root().join("runtime/engine/src/kernels");
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

/// No part of a folder needs a part that needs it: neither files nor subfolders, nor a folder's own file (`/mod`).
#[test]
fn no_import_goes_in_a_circle() {
    let mut found = Vec::new();
    for member in members() {
        for file in ["src/lib.rs", "src/main.rs"] {
            let path = root().join(&member).join(file);
            if path.exists() {
                let circles = circles::circles(&imports::Crate::read(&path).unwrap().arrows());
                found.extend(
                    circles
                        .into_iter()
                        .map(|c| ([vec![format!("{member}/{file}")], c.folder.clone()].concat().join("::"), c)),
                );
            }
        }
    }
    let told = found.iter().map(|(folder, circle)| {
        let uses = circle.arrows.iter().map(|a| format!("{} uses {}, {}", a.from.join("::"), a.to.join("::"), a.place));
        let uses: Vec<String> = uses.collect();
        format!("{folder}: {} need each other\n{}", circle.parts.join(", "), uses.join("\n"))
    });
    let told: Vec<String> = told.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Crates use those above them only, by their sources and by their manifests.
#[test]
fn no_crate_uses_one_that_stands_above_it() {
    let mut seen = 0;
    for member in members() {
        let manifest = read(&format!("{member}/Cargo.toml"));
        let name =
            manifest.lines().find_map(|l| l.strip_prefix("name = \"")).unwrap().trim_end_matches('"').replace('-', "_");
        let Some(allowed) = imports::may_use(&name) else { continue };
        seen += 1;
        let dependencies = manifest.split("\n[dev-dependencies]").next().unwrap();
        let stated =
            dependencies.lines().filter_map(|l| l.split(['.', ' ', '=']).next().filter(|w| w.starts_with("lapwing-")));
        let mut used: Vec<(String, String)> =
            stated.map(|word| (word.replace('-', "_"), format!("{member}/Cargo.toml"))).collect();
        let mut sources = imports::Crate::read(&root().join(&member).join("src/lib.rs")).unwrap();
        sources.arrows();
        used.extend(sources.others);
        for (other, place) in used {
            assert!(other == name || allowed.contains(&other.as_str()), "{name} must not use {other}: {place}");
        }
    }
    assert!(seen >= 3, "only {seen} crates were looked at");
}
