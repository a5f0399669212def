//! Programs of the host: called, or named with the package that has them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lapwing_tests::target;

use crate::trouble::{Result, Trouble, at};

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// What is called.
    pub program: &'static str,
    /// What is installed.
    pub package: &'static str,
    /// An option with which it ends at once and well.
    probe: &'static str,
}

/// The emulated board.
pub const QEMU: Tool = Tool { program: "qemu-system-aarch64", package: "qemu-system-arm", probe: "--version" };
/// The emulated microcontroller.
pub const QEMU_ARM: Tool = Tool { program: "qemu-system-arm", package: "qemu-system-arm", probe: "--version" };
/// Makes the usual file system.
pub const MKFS_EXT4: Tool = Tool { program: "mkfs.ext4", package: "e2fsprogs", probe: "-V" };
/// Makes the file system for flash.
pub const MKFS_F2FS: Tool = Tool { program: "mkfs.f2fs", package: "f2fs-tools", probe: "-V" };
/// Unpacks Debian's packages.
pub const DPKG: Tool = Tool { program: "dpkg-deb", package: "dpkg", probe: "--version" };
/// Downloads Debian's packages.
pub const APT: Tool = Tool { program: "apt-get", package: "apt", probe: "--version" };

impl Tool {
    /// A call of it; `sbin` is looked in as well.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command
    }

    /// It is here; installs it where that is allowed.
    ///
    /// # Errors
    /// What to install.
    pub fn need(&self) -> Result<()> {
        let here = || self.command().arg(self.probe).output().is_ok();
        if here() {
            return Ok(());
        }
        let _ = Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends", self.package])
            .output();
        if here() {
            return Ok(());
        }
        Err(Trouble::Missing(format!("{}; install it: apt-get install {}", self.program, self.package)))
    }
}

/// Runs a command to its end.
///
/// # Errors
/// It did not start, or it did not end well; with its own words.
pub fn call(command: &mut Command) -> Result<Output> {
    let output = command.output().map_err(|e| Trouble::Rig(format!("{command:?} could not start: {e}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Trouble::Rig(format!("{command:?} ended with {}: {said}", output.status)))
}

/// `target/hil`, where everything is kept.
pub fn folder() -> PathBuf {
    target().join("hil")
}

/// Makes a folder and all above it.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(at(path))
}

/// A file's bytes.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(at(path))
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(at(path))
}
