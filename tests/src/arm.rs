//! Counting the instructions of our network on ARM cores, on any machine with QEMU's user emulation.
//!
//! [`Rig::build`] makes the counting plugin and a small aarch64 program that runs an artifact between
//! two marks; [`Rig::count`] runs it. The counts are exact and the same on every machine that builds
//! with the same compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{board, call, root, target};

/// The cores: Raspberry Pi 4, Raspberry Pi 5 (and near to a Jetson Orin).
pub const CORES: [&str; 2] = ["cortex-a72", "cortex-a76"];

const EMULATOR: &str = "qemu-aarch64";

/// Debian's package of the emulators.
pub const EMULATOR_PACKAGE: &str = "qemu-user";

/// The plugin and the program, built.
pub struct Rig {
    plugin: PathBuf,
    runner: PathBuf,
}

/// Whether the caches are modelled; it takes many times longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caches {
    /// Instructions only.
    Ignored,
    /// Those of the core.
    Modelled,
}

/// One counted run.
#[derive(Debug, Clone)]
pub struct Count {
    /// Executed between the marks.
    pub instructions: u64,
    /// What the program said of itself: `kernels=... mmac=...`.
    pub said: String,
}

impl Count {
    /// A value that the program said.
    pub fn value(&self, key: &str) -> &str {
        self.said.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).unwrap_or("?")
    }
}

impl Rig {
    /// Builds the rig; installs the emulator where it may.
    ///
    /// # Errors
    /// What is missing or did not build, and what to do.
    pub fn build() -> Result<Rig, String> {
        install_emulator()?;
        install("gcc", "gcc")?;
        let folder = target().join("bench/arm");
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let plugin = folder.join("plugin.so");
        let source = root().join("tests/bench/arm/plugin.c");
        call(Command::new("gcc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(source))?;
        Ok(Rig { plugin, runner: board::programs()?.join("lapwing-bench-arm") })
    }

    /// Runs `artifact` on `core`; the executed blocks are written to `blocks`.
    ///
    /// # Errors
    /// The emulator's or the program's words.
    pub fn count(&self, artifact: &Path, core: &str, caches: Caches, blocks: &Path) -> Result<Count, String> {
        let mut plugin = format!("file={},out={}", self.plugin.display(), blocks.display());
        if caches == Caches::Modelled {
            plugin.push_str(",cache=");
            plugin.push_str(core.trim_start_matches("cortex-"));
        }
        let said =
            call(Command::new(EMULATOR).args(["-cpu", core, "-plugin", &plugin]).arg(&self.runner).arg(artifact))?;
        let found = std::fs::read_to_string(blocks).map_err(|e| format!("{}: {e}", blocks.display()))?;
        let instructions = found.lines().find_map(|line| line.strip_prefix("instructions ")?.parse().ok());
        let instructions = instructions.ok_or_else(|| format!("{}: no count in it", blocks.display()))?;
        Ok(Count { instructions, said })
    }
}

/// Installs the emulator where it is missing.
///
/// # Errors
/// That it is missing, and how to install it.
pub fn install_emulator() -> Result<(), String> {
    install(EMULATOR, EMULATOR_PACKAGE)
}

/// Installs a Debian package if what it brings, a program or the path of a file, is missing.
///
/// # Errors
/// That it is missing, and how to install it.
pub fn install(wanted: &str, package: &str) -> Result<(), String> {
    let runs = || Command::new(wanted).arg("--version").output().is_ok_and(|o| o.status.success());
    let here = || if wanted.starts_with('/') { Path::new(wanted).exists() } else { runs() };
    let apt = |arguments: &[&str]| Command::new("apt-get").args(arguments).output().is_ok_and(|o| o.status.success());
    let get = || apt(&["install", "--yes", "--quiet", package]);
    if here() || (get() || apt(&["update"]) && get()) && here() {
        return Ok(());
    }
    Err(format!("{wanted} is not here; install it: apt-get install {package}"))
}
