//! The kernels of other processors, and the generator's bytes, under user-mode emulation.
//!
//! The library's tests are built for 64-bit ARM, static and so without a C toolchain, and for 32-bit ARM, for which no
//! static target can be installed everywhere, with Debian's, and run on models of the processors that
//! matter; each is told which kernels it must find, so that no test passes by running another one.
//!
//! Files and graphs that ask for too much are tried where addresses have 32 bits, in a release build, which does not
//! notice that arithmetic overflows: on ARM and, without emulation, on x86.

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
    /// What its programs are linked with and against, unless they are static.
    toolchain: Option<Toolchain>,
    /// The kernels' models, the fastest first.
    processors: &'static [Processor],
}

/// A C toolchain, each part with the package that has it.
struct Toolchain {
    linker: (&'static str, &'static str),
    /// Where the emulated programs find their C library and loader.
    libraries: (&'static str, &'static str),
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
        toolchain: None,
        processors: &[
            processor("cortex-a53", "neon,portable", Extent::Full),
            processor("cortex-a72", "neon,portable", Extent::Full),
            processor("cortex-a76", "dotprod,neon,portable", Extent::Full),
            processor("max", "i8mm,dotprod,neon,portable", Extent::Short),
        ],
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        variable: "ARMV7_UNKNOWN_LINUX_GNUEABIHF",
        emulator: "qemu-arm",
        toolchain: Some(Toolchain {
            linker: ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
            libraries: ("/usr/arm-linux-gnueabihf", "libc6-dev-armhf-cross"),
        }),
        processors: &[
            processor("cortex-a7", "armv7-neon,portable", Extent::Short),
            processor("cortex-a15", "armv7-neon,portable", Extent::Full),
        ],
    },
];

/// What is run there: packages, and the beginnings of the names of tests.
const PACKAGES: [&str; 2] = ["lapwing-engine", "lapwing-flow"];
const TESTS: [&str; 6] = ["plan_tests", "kernels::", "quant::", "golden", "artifact::", "fuzz_targets::"];

/// x86 of 32 bits. Its C library and its linker come with the compiler.
const X86_32: &str = "i686-unknown-linux-musl";
/// Where that linker is named.
const X86_32_LINKER: &str = "CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER";
/// What is tried there; the kernels are those of every processor.
const X86_32_TESTS: [&str; 4] = ["plan_tests", "kernels::program", "artifact::", "fuzz_targets::"];

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
        for (part, package) in target.toolchain.iter().flat_map(|toolchain| [toolchain.linker, toolchain.libraries]) {
            install(part, package)?;
        }
        lane.step("rustup", &["target", "add", target.triple], &[])?;
        for processor in target.processors.iter().filter(|processor| processor.extent <= extent) {
            let mut runner = format!("{} -cpu {}", target.emulator, processor.name);
            if let Some(toolchain) = &target.toolchain {
                runner += &format!(" -L {}", toolchain.libraries.0);
            }
            let mut environment = vec![
                (format!("CARGO_TARGET_{}_RUNNER", target.variable), runner.as_str()),
                ("LAPWING_KERNELS".into(), processor.kernels),
                ("LAPWING_PLAN_CASES".into(), cases(extent)),
            ];
            if let Some(toolchain) = &target.toolchain {
                environment.push((format!("CARGO_TARGET_{}_LINKER", target.variable), toolchain.linker.0));
            }
            let mut arguments = vec!["test", "--release", "--no-default-features", "--lib", "--target", target.triple];
            PACKAGES.iter().for_each(|package| arguments.extend(["--package", package]));
            arguments.push("--");
            arguments.extend(TESTS);
            lane.step("cargo", &arguments, &environment)?;
        }
    }
    lane.step("rustup", &["target", "add", X86_32], &[])?;
    let environment = [(X86_32_LINKER.into(), "rust-lld"), ("LAPWING_PLAN_CASES".into(), cases(extent))];
    let mut arguments = vec!["test", "--release", "--no-default-features", "--lib", "--target", X86_32];
    PACKAGES.iter().for_each(|package| arguments.extend(["--package", package]));
    arguments.push("--");
    arguments.extend(X86_32_TESTS);
    lane.step("cargo", &arguments, &environment)
}
