//! `cargo xtask test`: what every change must pass, and `--full`: the rest of it as well.
//!
//! Everything is built once, in the profile that ships and with one set of features: what `cargo run --release` left is
//! used, the end-to-end tests call the binary that users get, and lints, boards and machine share build scripts and
//! procedural macros. The machine's own programs and those for boards are two lanes, which run at once.

use lapwing_tests::{board, target};

use super::steps::{Lane, Steps};
use super::{arm, licences};

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// What a change must pass before it is shown to anybody.
    Short,
    /// Everything.
    Full,
}

/// Targets that the no_std core must build for.
const BARE_TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "thumbv6m-none-eabi"];

/// How everything for this machine is built.
const HOST: [&str; 3] = ["--release", "--workspace", "--all-features"];
const DENIED: [&str; 3] = ["--", "-D", "warnings"];

/// Largest binaries, in bytes: with everything, and for boards.
const BYTES_MAX: u64 = 43_000_000;
const BOARD_BYTES_MAX: u64 = 18_500_000;

/// `cargo xtask test [--full]`.
///
/// # Errors
/// What failed.
pub fn test(options: &[String]) -> Result<(), String> {
    let extent = match options.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Extent::Short,
        ["--full"] => Extent::Full,
        other => return Err(format!("{}: give --full or nothing", other.join(" "))),
    };
    let steps = Steps::default();
    let done = run(&steps, extent);
    steps.tell();
    if extent == Extent::Short {
        println!(
            "xtask: LEFT OUT, `cargo xtask test --full` runs it: tests that are marked as long (ignored above), unit \
             tests in the development profile, four more emulated processors and more random graphs on each, lints \
             without tract"
        );
    }
    done
}

fn run(steps: &Steps, extent: Extent) -> Result<(), String> {
    steps.both(
        |lane| {
            lint(lane)?;
            lane.step("cargo", &[&["build", "--bins", "--tests"], &HOST[..]].concat(), &[])?;
            size(&target().join("release/lapwing"), BYTES_MAX)
        },
        |lane| boards(lane, extent),
    )?;
    steps.both(|lane| host(lane, extent), |lane| hil(lane, &[]))
}

/// Format, lints, licences.
///
/// # Errors
/// What is wrong.
pub fn lint(lane: &Lane) -> Result<(), String> {
    lane.step("cargo", &["fmt", "--all", "--check"], &[])?;
    licences::check()?;
    lane.step("cargo", &[&["clippy", "--all-targets"], &HOST[..], &DENIED[..]].concat(), &[])
}

/// The tests of this machine.
fn host(lane: &Lane, extent: Extent) -> Result<(), String> {
    let mut tests = [&["test"], &HOST[..], &["--"]].concat();
    if extent == Extent::Full {
        tests.push("--include-ignored");
    }
    lane.step("cargo", &tests, &[])?;
    if extent == Extent::Short {
        return Ok(());
    }
    // the documentation has no link that leads nowhere
    lane.step(
        "cargo",
        &["doc", "--workspace", "--all-features", "--no-deps", "--release"],
        &[("RUSTDOCFLAGS".into(), "-D warnings")],
    )?;
    // with the checks of the standard library's own unsafe functions
    lane.step("cargo", &["test", "--lib", "--package", "lapwing-firmware", "--package", "lapwing-engine"], &[])?;
    let without = ["clippy", "--release", "--package", "lapwing-runtime", "--no-default-features"];
    lane.step("cargo", &[&without[..], &DENIED[..]].concat(), &[])
}

/// Programs for boards and microcontrollers, and tests on emulated processors.
fn boards(lane: &Lane, extent: Extent) -> Result<(), String> {
    for target in BARE_TARGETS {
        lane.step("rustup", &["target", "add", target], &[])?;
        lane.step("cargo", &["build", "--release", "--package", "lapwing-firmware", "--target", target], &[])?;
    }
    lane.step("rustup", &["target", "add", board::TARGET], &[])?;
    lane.step("cargo", &board::BUILD, &[])?;
    size(&board::folder().join("lapwing"), BOARD_BYTES_MAX)?;
    arm::test(lane, extent)
}

/// The emulated board, as the build has left its program.
///
/// # Errors
/// What failed.
pub fn hil(lane: &Lane, options: &[String]) -> Result<(), String> {
    let program = target().join("release/lapwing-hil");
    let program = program.to_str().ok_or("the target folder's name is not UTF-8")?;
    lane.step(program, &options.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

/// Builds the program of the emulated board.
///
/// # Errors
/// cargo's own words.
pub fn build_hil(lane: &Lane) -> Result<(), String> {
    lane.step("cargo", &["build", "--quiet", "--release", "--package", "lapwing-hil"], &[])
}

/// Builds the binary that users build, and measures it.
///
/// # Errors
/// It does not build, or it is too large.
pub fn sizes(lane: &Lane) -> Result<(), String> {
    lane.step("cargo", &["build", "--release", "--package", "lapwing-runtime", "--bin", "lapwing"], &[])?;
    size(&target().join("release/lapwing"), BYTES_MAX)
}

fn size(binary: &std::path::Path, most: u64) -> Result<(), String> {
    let bytes = std::fs::metadata(binary).map_err(|e| format!("{}: {e}", binary.display()))?.len();
    let said =
        format!("{} is {:.1} MB, at most {:.0} are allowed", binary.display(), bytes as f64 / 1e6, most as f64 / 1e6);
    println!("xtask: {said}");
    if bytes <= most { Ok(()) } else { Err(said) }
}
