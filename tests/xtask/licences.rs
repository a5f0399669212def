//! Licences, banned packages and sources of everything that is linked, by `tests/deny.toml`.
//!
//! cargo-deny reads the same file and says the same; building it takes longer than all of lapwing, so that the check
//! is done here: cargo itself names packages and licences. Advisories need the network and are not looked at.

use std::path::Path;
use std::process::Command;

use super::root;

/// The policy, relative to the root.
const POLICY: &str = "tests/deny.toml";

/// Lock files: the workspace's, and those of the crates outside of it.
const LOCKS: [&str; 4] =
    ["Cargo.lock", "tests/fuzz/Cargo.lock", "tests/bench/peers/rust/Cargo.lock", "tests/bench/log/Cargo.lock"];

/// Checks the workspace's licences, and the packages and sources of every lock file.
///
/// # Errors
/// Every package that breaks the policy, and why.
pub fn check() -> Result<(), String> {
    let policy = read(POLICY)?;
    let (allowed, banned) = (list(&policy, "licenses", "allow"), list(&policy, "bans", "deny"));
    let sources = list(&policy, "sources", "allow-registry");
    if allowed.is_empty() || banned.is_empty() || sources.is_empty() {
        return Err(format!("{POLICY}: [licenses] allow, [bans] deny or [sources] allow-registry is empty or missing"));
    }
    let (mut wrong, mut packages) = (Vec::new(), 0);
    for lock in LOCKS {
        let text = read(lock)?;
        for package in text.split("[[package]]").skip(1) {
            let value =
                |key: &str| package.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(" = ")).map(unquoted);
            let name = value("name").unwrap_or_default();
            packages += 1;
            if banned.iter().any(|ban| ban == name) && lock == "Cargo.lock" {
                wrong.push(format!("{lock}: {name} is banned"));
            }
            // a package without a source lies in the workspace
            if let Some(source) = value("source")
                && !sources.iter().any(|known| source.strip_prefix("registry+") == Some(known))
            {
                wrong.push(format!("{lock}: {name} comes from {source}"));
            }
        }
    }
    let licensed = licences()?;
    for (package, licence) in &licensed {
        if !fits(licence, &allowed) {
            wrong.push(format!("{package}: its licence is {licence:?}"));
        }
    }
    if licensed.len() < 100 || packages < licensed.len() {
        return Err(format!(
            "only {} licences and {packages} packages were found: nothing was checked",
            licensed.len()
        ));
    }
    if wrong.is_empty() {
        println!("xtask: {} licences and {packages} locked packages fit {POLICY}", licensed.len());
        return Ok(());
    }
    Err(format!("{}; leave the package out, or change {POLICY}", wrong.join("; ")))
}

/// Every package of the workspace's graph, for every target, and its licence.
fn licences() -> Result<Vec<(String, String)>, String> {
    let arguments = ["tree", "--workspace", "--all-features", "--target", "all", "--prefix", "none"];
    let output = Command::new("cargo").args(arguments).args(["--format", "{p}|{l}"]).current_dir(root()).output();
    let output = output.map_err(|e| format!("cargo tree could not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('|'))
        .map(|(package, licence)| (package.to_owned(), licence.to_owned()))
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// True if the SPDX expression can be met with licences that are allowed. `/` is an old way to write OR.
fn fits(licence: &str, allowed: &[String]) -> bool {
    let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    !words.is_empty() && any(&words, &mut at, allowed) && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut good = every(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        good |= every(words, at, allowed);
    }
    good
}

fn every(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut good = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at, allowed);
    }
    good
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let good = any(words, at, allowed);
        *at += 1; // the closing one; where it is missing the words do not come out even
        return good;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

/// The texts of a list `key = [...]` below `[section]`.
fn list(policy: &str, section: &str, key: &str) -> Vec<String> {
    let head = format!("[{section}]");
    let below = policy.lines().skip_while(|line| line.trim() != head).skip(1);
    let inside: Vec<&str> = below.take_while(|line| !line.starts_with('[')).map(plain).collect();
    let inside = inside.join("\n");
    let start = inside.find(&format!("{key} = [")).map(|at| at + key.len() + 4);
    let Some(text) = start.and_then(|start| inside.get(start..)) else { return Vec::new() };
    let text = text.split(']').next().unwrap_or_default();
    text.split(',').map(|word| unquoted(word.trim()).to_owned()).filter(|word| !word.is_empty()).collect()
}

/// A line without its comment; no text of the policy holds a `#`.
fn plain(line: &str) -> &str {
    line.split('#').next().unwrap_or_default()
}

fn unquoted(text: &str) -> &str {
    text.trim_matches('"')
}

fn read(name: &str) -> Result<String, String> {
    let path = root().join(Path::new(name));
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = ["MIT".to_owned(), "Unicode-3.0".into(), "Apache-2.0 WITH LLVM-exception".into()];
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "LGPL-2.1/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(fits(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR X) AND (Y OR Z)", "Apache-2.0", "MIT MIT", "(MIT"] {
            assert!(!fits(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn lists_are_read() {
        let policy = "[a]\nallow = [\"no\"]\n[b]\nx = 1\nallow = [\n  \"yes\", # why\n  \"also\",\n]\n[c]\n";
        assert_eq!(list(policy, "b", "allow"), ["yes", "also"]);
        assert!(list(policy, "c", "allow").is_empty());
    }
}
