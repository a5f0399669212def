//! The engine's `unsafe` under Miri: every access inside its buffer, no race, no undefined value.
//!
//! Miri interprets, some thousand times slower than the processor, and knows no instruction set: it
//! sees the portable kernels, the arena and the threads of a program, on small graphs. It is part of
//! the nightly toolchain, which nothing else here needs, so that it is no part of `cargo xtask test`.

use std::process::Command;

use super::step_with;

const TOOLCHAIN: &str = "+nightly";
const COMPONENTS: [&str; 2] = ["miri", "rust-src"];

/// Random graphs; each is run by both portable kernels with one and with three threads.
const CASES: &str = "6";
/// Orders in which the threads take their turns.
const SEEDS: &str = "0..4";

/// What holds, or stands on, the engine's `unsafe`.
const TESTS: [&str; 2] = ["plan_tests", "kernels::"];

/// Runs the tests, once with the rules of Stacked Borrows, then the threads in other orders.
///
/// # Errors
/// What is missing and how to install it, or which command failed.
pub fn test() -> Result<(), String> {
    let listed = Command::new("rustup").args(["component", "list", "--installed", "--toolchain", "nightly"]).output();
    let listed = listed.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    if let Some(missing) = COMPONENTS.iter().find(|part| !listed.lines().any(|line| line.starts_with(**part))) {
        return Err(format!(
            "NOTHING WAS CHECKED: {missing} is missing; install it: rustup toolchain install nightly --component {}",
            COMPONENTS.join(" --component ")
        ));
    }
    // the tests read their environment and keep no file of failures
    let flags = "-Zmiri-disable-isolation";
    let run = |flags: &str, cases: &str, tests: &[&str]| {
        let environment = [
            ("MIRIFLAGS".into(), flags),
            ("LAPWING_PLAN_CASES".into(), cases),
            ("PROPTEST_DISABLE_FAILURE_PERSISTENCE".into(), "true"),
        ];
        let arguments = [TOOLCHAIN, "miri", "test", "--package", "lapwing-engine", "--lib", "--"];
        step_with("cargo", &[arguments.as_slice(), tests].concat(), &environment)
    };
    run(flags, CASES, &TESTS)?;
    run(&format!("{flags} -Zmiri-many-seeds={SEEDS}"), "2", &["plans_equal_the_reference"])
}
