//! The programs that run on an emulated 64-bit ARM: built with one call of cargo, so that they share their crates.

use std::path::PathBuf;
use std::process::Command;

use crate::{call, target};

/// Static, and no C toolchain is needed.
pub const TARGET: &str = "aarch64-unknown-linux-musl";

/// What cargo is asked for: `lapwing` as it is shipped for boards, without tract; the agent of the emulated board; what
/// counts instructions.
pub const BUILD: [&str; 12] = [
    "build",
    "--release",
    "--bins",
    "--no-default-features",
    "--target",
    TARGET,
    "--package",
    "lapwing-runtime",
    "--package",
    "lapwing-hil-guest",
    "--package",
    "lapwing-bench-arm",
];

/// Where the programs lie when they are built.
pub fn folder() -> PathBuf {
    target().join(TARGET).join("release")
}

/// Builds the programs where they are not fresh; gives the folder that holds them.
///
/// # Errors
/// cargo's own words.
pub fn programs() -> Result<PathBuf, String> {
    call(Command::new("rustup").args(["target", "add", TARGET]))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    call(Command::new(cargo).args(BUILD).arg("--quiet"))?;
    Ok(folder())
}
