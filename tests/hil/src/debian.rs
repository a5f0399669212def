//! The kernel and busybox: Debian's packages, by version and checksum, unpacked into `target/hil`.
//!
//! The pinned packages are what the recorded runs used. Debian keeps a version for some months;
//! where apt does not offer it any more, the version that it offers is taken (apt checks its
//! signature) and the run says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::tools::{APT, DPKG, call, folder, make_folder, read, write};
use crate::trouble::{Result, Trouble, at};

struct Package {
    name: &'static str,
    version: &'static str,
    sha256: &'static str,
    /// Depends on the package of the day.
    latest: &'static str,
}

const KERNEL: Package = Package {
    name: "linux-image-6.1.0-50-arm64",
    version: "6.1.176-1",
    sha256: "914f75b57a8e165d85fb910c3e2dcc7000a05a9fea3f42f90b26e8dd590d5f06",
    latest: "linux-image-arm64",
};
const BUSYBOX: Package = Package {
    name: "busybox-static",
    version: "1:1.35.0-4+deb12u1+b1",
    sha256: "732c9135564fc71337e0e05fb4da4d11e6c28c1834bce3e405e575afef2a52f5",
    latest: "busybox-static",
};

/// What the board boots.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The kernel.
    pub kernel: PathBuf,
    /// The folder of its modules.
    pub modules: PathBuf,
    /// Busybox, static.
    pub busybox: PathBuf,
    /// Packages and versions, for the report.
    pub versions: String,
}

/// Fetches and unpacks what is not here yet.
///
/// # Errors
/// What is missing and how to get it.
pub fn parts() -> Result<Parts> {
    let (kernel, busybox) = (unpacked(&KERNEL)?, unpacked(&BUSYBOX)?);
    let versions = format!("{}, {}", kernel.1, busybox.1);
    let image = first_in(&kernel.0.join("boot"), "vmlinuz")?;
    Ok(Parts {
        kernel: image,
        modules: first_in(&kernel.0.join("lib/modules"), "")?,
        busybox: busybox.0.join("bin/busybox"),
        versions,
    })
}

/// The first entry of a folder whose name begins with `start`.
fn first_in(folder: &Path, start: &str) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).map_err(at(folder))?.filter_map(|e| Some(e.ok()?.path()));
    let fits = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start));
    entries.find(fits).ok_or_else(|| Trouble::Rig(format!("{}: no {start}* in it", folder.display())))
}

/// The folder of an unpacked package, and what it is.
fn unpacked(package: &Package) -> Result<(PathBuf, String)> {
    let folder = folder().join("debian").join(package.latest);
    let (root, stamp) = (folder.join("root"), folder.join("unpacked"));
    if let Ok(what) = fs::read_to_string(&stamp) {
        return Ok((root, what));
    }
    DPKG.need()?;
    APT.need()?;
    let _ = fs::remove_dir_all(&folder);
    make_folder(&root)?;
    enable_arm64()?;
    let pinned = format!("{}:arm64={}", package.name, package.version);
    let what = if download(&folder, &pinned).is_ok() {
        let found = checksum(&deb_in(&folder)?)?;
        if found != package.sha256 {
            return Err(Trouble::Rig(format!("{pinned} has the checksum {found}, not {}", package.sha256)));
        }
        format!("{} {}", package.name, package.version)
    } else {
        let name = latest(package)?;
        eprintln!("hil: {pinned} is not offered any more: taking {name}, which the recorded runs did not use");
        download(&folder, &format!("{name}:arm64")).map_err(|e| {
            Trouble::Missing(format!(
                "Debian's package {name} for arm64 ({e}); run apt-get update, or try where it works"
            ))
        })?;
        format!("{name} (not pinned)")
    };
    let deb = deb_in(&folder)?;
    call(DPKG.command().arg("-x").arg(&deb).arg(&root))?;
    write(&stamp, what.as_bytes())?;
    Ok((root, what))
}

fn download(folder: &Path, what: &str) -> Result<()> {
    call(APT.command().args(["download", "--quiet", what]).current_dir(folder)).map(|_| ())
}

/// The package on which the package of the day depends.
fn latest(package: &Package) -> Result<String> {
    if package.latest == package.name {
        return Ok(package.name.into());
    }
    let name = format!("{}:arm64", package.latest);
    let output = call(Command::new("apt-cache").args(["depends", &name]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().find_map(|l| l.trim().strip_prefix("Depends: linux-image-")?.split(':').next());
    let found = found.map(|rest| format!("linux-image-{rest}"));
    found.ok_or_else(|| Trouble::Missing(format!("a Debian kernel for arm64: `apt-cache depends {name}` names none")))
}

fn deb_in(folder: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).map_err(at(folder))?.filter_map(|e| Some(e.ok()?.path()));
    let found = entries.find(|p| p.extension().is_some_and(|e| e == "deb"));
    found.ok_or_else(|| Trouble::Rig(format!("{}: no .deb in it", folder.display())))
}

fn checksum(path: &Path) -> Result<String> {
    Ok(Sha256::digest(read(path)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// apt knows arm64, or is told of it.
fn enable_arm64() -> Result<()> {
    let known = Command::new("dpkg").arg("--print-foreign-architectures").output();
    let native = Command::new("dpkg").arg("--print-architecture").output();
    let has = |o: &std::process::Output| String::from_utf8_lossy(&o.stdout).lines().any(|l| l.trim() == "arm64");
    if [&known, &native].into_iter().any(|o| o.as_ref().is_ok_and(&has)) {
        return Ok(());
    }
    let cure = "Debian's arm64 packages; run: dpkg --add-architecture arm64 && apt-get update";
    let added = call(Command::new("dpkg").args(["--add-architecture", "arm64"]));
    added.and_then(|_| call(APT.command().args(["update", "--quiet"]))).map_err(|_| Trouble::Missing(cure.into()))?;
    Ok(())
}
