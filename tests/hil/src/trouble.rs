//! Why a run on the emulated board ends early: three reasons that are answered differently.

use std::fmt;
use std::path::Path;

/// Why a run ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A tool of the host is missing; says what to install. The run is skipped, or fails where
    /// `HIL_REQUIRED=1`.
    Missing(String),
    /// The rig itself failed: a build, QEMU, a socket. Says nothing about lapwing.
    Rig(String),
    /// Lapwing did what it must not do, or a control passed that must fail.
    Failed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Missing(what) => write!(f, "not here: {what}"),
            Trouble::Rig(what) => write!(f, "the rig failed: {what}"),
            Trouble::Failed(what) => write!(f, "FAILED: {what}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// What the harness's functions return.
pub type Result<T> = std::result::Result<T, Trouble>;

/// The rig failed at `path`.
pub fn at(path: &Path) -> impl Fn(std::io::Error) -> Trouble {
    let shown = path.display().to_string();
    move |error| Trouble::Rig(format!("{shown}: {error}"))
}

/// The property holds, or the run ends with `what`.
///
/// # Errors
/// [`Trouble::Failed`] if it does not hold.
pub fn must(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Trouble::Failed(what())) }
}
