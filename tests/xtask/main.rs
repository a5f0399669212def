//! Developer tasks: `cargo xtask TASK`.
//!
//! Depends on the standard library alone, so that it starts at once.
#![allow(clippy::print_stdout)]

mod arm;
mod bench;
mod bindings;
mod fuzz;
mod miri;
mod soak;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const HELP: &str = "cargo xtask TASK

  test     everything a change must pass: format, lints, tests, no_std builds, the binary end to end
  lint     format and lints only
  sizes    size of the release binary
  bench peers [OPTION]...     this machine: lapwing and its peers on the same networks, in turns
  bench arm                   emulated ARM cores: instructions, predicted cycles, traffic
  bench log [OPTION]...       durable events a second and recovery beside SQLite, in turns
  bench instructions          rewrite the instruction counts that the tests hold
  v4l2-bindings               make runtime/v4l2-sys anew from the kernel's header (Debian: bindgen, linux-libc-dev)
  soak [--frames N] [--seed S]  the main job over 100000 frames: flat memory, none asked for
  arm      the kernels of ARM processors under emulation; part of `test`
  miri     the engine's unsafe code under Miri (rustup toolchain install nightly --component miri
           --component rust-src)
  fuzz [--seconds N] [FORMAT]...  everything that reads files under libFuzzer, each for two minutes
  hil [OPTION]...             the emulated board: power cuts, camera, pins; its smoke is part of `test`
                              (--full for everything, --help for the rest)

`test` installs what it needs: Rust targets, and with apt-get the linkers and emulators for ARM.
Tests that need pictures outside the repository look under LAPWING_SHARED, else ../shared, and say
SKIPPED where they are missing.";

/// Targets that the no_std core must build for.
const BARE_TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "thumbv6m-none-eabi"];

/// The binary that users build.
const RELEASE: [&str; 6] = ["build", "--release", "--package", "lapwing-runtime", "--bin", "lapwing"];

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let start = Instant::now();
    let done = match task.as_str() {
        "test" => test(),
        "lint" => lint(),
        "arm" => arm::test(),
        "miri" => miri::test(),
        "fuzz" => fuzz::fuzz(&std::env::args().skip(2).collect::<Vec<_>>()),
        "sizes" => sizes(),
        "v4l2-bindings" => bindings::make(),
        "soak" => soak::soak(&std::env::args().skip(2).collect::<Vec<_>>()),
        "hil" => hil(&std::env::args().skip(2).collect::<Vec<_>>()),
        "bench" => bench::bench(&std::env::args().skip(2).collect::<Vec<_>>()),
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("xtask: no task {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => {
            println!("xtask {task}: good, {:.0} s", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("xtask {task}: {what}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn step(program: &str, arguments: &[&str]) -> Result<(), String> {
    step_with(program, arguments, &[])
}

fn step_with(program: &str, arguments: &[&str], environment: &[(String, &str)]) -> Result<(), String> {
    let shown = format!("{program} {}", arguments.join(" "));
    println!("xtask: {shown}");
    let start = Instant::now();
    match Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .status()
    {
        Ok(status) if status.success() => {
            println!("xtask: took {:.0} s", start.elapsed().as_secs_f64());
            Ok(())
        }
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` could not start: {error}")),
    }
}

fn lint() -> Result<(), String> {
    step("cargo", &["fmt", "--all", "--check"])?;
    step("cargo", &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?;
    step("cargo", &["clippy", "--package", "lapwing-runtime", "--no-default-features", "--", "-D", "warnings"])
}

fn test() -> Result<(), String> {
    lint()?;
    // what takes longest, and one processor most of that time: the tests wait for it where they run it
    println!("xtask: cargo {} (meanwhile)", RELEASE.join(" "));
    let release = Command::new("cargo").args(RELEASE).arg("--quiet").current_dir(root()).spawn();
    let mut release = release.map_err(|error| format!("cargo could not start: {error}"))?;
    let tested = tests();
    if tested.is_err() {
        let _ = release.kill(); // it may have ended
    }
    let built = release.wait().map_err(|error| format!("cargo was lost: {error}"))?;
    tested?;
    if built.success() { sizes() } else { Err(format!("`cargo {}` ended with {built}", RELEASE.join(" "))) }
}

fn tests() -> Result<(), String> {
    for target in BARE_TARGETS {
        step("rustup", &["target", "add", target])?;
        step("cargo", &["build", "--package", "lapwing-firmware", "--target", target])?;
    }
    step("cargo", &["test", "--package", "lapwing-firmware"])?;
    step("cargo", &["test", "--workspace", "--all-features"])?;
    arm::test()?;
    hil(&[])
}

fn hil(options: &[String]) -> Result<(), String> {
    let mut call = vec!["run", "--quiet", "--package", "lapwing-hil", "--"];
    call.extend(options.iter().map(String::as_str));
    step("cargo", &call)
}

fn sizes() -> Result<(), String> {
    step("cargo", &RELEASE)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let binary = target.join("release/lapwing");
    let bytes = std::fs::metadata(&binary).map_err(|e| format!("{}: {e}", binary.display()))?.len();
    println!("xtask: {} is {:.1} MB", binary.display(), bytes as f64 / 1e6);
    Ok(())
}
