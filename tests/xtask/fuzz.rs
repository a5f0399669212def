//! The parsers under libFuzzer: bytes that reach new code are kept and changed again.
//!
//! The program is built with the compiler that builds all the rest; its own passes count which branches were
//! taken. What is found and where the search stands lies under `target/fuzz`, and the next call goes on there.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{root, step_with};

const SECONDS: &str = "120";
/// Longest bytes that are tried.
const LENGTH_MAX: usize = 1 << 18;
/// One input may take so long, in seconds.
const TIMEOUT_S: usize = 20;
const MEMORY_MB_MAX: usize = 2048;

/// What LLVM adds so that libFuzzer sees where an input went; see its SanitizerCoverage.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Runs each of the formats that are named (all where none is) for `--seconds N`.
///
/// # Errors
/// The format and the file with the bytes that broke a promise.
pub fn fuzz(options: &[String]) -> Result<(), String> {
    let mut seconds = SECONDS.to_owned();
    let mut chosen: Vec<&str> = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--seconds" => seconds = options.next().cloned().ok_or("--seconds needs a number")?,
            name => chosen.push(name),
        }
    }
    let folder = root().join("target/fuzz");
    let seeds = folder.join("seeds");
    if seeds.exists() {
        std::fs::remove_dir_all(&seeds).map_err(|e| format!("{}: {e}", seeds.display()))?;
    }
    let seeds_there = [("LAPWING_SEEDS".to_owned(), path(&seeds)?)];
    let packages = ["engine", "camera", "vision", "flow", "runtime", "firmware"].map(|name| format!("lapwing-{name}"));
    let mut call = vec!["test", "--features", "lapwing-firmware/linux", "--lib", "fuzz_targets::tests::good_bytes"];
    packages.iter().for_each(|package| call.extend(["--package", package]));
    step_with("cargo", &call, &seeds_there)?;
    let formats = formats(&seeds)?;
    if let Some(other) = chosen.iter().find(|name| !formats.iter().any(|known| known == *name)) {
        return Err(format!("{other:?} is no format; give --seconds N or some of {}", formats.join(", ")));
    }
    if chosen.is_empty() {
        chosen.extend(formats.iter().map(String::as_str));
    }
    let host = host()?;
    // build scripts stay as they are where a target is named
    let build = ["build", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--target", &host, "--target-dir"];
    let environment = [("RUSTFLAGS".to_owned(), FLAGS)];
    step_with("cargo", &[build.as_slice(), &[path(&folder)?]].concat(), &environment)?;
    let program = folder.join(&host).join("release/lapwing-fuzz");
    let mut broken = Vec::new();
    for name in chosen {
        let (corpus, found) = (folder.join("corpus").join(name), folder.join("found").join(name));
        for made in [&corpus, &found] {
            std::fs::create_dir_all(made).map_err(|e| format!("{}: {e}", made.display()))?;
        }
        let output = Command::new(&program)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LENGTH_MAX}"))
            .arg(format!("-timeout={TIMEOUT_S}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(format!("-artifact_prefix={}/", found.display()))
            .args([&corpus, &seeds.join(name)])
            .env("LAPWING_FUZZ", name)
            .stdout(Stdio::null())
            .output()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let number = |key: &str| said.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("?").trim().to_owned();
        let kept = std::fs::read_dir(&corpus).map_or(0, Iterator::count);
        println!(
            "xtask: {name}: {} runs in {seconds} s, {kept} inputs kept",
            number("stat::number_of_executed_units:")
        );
        if !output.status.success() {
            println!("{said}");
            broken.push(format!("{name} (bytes in {})", found.display()));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("a promise was broken: {}", broken.join(", "))) }
}

/// The formats of all crates, for which their tests have written seeds: a folder each.
fn formats(seeds: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(seeds).map_err(|e| format!("{}: {e}", seeds.display()))?;
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

fn path(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{}: its name is no text", path.display()))
}

/// The target that the compiler builds for of itself.
fn host() -> Result<String, String> {
    let said = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.lines().find_map(|l| l.strip_prefix("host: ")).map(str::to_owned).ok_or_else(|| "rustc names no host".into())
}
