//! Programs for the board and for the microcontroller, cross-built with cargo alone.
//!
//! `lapwing` is built as it is shipped for boards, without tract.

use std::path::PathBuf;
use std::process::Command;

use lapwing_tests::{board, root, target};

use crate::tools::call;
use crate::trouble::{Result, Trouble};

/// The microcontroller's target.
pub const MICROCONTROLLER: &str = "thumbv7em-none-eabihf";

/// Builds the board's programs; gives the folder that holds them.
///
/// # Errors
/// cargo's own words.
pub fn board() -> Result<PathBuf> {
    board::programs().map_err(Trouble::Rig)
}

/// Builds the microcontroller's program.
///
/// # Errors
/// cargo's own words.
pub fn microcontroller() -> Result<PathBuf> {
    call(Command::new("rustup").args(["target", "add", MICROCONTROLLER]).current_dir(root()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let package = "lapwing-hil-mcu";
    call(
        Command::new(cargo)
            .args(["build", "--release", "--quiet", "--target", MICROCONTROLLER, "--package", package])
            .current_dir(root()),
    )?;
    Ok(target().join(MICROCONTROLLER).join("release").join(package))
}
