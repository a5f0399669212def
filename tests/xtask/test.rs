//! `cargo xtask test`: what every change must pass, and `--full`: the rest of it as well.
//!
//! The machine's own programs are built once, in the development profile with one set of features, for lints, tests
//! and the binary that the end-to-end tests call. Programs for boards are built once, as they ship. The two share
//! nothing but processors, and run in two lanes.

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

/// Largest binaries, in bytes: with everything, and for boards.
const BYTES_MAX: u64 = 22_000_000;
const BOARD_BYTES_MAX: u64 = 9_000_000;

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
            "xtask: LEFT OUT, cargo xtask test --full runs it: the release build and the end-to-end tests with it, \
             tests that are marked as long, four more emulated processors and longer runs on each, lints and tests \
             of other sets of features"
        );
    }
    done
}

fn run(steps: &Steps, extent: Extent) -> Result<(), String> {
    steps.both(
        |lane| {
            lint(lane)?;
            lane.step("cargo", &build("--bins"), &[])
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
    lane.step("cargo", &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"], &[])?;
    licences::check()
}

/// Builds what the host's tests call and are, with one set of features.
fn build(programs: &str) -> [&str; 5] {
    ["build", "--workspace", "--all-features", "--tests", programs]
}

/// The tests of this machine.
fn host(lane: &Lane, extent: Extent) -> Result<(), String> {
    let tests = ["test", "--workspace", "--all-features"];
    if extent == Extent::Short {
        return lane.step("cargo", &tests, &[]);
    }
    lane.step("cargo", &[&tests[..], &["--", "--include-ignored"]].concat(), &[])?;
    let without = ["clippy", "--package", "lapwing-runtime", "--no-default-features", "--", "-D", "warnings"];
    lane.step("cargo", &without, &[])?;
    lane.step("cargo", &["test", "--package", "lapwing-firmware"], &[])?;
    // the binary that users build
    sizes(lane)?;
    let binary = target().join("release/lapwing");
    let binary = binary.to_str().ok_or("the target folder's name is not UTF-8")?;
    let shipped = [&tests[..], &["--test", "end_to_end"]].concat();
    lane.step("cargo", &shipped, &[("LAPWING_BINARY".into(), binary)])
}

/// Programs for boards and microcontrollers, and tests on emulated processors.
fn boards(lane: &Lane, extent: Extent) -> Result<(), String> {
    for target in BARE_TARGETS {
        lane.step("rustup", &["target", "add", target], &[])?;
        lane.step("cargo", &["build", "--release", "--package", "lapwing-firmware", "--target", target], &[])?;
    }
    let programs = board::programs()?;
    size(&programs.join("lapwing"), BOARD_BYTES_MAX)?;
    arm::test(lane, extent)
}

/// The emulated board, as the build has left its program.
///
/// # Errors
/// What failed.
pub fn hil(lane: &Lane, options: &[String]) -> Result<(), String> {
    let program = target().join("debug/lapwing-hil");
    let program = program.to_str().ok_or("the target folder's name is not UTF-8")?;
    lane.step(program, &options.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

/// Builds the program of the emulated board in the way that [`test()`] does.
///
/// # Errors
/// cargo's own words.
pub fn build_hil(lane: &Lane) -> Result<(), String> {
    lane.step("cargo", &["build", "--quiet", "--workspace", "--all-features", "--bin", "lapwing-hil"], &[])
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
    let said = format!("{} is {:.1} MB, at most {:.0} are allowed", binary.display(), bytes as f64 / 1e6, most as f64 / 1e6);
    println!("xtask: {said}");
    if bytes <= most { Ok(()) } else { Err(said) }
}
