//! The kernels of other processors, and the generator's bytes, under user-mode emulation.
//!
//! The library's tests are built for 64-bit and 32-bit ARM, static and so without a C toolchain, and run on models of
//! the processors that matter; each is told which kernels it must find, so that no test passes by running another one.

use lapwing_tests::arm::{EMULATOR_PACKAGE, install};
use lapwing_tests::board;

use super::steps::Lane;
use super::test::Extent;

/// A Rust target and what runs its programs.
struct Target {
    triple: &'static str,
    /// In the name of cargo's variables.
    variable: &'static str,
    emulator: &'static str,
    /// The kernels' models, the fastest first.
    processors: &'static [Processor],
}

/// A model of a processor.
struct Processor {
    name: &'static str,
    /// The kernels it has, the fastest first.
    kernels: &'static str,
    /// When it is tried.
    extent: Extent,
}

const fn processor(name: &'static str, kernels: &'static str, extent: Extent) -> Processor {
    Processor { name, kernels, extent }
}

const TARGETS: [Target; 2] = [
    Target {
        triple: board::TARGET,
        variable: "AARCH64_UNKNOWN_LINUX_MUSL",
        emulator: "qemu-aarch64",
        processors: &[
            processor("cortex-a53", "neon,portable", Extent::Full),
            processor("cortex-a72", "neon,portable", Extent::Full),
            processor("cortex-a76", "dotprod,neon,portable", Extent::Full),
            processor("max", "i8mm,dotprod,neon,portable", Extent::Short),
        ],
    },
    Target {
        triple: "armv7-unknown-linux-musleabihf",
        variable: "ARMV7_UNKNOWN_LINUX_MUSLEABIHF",
        emulator: "qemu-arm",
        processors: &[
            processor("cortex-a7", "armv7-neon,portable", Extent::Short),
            processor("cortex-a15", "armv7-neon,portable", Extent::Full),
        ],
    },
];

/// What is run there: packages, and the beginnings of the names of tests.
const PACKAGES: [&str; 2] = ["lapwing-engine", "lapwing-flow"];
const TESTS: [&str; 4] = ["plan_tests", "kernels::", "quant::", "golden"];

/// Random graphs a processor; emulation is slow.
fn cases(extent: Extent) -> &'static str {
    match extent {
        Extent::Short => "20",
        Extent::Full => "100",
    }
}

/// Builds and runs the kernels' tests for every target: on the processors that have all kernels between them, or on all.
///
/// # Errors
/// Which command failed, or what could not be installed.
pub fn test(lane: &Lane, extent: Extent) -> Result<(), String> {
    for target in &TARGETS {
        install(target.emulator, EMULATOR_PACKAGE)?;
        lane.step("rustup", &["target", "add", target.triple], &[])?;
        for processor in target.processors.iter().filter(|processor| processor.extent <= extent) {
            let runner = format!("{} -cpu {}", target.emulator, processor.name);
            let environment = [
                (format!("CARGO_TARGET_{}_RUNNER", target.variable), runner.as_str()),
                ("LAPWING_KERNELS".into(), processor.kernels),
                ("LAPWING_PLAN_CASES".into(), cases(extent)),
            ];
            let mut arguments = vec!["test", "--release", "--no-default-features", "--lib", "--target", target.triple];
            PACKAGES.iter().for_each(|package| arguments.extend(["--package", package]));
            arguments.push("--");
            arguments.extend(TESTS);
            lane.step("cargo", &arguments, &environment)?;
        }
    }
    Ok(())
}
