//! The kernels of other processors, and the generator's bytes, under user-mode emulation.
//!
//! The library's tests are built for 64-bit and 32-bit ARM and run on models of the processors that
//! matter; each is told which kernels it must find, so that no test passes by running another one.

use std::process::Command;

use super::{step, step_with};

/// A Rust target and what runs its programs.
struct Target {
    triple: &'static str,
    /// In the name of cargo's variables.
    variable: &'static str,
    linker: &'static str,
    emulator: &'static str,
    /// Where its C library lies.
    root: &'static str,
    /// Models and the kernels they have, the fastest first.
    processors: &'static [(&'static str, &'static str)],
}

const TARGETS: [Target; 2] = [
    Target {
        triple: "aarch64-unknown-linux-gnu",
        variable: "AARCH64_UNKNOWN_LINUX_GNU",
        linker: "aarch64-linux-gnu-gcc",
        emulator: "qemu-aarch64",
        root: "/usr/aarch64-linux-gnu",
        processors: &[
            ("cortex-a53", "neon,portable"),
            ("cortex-a72", "neon,portable"),
            ("cortex-a76", "dotprod,neon,portable"),
            ("max", "i8mm,dotprod,neon,portable"),
        ],
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        variable: "ARMV7_UNKNOWN_LINUX_GNUEABIHF",
        linker: "arm-linux-gnueabihf-gcc",
        emulator: "qemu-arm",
        root: "/usr/arm-linux-gnueabihf",
        processors: &[("cortex-a7", "armv7-neon,portable"), ("cortex-a15", "armv7-neon,portable")],
    },
];

/// Debian packages of the linkers, C libraries and emulators.
const PACKAGES: [&str; 5] =
    ["qemu-user", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"];

/// Random graphs a processor; emulation is slow.
const CASES: &str = "100";

/// Builds and runs the kernels' tests for every target.
///
/// # Errors
/// Which command failed.
pub fn test() -> Result<(), String> {
    install()?;
    for target in &TARGETS {
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
    }
    Ok(())
}

/// Installs what is missing.
fn install() -> Result<(), String> {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if TARGETS.iter().all(|t| runs(t.linker) && runs(t.emulator) && std::path::Path::new(t.root).is_dir()) {
        return Ok(());
    }
    step("apt-get", &["update"])?;
    step("apt-get", &[["install", "--yes", "--no-install-recommends"].as_slice(), &PACKAGES].concat())
}
