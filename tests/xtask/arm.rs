//! The kernels of other processors, and the generator's bytes, under user-mode emulation.
//!
//! The library's tests are built for 64-bit and 32-bit ARM and run on models of the processors that
//! matter; each is told which kernels it must find, so that no test passes by running another one.
//!
//! What files may ask for is tested as it is shipped, without the checks of a development build, where addresses
//! have 32 bits: on ARM and, without emulation, on x86.

use lapwing_tests::arm::{EMULATOR_PACKAGE, install};

use super::{step, step_with};

/// A Rust target and what runs its programs.
struct Target {
    triple: &'static str,
    /// Of an address.
    bits: u32,
    /// In the name of cargo's variables.
    variable: &'static str,
    linker: &'static str,
    emulator: &'static str,
    /// Where its C library lies.
    root: &'static str,
    /// Debian packages of the linker and the C library.
    packages: [&'static str; 2],
    /// Models and the kernels they have, the fastest first.
    processors: &'static [(&'static str, &'static str)],
}

const TARGETS: [Target; 2] = [
    Target {
        triple: "aarch64-unknown-linux-gnu",
        bits: 64,
        variable: "AARCH64_UNKNOWN_LINUX_GNU",
        linker: "aarch64-linux-gnu-gcc",
        emulator: "qemu-aarch64",
        root: "/usr/aarch64-linux-gnu",
        packages: ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        processors: &[
            ("cortex-a53", "neon,portable"),
            ("cortex-a72", "neon,portable"),
            ("cortex-a76", "dotprod,neon,portable"),
            ("max", "i8mm,dotprod,neon,portable"),
        ],
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        bits: 32,
        variable: "ARMV7_UNKNOWN_LINUX_GNUEABIHF",
        linker: "arm-linux-gnueabihf-gcc",
        emulator: "qemu-arm",
        root: "/usr/arm-linux-gnueabihf",
        packages: ["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"],
        processors: &[("cortex-a7", "armv7-neon,portable"), ("cortex-a15", "armv7-neon,portable")],
    },
];

/// x86 of 32 bits; its C library and its linker come with the compiler.
const X86_32: &str = "i686-unknown-linux-musl";

/// Tests of files and graphs that ask for too much.
const LIMITS: [&str; 3] = ["engine::artifact", "engine::plan_tests::limits", "flow::int8"];

/// Random graphs a processor; emulation is slow.
const CASES: &str = "100";

/// Builds and runs the kernels' tests for every target.
///
/// # Errors
/// Which command failed, or what could not be installed.
pub fn test() -> Result<(), String> {
    for target in &TARGETS {
        let brought = [target.linker, target.root];
        brought.into_iter().zip(target.packages).try_for_each(|(wanted, package)| install(wanted, package))?;
        install(target.emulator, EMULATOR_PACKAGE)?;
        step("rustup", &["target", "add", target.triple])?;
        for (processor, kernels) in target.processors {
            let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", target.variable);
            let runner = format!("{} -L {} -cpu {processor}", target.emulator, target.root);
            let environment = [
                (variable("LINKER"), target.linker),
                (variable("RUNNER"), runner.as_str()),
                ("LAPWING_KERNELS".into(), kernels),
                ("LAPWING_PLAN_CASES".into(), CASES),
            ];
            let arguments = ["test", "--package", "lapwing-runtime", "--no-default-features", "--lib"];
            let chosen = [
                "--target",
                target.triple,
                "--",
                "engine::plan_tests",
                "engine::kernels",
                "engine::quant::",
                "flow::golden",
            ];
            step_with("cargo", &[arguments.as_slice(), &chosen].concat(), &environment)?;
        }
        if target.bits == 32 {
            let (processor, _) = target.processors[0];
            let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", target.variable);
            let runner = format!("{} -L {} -cpu {processor}", target.emulator, target.root);
            limits(target.triple, &[(variable("LINKER"), target.linker), (variable("RUNNER"), &runner)])?;
        }
    }
    step("rustup", &["target", "add", X86_32])?;
    limits(X86_32, &[("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER".into(), "rust-lld")])
}

/// Runs [`LIMITS`] in a release build.
fn limits(triple: &str, environment: &[(String, &str)]) -> Result<(), String> {
    let arguments = ["test", "--release", "--package", "lapwing-runtime", "--no-default-features", "--lib"];
    let chosen = ["--target", triple, "--"];
    step_with("cargo", &[&arguments[..], &chosen, &LIMITS].concat(), environment)
}
