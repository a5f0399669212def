//! A case: what is given to it, and when it runs.

use std::time::Duration;

use crate::image::Image;
use crate::report::Figures;
use crate::trouble::Result;

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
    pub(super) run: fn(&Bench<'_>) -> Result<Figures>,
}

/// Longest wait for a command that does nothing long.
pub const SHORT: Duration = Duration::from_secs(60);
