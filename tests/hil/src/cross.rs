//! Programs for the board and for the microcontroller, cross-built with cargo alone.
//!
//! `lapwing` is built as shipped, without tract and without link-time optimisation (which takes
//! minutes and changes no behaviour).

use std::path::PathBuf;
use std::process::Command;

use lapwing_tests::root;

use crate::tools::{call, folder};
use crate::trouble::Result;

/// The board's target: static, no C toolchain needed.
const BOARD: &str = "aarch64-unknown-linux-musl";
/// The microcontroller's target.
pub const MICROCONTROLLER: &str = "thumbv7em-none-eabihf";

/// Builds `lapwing` for the board.
///
/// # Errors
/// cargo's own words.
pub fn lapwing() -> Result<PathBuf> {
    build(&["--package", "lapwing-runtime", "--bin", "lapwing", "--no-default-features"], BOARD, "lapwing")
}

/// Builds the board's agent.
///
/// # Errors
/// cargo's own words.
pub fn guest() -> Result<PathBuf> {
    build(&["--package", "lapwing-hil-guest"], BOARD, "lapwing-hil-guest")
}

/// Builds the microcontroller's program.
///
/// # Errors
/// cargo's own words.
pub fn microcontroller() -> Result<PathBuf> {
    build(&["--package", "lapwing-hil-mcu"], MICROCONTROLLER, "lapwing-hil-mcu")
}

fn build(what: &[&str], target: &str, program: &str) -> Result<PathBuf> {
    call(Command::new("rustup").args(["target", "add", target]).current_dir(root()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let kept = folder().join("cargo");
    call(
        Command::new(cargo)
            .args(["build", "--release", "--quiet", "--target", target, "--target-dir"])
            .arg(&kept)
            .args(what)
            .current_dir(root())
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    )?;
    Ok(kept.join(target).join("release").join(program))
}
