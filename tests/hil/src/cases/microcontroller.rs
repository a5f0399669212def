//! The no_std core as a Cortex-M4 program on QEMU's `mps2-an386`.
//!
//! Wiring: none. Flash, pin and scene are simulated in its memory, the processor is QEMU's; it speaks by
//! semihosting. What it proves is told in `mcu/src/lib.rs`.

use serde_json::json;

use super::Bench;
use crate::cross::microcontroller;
use crate::report::Figures;
use crate::tools::QEMU_ARM;
use crate::trouble::{Result, Trouble, must};

/// Runs the program; its exit code is the verdict, its words are the figures.
pub fn run(_bench: &Bench<'_>) -> Result<Figures> {
    QEMU_ARM.need()?;
    let program = microcontroller()?;
    let mut command = QEMU_ARM.command();
    command.args(["-M", "mps2-an386", "-cpu", "cortex-m4", "-nographic", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
    let output = command.output().map_err(|e| Trouble::Rig(format!("{command:?}: {e}")))?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    must(output.status.success(), || format!("{}: {}", output.status, said.join(" ")))?;
    let lines: Vec<String> = said.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    must(lines.iter().any(|line| line.starts_with("lives ")), || format!("it said nothing: {lines:?}"))?;
    Ok(vec![("said", json!(lines))])
}
