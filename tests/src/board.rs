//! The programs that run on an emulated 64-bit ARM: built with one call of cargo, so that they share their crates.

use std::path::PathBuf;
use std::process::Command;

use crate::{call, target};

/// Static, and no C toolchain is needed.
pub const TARGET: &str = "aarch64-unknown-linux-musl";

/// `lapwing` as it is shipped for boards, without tract; the agent of the emulated board; what counts instructions.
const PACKAGES: [&str; 3] = ["lapwing-runtime", "lapwing-hil-guest", "lapwing-bench-arm"];

/// Builds them; gives the folder that holds the programs.
///
/// # Errors
/// cargo's own words.
pub fn programs() -> Result<PathBuf, String> {
    call(Command::new("rustup").args(["target", "add", TARGET]))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--quiet", "--bins", "--no-default-features", "--target", TARGET]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    call(&mut build)?;
    Ok(target().join(TARGET).join("release"))
}
