//! The cases: what is proved on the board, each with its wiring in its own file.

mod log;
mod microcontroller;

use std::time::{Duration, Instant};

use crate::image::Image;
use crate::report::{Ended, Figures};
use crate::trouble::{Result, Trouble};

/// When a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// With every change; together under three minutes on a quiet machine.
    Smoke,
    /// With `--full` only.
    Full,
}

/// What a case is given.
pub struct Bench<'a> {
    /// What is booted.
    pub image: &'a Image,
    /// Everything runs, and at length.
    pub full: bool,
    /// Power cuts in the longest loop.
    pub cuts: u32,
    /// Decides everything that is drawn.
    pub seed: u64,
}

/// Something that is proved.
pub struct Case {
    /// Its name, as in `--only` and `rig.toml`.
    pub name: &'static str,
    /// When it runs.
    pub tier: Tier,
    /// What it proves, in a few words.
    pub about: &'static str,
    run: fn(&Bench<'_>) -> Result<Figures>,
}

/// Every case, in the order in which they run.
pub const ALL: &[Case] = &[
    Case {
        name: "microcontroller",
        tier: Tier::Smoke,
        about: "the no_std core on a Cortex-M4: the log on NOR flash through cuts, trigger, fail-safe",
        run: microcontroller::run,
    },
    Case {
        name: "power-cuts-ext4",
        tier: Tier::Smoke,
        about: "what was acknowledged outlives power cuts on ext4",
        run: log::power_cuts_ext4,
    },
    Case {
        name: "control-flush-ignored",
        tier: Tier::Smoke,
        about: "the control: on a disk that ignores flushes the same loop loses records",
        run: log::control_flush_ignored,
    },
    Case {
        name: "control-no-fsync",
        tier: Tier::Full,
        about: "the control: without fsync the same loop loses records",
        run: log::control_no_fsync,
    },
    Case {
        name: "power-cuts-f2fs",
        tier: Tier::Full,
        about: "what was acknowledged outlives power cuts on f2fs",
        run: log::power_cuts_f2fs,
    },
    Case {
        name: "power-cuts-retention",
        tier: Tier::Full,
        about: "the same while the oldest segments are dropped",
        run: log::power_cuts_retention,
    },
];

/// Longest wait for a command that does nothing long.
pub const SHORT: Duration = Duration::from_secs(60);

/// Runs a case.
///
/// # Errors
/// A tool is missing: nothing can be said.
pub fn run(case: &Case, bench: &Bench<'_>) -> Result<Ended> {
    let start = Instant::now();
    let result = match (case.run)(bench) {
        Ok(figures) => Ok(figures),
        Err(Trouble::Missing(what)) => return Err(Trouble::Missing(what)),
        Err(error) => Err(error.to_string()),
    };
    Ok(Ended { name: case.name, result, seconds: start.elapsed().as_secs_f64() })
}
